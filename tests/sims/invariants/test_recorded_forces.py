"""Forces that are no penalty on what goes and on nothing else: found where that is certain, not read elsewhere."""

from __future__ import annotations

import pytest
import torch

from tests.sims.invariants.recorded import recorded, rows, verdict
from unilth.sims.invariants import finder_penalty as penalty
from unilth.sims.invariants.observe import Event
from unilth.sims.invariants.penalty_reading import Strength, _cut_off, _levels, _plain, _strength, _telling

KEPT = {"a.weight": range(10), "b.weight": range(9)}
GONE = {"a.weight": range(10, 24), "b.weight": range(9, 20)}
MASK = {"a.weight": [[1] * 10 + [0] * 14], "b.weight": [[1] * 9 + [0], [0] * 10]}
_chance = torch.Generator().manual_seed(1)
SHAPES = {"a.weight": (1, 24), "a.bias": (1,), "b.weight": (2, 10), "b.bias": (2,)}
VALUES = {name: torch.randn(shape, generator=_chance).tolist() for name, shape in SHAPES.items()}
LOSS = {name: torch.randn(shape, generator=_chance).tolist() for name, shape in SHAPES.items()}


def tensors(values):
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in values.items()}


def read(monkeypatch, force, scale=1.0, loss=LOSS):
    """The strength that is read from a step whose gradient is the loss's and a force by tensor and position."""
    used = tensors(loss)
    for name, by_position in force.items():
        for position, value in by_position.items():
            used[name].view(-1)[position] += value
    monkeypatch.setattr("unilth.sims.invariants.penalty_reading.loss_gradient", lambda *_: tensors(loss))
    before = Event("forward", tensors(VALUES), True, rows([1.0]), learns=True)
    after = Event("step", tensors(VALUES), True, grads={name: scale * value for name, value in used.items()})
    return _strength(recorded(mask=MASK), None, before, after)


def pressing(strength, a=GONE["a.weight"], b=GONE["b.weight"], **more):
    flat = {name: torch.tensor(value).reshape(-1) for name, value in VALUES.items()}
    places = {"a.weight": a, "b.weight": b} | {name.replace("_", "."): at for name, at in more.items()}
    return {name: {i: strength * float(flat[name][i]) for i in at} for name, at in places.items()}


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_one_strength_on_all_that_goes_is_read(monkeypatch, scale):
    found = read(monkeypatch, pressing(0.2), scale)
    assert found[:2] == pytest.approx((0.2, 0.0), abs=1e-9) and found[3:5] == (0.0, "")
    assert found.rest == pytest.approx(0.0, abs=1e-9) and found.scale == pytest.approx(scale)
    everywhere = pressing(0.1, a_bias=(0,), b_bias=(0, 1))
    assert read(monkeypatch, everywhere, scale).rest == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("force", "expected"),
    [
        (pressing(0.2, b=()), (0.2, 0, 0, "a penalty of 0.2 in 'a.weight' and of 0 in 'b.weight'")),
        (pressing(0.2, a=range(10, 20)), (0.2, 0, 0, "a penalty on all but 4 of the 14 weights that go in 'a.weight'")),
        (pressing(0.2, a=range(8, 24)), (0.2, 0, 0.2, "")),  # two kept weights too
        (pressing(0.2, a=range(4), b=()), (0.0, 0, 0.2, "")),
        (
            {"a.weight": dict.fromkeys(GONE["a.weight"], 0.1)},
            (0.0, 0, 0, "a force on the weights that go in 'a.weight'"),
        ),
        (pressing(0.2, a=range(24), b=()), (0.0, 0, 0, "")),  # a decay of one layer
        (pressing(0.2, a=range(24)), (0.2, 0, 0, "a penalty of 0.2 in 'b.weight' and of 0 in 'a.weight'")),
    ],
)
def test_a_force_of_another_kind_is_told_exactly(monkeypatch, force, expected):
    found = read(monkeypatch, force)
    goes, stays, kept, odd = expected
    assert found.odd.startswith(odd) and bool(found.odd) == bool(odd)
    assert found.kept == pytest.approx(kept, abs=1e-9) and found.stays == pytest.approx(stays, abs=1e-9)
    if kept:
        assert found.most == pytest.approx(found.stays + found.kept)
    if not odd or "force" not in odd:
        assert found.goes == pytest.approx(goes, abs=1e-9)


def test_a_decay_of_one_layer_is_told_by_the_largest(monkeypatch):
    found = read(monkeypatch, pressing(0.2, a=range(24), b=()))
    assert (found.stays, found.most) == pytest.approx((0.0, 0.2), abs=1e-9)


def test_where_the_loss_is_not_proven_nothing_is_told(monkeypatch):
    half = pressing(0.2, a=range(10, 20))
    assert read(monkeypatch, half).odd
    assert read(monkeypatch, half, scale=0.5) is None, "clipped"
    assert read(monkeypatch, half | {"b.bias": {0: 1e-2}}) is None, "biases feel something else"
    without = {name: value if "weight" in name else [0.0] * len(value) for name, value in LOSS.items()}
    assert read(monkeypatch, half, loss=without) is None, "no gradient of the biases"
    uneven = {"b.weight": dict.fromkeys(KEPT["b.weight"], 0.1)}
    assert read(monkeypatch, pressing(0.2, b=()) | uneven) is None, "kept weights feel something else"


def test_some_stop_the_gradient_of_what_they_press_on(monkeypatch):
    """Pure shrinkage: the gradient of the weights that go is the penalty's alone."""
    loss = {name: torch.tensor(value).reshape(-1) for name, value in LOSS.items()}
    alone = {name: {i: value - float(loss[name][i]) for i, value in at.items()} for name, at in pressing(0.2).items()}
    found = read(monkeypatch, alone)
    assert (found.goes, found.stays, found.odd) == (pytest.approx(0.2), pytest.approx(0.0), "")


def test_what_presses_on_a_stopped_gradient_may_be_clipped_with_the_rest(monkeypatch):
    loss = {name: torch.tensor(value).reshape(-1) for name, value in LOSS.items()}
    alone = {name: {i: value - float(loss[name][i]) for i, value in at.items()} for name, at in pressing(0.2).items()}
    found = read(monkeypatch, alone, scale=0.5)
    assert (found.goes, found.stays, found.scale) == pytest.approx((0.2, 0.0, 0.5), abs=1e-9)
    assert found.times(found.scale)[:2] == pytest.approx((0.1, 0.0), abs=1e-9)
    found = read(monkeypatch, alone)
    assert (found.goes, found.scale) == pytest.approx((0.2, 1.0))


def test_where_every_gradient_is_stopped_nothing_is_scaled(monkeypatch):
    loss = {name: torch.tensor(value).reshape(-1) for name, value in LOSS.items()}
    alone = {name: {i: value - float(loss[name][i]) for i, value in at.items()} for name, at in pressing(0.2).items()}
    for name, places in KEPT.items():
        alone[name] |= {i: -float(loss[name][i]) for i in places}
    found = read(monkeypatch, alone)
    assert (found.goes, found.stays, found.scale) == pytest.approx((0.2, 0.0, 1.0))


def test_a_stopped_gradient_is_read_layer_by_layer(monkeypatch):
    loss = {name: torch.tensor(value).reshape(-1) for name, value in LOSS.items()}
    alone = {name: {i: value - float(loss[name][i]) for i, value in at.items()} for name, at in pressing(0.2).items()}
    alone["b.weight"] = {i: -float(loss["b.weight"][i]) for i in GONE["b.weight"]}
    assert read(monkeypatch, alone).odd.startswith("a penalty of 0.2 in 'a.weight' and of 0 in 'b.weight'")


def test_clipping_by_value_is_no_force():
    weight, loss = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.1, 0.2, -0.1, 0.3])
    whole = (loss + 0.1 * weight).double()
    weight, loss = weight.double(), loss.double()
    assert _cut_off(whole.clamp(-0.3, 0.3), loss, weight) and not _cut_off(loss + 0.1 * weight.sign(), loss, weight)
    assert _cut_off(torch.full((4,), 0.3).double(), loss, weight)


@pytest.mark.parametrize(
    ("force", "levels"),
    [
        ([0.5, 1.0, 1.5, 2.0], (0.5, 0.5, 0)), ([0.0] * 4, (0.0, 0.0, 0)), ([0.5, 0.0, 1.5, 2.0], (0.0, 0.5, 2)),
        ([0.1, 0.2, 0.3, 2.0], (0.1, 0.5, 6)), ([0.1, 0.6, 1.5, 2.0], None), ([0.5, 0.5, 0.5, 0.5], None),
        ([0.0, 0.0, 0.0, 2e-4], (0.0, 0.0, 0)),  # too weak to be seen beside the loss
    ],
)  # fmt: skip
def test_one_or_two_multiples_are_told_from_others(force, levels):
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0, 1.0, 2.0, 3.0, 4.0]).double()
    loss = torch.tensor([3.0, -1.0, 2.0, 1.0, -1.0, 1.0, -2.0, 2.0]).double()
    found = _levels(loss + torch.tensor(force * 2).double(), loss, weight)
    assert found == (None if levels is None else pytest.approx(levels, abs=1e-4))
    assert _levels(loss, loss, 0 * weight) == (0.0, 0.0, 0)


def test_what_proves_the_loss_and_what_tells_a_strength():
    value, loss = torch.tensor([1.0, 2.0]).double(), torch.tensor([0.5, -0.3]).double()
    assert _plain(loss, loss, value, share=1e-10) and _plain(loss + 0.1 * value, loss, value, share=1e-10)
    assert _plain(loss, loss, 0 * value, share=1e-10)
    assert not _plain(0.5 * loss, loss, value, share=1e-10) and not _plain(0 * loss, 0 * loss, value, share=1e-10)
    assert not _plain(loss + torch.tensor([1e-4, 0.0]), loss, value, share=1e-10)
    assert _telling(loss, loss, value) and not _telling(loss, loss, 1e-3 * value)


@pytest.mark.parametrize(
    ("steps", "got"),
    [
        ([Strength(0.2, 0.0, 0.1), Strength(0.3, 0.0, 0.1)], ""),
        ([Strength(0.2, 0.0, 0.1), Strength(0.3, 0.0, None)], ""),
        ([Strength(0.2, 0.0, 0.1), Strength(0.3, 0.0, 0.2)], "a penalty on biases or normalisation that varies"),
        (
            [Strength(0.2, 0.0), Strength(0.3, 0.0, kept=0.3)],
            "a penalty on some kept weights that varies from 0 to 0.3",
        ),
        ([Strength(0.2, 0.0, kept=0.3), Strength(0.3, 0.0, kept=0.3)], ""),  # a decay that some are spared
    ],
)
def test_all_else_feels_a_constant(steps, got):
    seen = recorded()
    seen.memory[(0, None)] = steps
    found = verdict(penalty.check_outside, seen)
    assert found.startswith(got) and bool(found) == bool(got)


def test_an_odd_force_is_a_violation_of_the_schedule():
    seen = recorded()
    seen.memory[(0, None)] = [Strength(0.0, 0.0), None, Strength(0.1, 0.0, odd="a force")]
    assert verdict(penalty.check_schedule, seen, penalty=lambda step: 0.1 * step) == "a force, at optimizer step 3"


def test_a_network_without_biases_is_read_without_them(monkeypatch):
    for name in ("a.bias", "b.bias"):
        monkeypatch.delitem(LOSS, name)
    found = read(monkeypatch, pressing(0.2))
    assert found.rest is None and found.goes == pytest.approx(0.2)
    assert read(monkeypatch, pressing(0.2, a=range(10, 20))) is None
