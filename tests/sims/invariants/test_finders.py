"""Ticket finders: every twin is caught by exactly what it declares, correct finders and our recipes pass."""

import copy
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from unilth.sims.invariants import check, ticket_finder
from unilth.sims.invariants.catalogue import catalogue
from unilth.sims.invariants.ours_finders import FINDERS
from unilth.sims.invariants.ranking import ranked
from unilth.sims.invariants.reference import REFERENCES, Lth, StoppedTicket
from unilth.sims.invariants.selfcheck import TWINS, killed_by
from unilth.sims.invariants.twins_finder import FINDER_TWINS, MasksOnlyGradients, OneShot
from unilth.sims.invariants.twins_penalty import PENALTY_TWINS
from unilth.sims.invariants.twins_rewinding import REWINDING_TWINS

KIND = "ticket-finder"


class Answer(NamedTuple):
    """The least that a finder may answer."""

    mask: dict
    weights: dict
    initial: dict


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def row(report, id):
    return next(row for row in report.invariants if row.id == id)


@pytest.mark.parametrize("twin", (*FINDER_TWINS, *PENALTY_TWINS, *REWINDING_TWINS), ids=lambda twin: twin.name)
def test_a_twin_is_caught_by_exactly_what_it_declares(twin):
    assert sorted(killed_by(twin)) == sorted(twin.kills)


def test_every_invariant_has_a_twin_and_there_are_enough():
    assert {invariant.id for invariant in catalogue(KIND)} == {id for twin in FINDER_TWINS for id in twin.kills}
    names = [twin.name for twin in TWINS]
    assert len(set(names)) == len(names) >= 75


@pytest.mark.parametrize("finder", REFERENCES, ids=lambda finder: finder.__name__)
def test_independent_references_pass(finder):
    report = check(finder, budget="quick", seed=4)
    assert report.ok, str(report)
    assert report.counts["passed"] >= 15 and not report.counts["blocked"]


@pytest.mark.parametrize("finder", FINDERS, ids=lambda finder: finder.__name__)
def test_our_recipes_pass(finder):
    report = check(finder, budget="quick")
    assert report.ok, str(report)
    silent = [row.id for row in report.invariants if row.status == "not-applicable" and "claim" not in row.note]
    assert silent == [], "everything that a recipe claims was judged"


def test_a_violation_of_a_finder_replays():
    found = row(
        check(MasksOnlyGradients, budget="quick", only="finder-zero-after-every-step"), "finder-zero-after-every-step"
    )
    assert (
        found.case == {"problem": "mlp", "sparsity": 0.73, "seed": 0}
        and "twins_finder:MasksOnlyGradients" in found.replay
    )
    assert check(MasksOnlyGradients, only=found.id, case=found.case).violations[0].got == found.got
    assert check(OneShot, only=found.id, case=found.case).ok


def test_standard_has_more_problems():
    found = row(check(OneShot, budget="standard", only="finder-self-contained"), "finder-self-contained")
    assert found.status == "passed" and found.cases == 4


@ticket_finder(keeps="largest", scope="global")
def through_torch_prune(network, data, sparsity, *, seed):
    """A loop of one's own with torch.nn.utils.prune, whose masks live in hooks and other parameter names."""
    model, initial = copy.deepcopy(network), copy.deepcopy(network.state_dict())
    chance = torch.Generator().manual_seed(seed)
    layers = [(module, "weight") for module in model.modules() if isinstance(module, nn.Linear | nn.Conv2d)]

    def train():
        optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 0.1, momentum=0.9)
        for chosen in torch.randperm(len(data.train[1]), generator=chance).split(32):
            optimizer.zero_grad()
            F.cross_entropy(model(data.train[0][chosen]), data.train[1][chosen]).backward()
            optimizer.step()

    train()
    total = sum(module.weight.numel() for module, _ in layers)
    prune.global_unstructured(layers, prune.L1Unstructured, amount=int(sparsity * total))
    train()
    for module, name in layers:
        module(
            torch.zeros(1, module.in_features)
            if isinstance(module, nn.Linear)
            else torch.zeros(1, module.in_channels, 8, 8)
        )
        prune.remove(module, name)
    names = {id(p): name for name, p in model.named_parameters()}

    mask = {names[id(m.weight)]: m.weight.detach() != 0 for m, _ in layers}
    return Answer(mask, copy.deepcopy(model.state_dict()), initial)


def test_a_loop_with_torch_prune_is_seen():
    report = check(through_torch_prune, budget="quick", only=["finder-zero-after-every-step", "finder-keeps-largest"])
    assert report.counts["passed"] == 2, str(report)


@ticket_finder(keeps="largest", scope="global")
def unseen(network, data, sparsity, *, seed):
    """Trains through functional_call, which passes by the modules' parameters."""
    state = {name: value.detach().clone() for name, value in network.state_dict().items()}
    initial = {name: value.clone() for name, value in state.items()}
    learned = {name: state[name].requires_grad_() for name, _ in network.named_parameters()}
    logits = torch.func.functional_call(copy.deepcopy(network).eval(), state, data.train[0])
    gradients = torch.autograd.grad(F.cross_entropy(logits, data.train[1]), list(learned.values()), allow_unused=True)
    for value, gradient in zip(learned.values(), gradients, strict=True):
        if gradient is not None:
            value.data.sub_(0.1 * gradient)
    weights = {name: value.detach() for name, value in state.items()}
    names = [name for name, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    mask = ranked({f"{name}.weight": weights[f"{name}.weight"].abs() for name in names}, sparsity)

    return Answer(
        mask, {name: value * mask[name] if name in mask else value for name, value in weights.items()}, initial
    )


def test_what_cannot_be_seen_is_not_judged():
    report = check(unseen, budget="quick")
    assert report.ok, str(report)
    for id in ("finder-zero-after-every-step", "finder-keeps-largest", "finder-self-contained"):
        assert row(report, id).status == "not-applicable" and "was seen" in row(report, id).note
    assert row(report, "finder-no-validation-rows").status == "passed", "its gradients are seen all the same"


def test_points_that_an_optimizer_tries_within_a_step_are_not_judged():
    """LBFGS evaluates the loss where pruned weights are not 0; after the step, once masked again, they are."""

    @ticket_finder(rewinds=True, keeps="largest", scope="global")
    class LineSearch(OneShot):
        free_epochs = tune_epochs = 1

        def train(self, epochs):
            optimizer = torch.optim.LBFGS(self.network.parameters(), 0.1, max_iter=3)
            inputs, labels = self.data.train

            def closure():
                optimizer.zero_grad()
                loss = F.cross_entropy(self.network(inputs), labels)
                loss.backward()
                return loss

            for _ in range(3 * epochs):
                optimizer.step(closure)
                self.apply()

    report = check(LineSearch, budget="quick")
    assert report.ok and row(report, "finder-zero-after-every-step").status == "passed", str(report)
    assert row(report, "finder-rewinds-optimizer").status == "passed"


def test_a_finder_that_raises_is_told_so():
    @ticket_finder(keeps="other")
    def broken(network, data, sparsity, *, seed):
        raise KeyError("conv9")

    found = row(check(broken, budget="quick"), "finder-form")
    assert found.status == "violated" and "KeyError" in found.got


def test_an_answer_without_parts_is_told_so():
    @ticket_finder(keeps="other")
    def empty(network, data, sparsity, *, seed):
        return object()

    report = check(empty, budget="quick")
    assert "dict of tensors" in row(report, "finder-form").expected
    assert {row.status for row in report.invariants} <= {"violated", "blocked", "not-applicable"}


def test_patience_that_never_runs_out_is_not_judged():
    @ticket_finder(keeps="largest", scope="layer", stops_early=50)
    class Short(StoppedTicket):
        patience, most = 50, 2

    found = row(check(Short, budget="quick", only="finder-stops-early"), "finder-stops-early")
    assert found.status == "not-applicable" and "never ran out" in found.note


def test_hooks_are_taken_off_again():
    from torch.nn.modules import module as modules
    from torch.optim import optimizer as optimizers

    def hooks():
        forward = len(modules._global_forward_hooks), len(modules._global_forward_pre_hooks)
        return forward, len(optimizers._global_optimizer_post_hooks)

    before = hooks()
    check(Lth, budget="quick", only="finder-form")
    assert hooks() == before
