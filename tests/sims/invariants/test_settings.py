"""Torch's settings for a whole process: no target is blamed for those it leaves or was found in, and none stays."""

import contextlib

import pytest
import torch

from unilth.sims.invariants import check, mask_rule, ticket_finder
from unilth.sims.invariants.ours import global_random
from unilth.sims.invariants.ranking import ranked
from unilth.sims.invariants.reference import Lth
from unilth.sims.invariants.settings import the_kits, the_targets

ONE = {"problem": "mlp", "sparsity": 0.5, "seed": 0}

SETS = {
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "grad": lambda: torch.set_grad_enabled(False),
    "deterministic": lambda: torch.use_deterministic_algorithms(True, warn_only=True),
    "threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
}


def settings():
    return (
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.get_num_threads(),
        torch.get_float32_matmul_precision(),
    )


def restore(before):
    torch.set_default_dtype(before[0])
    torch.set_default_device(None)
    torch.set_grad_enabled(before[2])
    torch.use_deterministic_algorithms(before[3], warn_only=before[4])
    torch.set_num_threads(before[5])
    torch.set_float32_matmul_precision(before[6])


@pytest.fixture(autouse=True)
def settings_of_this_process():
    before = settings()
    yield
    after = settings()
    restore(before)
    assert after == before


@contextlib.contextmanager
def under(name):
    """A setting of the caller, put back as it was after the block, in which it must have stayed."""
    before = settings()
    SETS[name]()
    inside = settings()
    assert inside != before
    try:
        yield
        assert settings() == inside
    finally:
        restore(before)


@pytest.mark.parametrize("name", SETS)
def test_a_finder_that_leaves_a_setting_is_judged_as_one_that_does_not(name):
    found, networks = [], []
    correct = Lth

    @ticket_finder(rewinds=True, keeps="largest", scope="global")
    def leaves(network, data, sparsity, *, seed):
        found.append(settings())
        networks.append(network.last.weight.detach().clone())
        answer = correct(network, data, sparsity, seed=seed)
        SETS[name]()
        return answer

    report = check(leaves, budget="quick", only=["finder-deterministic", "finder-rewinds", "finder-self-contained"])
    assert report.ok and report.counts["passed"] == 3, str(report)
    assert len(found) > 2 and len(set(found)) == 1
    same = [torch.equal(one, networks[0]) for one in networks if one.shape == networks[0].shape]
    assert len(same) > 1 and all(same)


@pytest.mark.parametrize("name", SETS)
def test_a_rule_that_leaves_a_setting_is_judged_as_one_that_does_not(name):
    found = []

    @mask_rule(scope="global", keeps="largest")
    def leaves(scores, sparsity, *, within=None, generator=None):
        found.append(settings())
        answer = ranked(scores, sparsity, within)
        SETS[name]()
        return answer

    report = check(leaves, budget="quick")
    assert report.ok, str(report)
    assert len(found) > 100 and len(set(found)) == 1


def test_a_refusal_leaves_no_setting_either():
    @mask_rule(scope="global", keeps="largest")
    def refuses(scores, sparsity, *, within=None, generator=None):
        if any(value.isnan().any() for value in scores.values()):
            torch.set_default_dtype(torch.float64)
            raise ValueError("not a number")
        return ranked(scores, sparsity, within)

    report = check(refuses, budget="quick", only=["mask-rejects-nan", "mask-order"])
    assert report.ok and report.counts["passed"] == 2 and torch.get_default_dtype() == torch.float32


def drawn():
    """What a finder was given, in one replayed case, and the settings that it was called under."""
    seen = []

    @ticket_finder(rewinds=True, keeps="largest", scope="global")
    def looks(network, data, sparsity, *, seed):
        seen.append(([*network.state_dict().values(), *data.train, *data.validation], settings()[:3]))
        raise ValueError("seen")

    assert not check(looks, only="finder-deterministic", case=ONE).ok
    assert not check(looks, only="finder-deterministic", budget="quick").ok
    return seen[0][0] + seen[-1][0], seen[0][1]


@pytest.mark.parametrize("name", ["dtype", "device", "grad"])
def test_problems_are_the_same_under_any_settings_of_the_caller_and_the_target_keeps_those(name):
    usual, _ = drawn()
    with under(name):
        unusual, called_under = drawn()
        assert called_under == settings()[:3]
    assert len(usual) == len(unusual) > 8
    assert all(a.dtype == b.dtype and a.device == b.device for a, b in zip(usual, unusual, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(usual, unusual, strict=True))


@pytest.mark.parametrize(
    ("name", "target", "only"),
    [
        ("dtype", global_random, None),
        ("grad", global_random, None),
        ("dtype", Lth, ["finder-deterministic", "finder-keeps-largest"]),
    ],
)
def test_a_correct_target_passes_under_settings_of_the_caller(name, target, only):
    with under(name):
        report = check(target, budget="quick", only=only)
    assert report.ok, str(report)


def test_a_default_device_is_the_targets_and_may_be_set_again():
    torch.set_default_device("meta")
    with the_kits():
        for device in ("cpu", "meta", None):
            assert torch.empty(1).device.type == "cpu"
            with the_targets():
                assert torch.empty(1).device.type == "meta"
                torch.set_default_device(device)
    assert torch.empty(1).device.type == "meta"
    torch.set_default_device(None)
    assert torch.empty(1).device.type == "cpu"


def test_a_device_of_a_block_around_the_check_stays():
    with torch.device("meta"):
        with the_kits(), the_targets():
            assert torch.empty(1).device.type == "meta"
            torch.set_default_device("cpu")
        assert torch.empty(1).device.type == "meta"
    assert torch.empty(1).device.type == "cpu"


def test_a_check_inside_a_target_of_a_check_has_settings_of_its_own():
    torch.set_default_dtype(torch.float64)
    with the_kits():
        assert torch.get_default_dtype() == torch.float32
        with the_targets():
            with the_kits(), the_kits():
                assert torch.get_default_dtype() == torch.float32
            assert torch.get_default_dtype() == torch.float64
        assert torch.get_default_dtype() == torch.float32
    assert torch.get_default_dtype() == torch.float64
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("up", [True, False])
def test_settings_come_back_from_both_sides(up):
    def some(more):
        torch.set_num_threads(2 if more else 1)
        torch.use_deterministic_algorithms(more)
        torch.set_float32_matmul_precision("medium" if more else "highest")

    with the_targets():
        some(up)
        before = settings()
        with the_targets():
            some(not up)
            assert settings() != before
        assert settings() == before


def test_the_kit_computes_with_gradients():
    with torch.no_grad(), the_kits():
        assert torch.is_grad_enabled()
