"""Independence of the device: judged where there is a second one, honestly not measured where there is none."""

import pytest
import torch

from unilth.sims.invariants import cases, check, mask_rule
from unilth.sims.invariants.ours import global_magnitude, layer_magnitude
from unilth.sims.invariants.ranking import ranked
from unilth.sims.invariants.twins_mask import answers_on_the_cpu

ID = "mask-device"


def row(target):
    return check(target, budget="quick", only=ID).invariants[0]


def test_without_a_second_device_nothing_is_claimed_to_be_measured(monkeypatch):
    monkeypatch.setattr(cases, "second_device", lambda: None)
    for target in (global_magnitude, answers_on_the_cpu):
        found = row(target)
        assert found.status == "not-applicable" and found.cases == 0 and "not measured" in found.note
    replayed = check(answers_on_the_cpu, only=ID, case={"scores": {"a": [1, 2]}, "sparsity": 0.5}).invariants[0]
    assert replayed.status == "not-applicable" and "not measured" in replayed.note


def test_the_judgement_itself(monkeypatch):
    """The CPU in the place of the second device: enough to see masks that differ, or that lie elsewhere."""
    monkeypatch.setattr(cases, "second_device", lambda: torch.device("cpu"))
    assert row(global_magnitude).status == "passed"

    @mask_rule(scope="global", keeps="largest")
    def lies_elsewhere(scores, sparsity, *, within=None, generator=None):
        return {name: mask.to("meta") for name, mask in ranked(scores, sparsity, within).items()}

    found = check(lies_elsewhere, only=ID, case={"scores": {"a": [1, 2]}, "sparsity": 0.5}).invariants[0]
    assert (
        found.status == "violated" and found.got == "the mask of 'a' on meta" and "where its scores" in found.expected
    )

    calls = []

    @mask_rule(scope="global", keeps="largest")
    def differs(scores, sparsity, *, within=None, generator=None):
        calls.append(None)
        return ranked({name: -score if len(calls) % 2 else score for name, score in scores.items()}, sparsity, within)

    again = check(differs, only=ID, case={"scores": {"a": [1, 2]}, "sparsity": 0.5}).invariants[0]
    assert again.status == "violated" and "another mask than the CPU" in again.got


@pytest.mark.gpu
@pytest.mark.skipif(cases.second_device() is None, reason="no second device")
@pytest.mark.parametrize("target", [global_magnitude, layer_magnitude])
def test_our_masks_are_the_same_on_the_second_device(target):
    assert row(target).status == "passed"
