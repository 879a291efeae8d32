"""How a penalty is read from a gradient, and what is not one, on runs that were written down by hand."""

from __future__ import annotations

import pytest
import torch

from tests.sims.invariants.recorded import PRUNED, forward, recorded, state, step, verdict
from unilth.sims.invariants import finder_penalty as penalty
from unilth.sims.invariants import penalty_reading
from unilth.sims.invariants.finder_penalty import _moved_by_hand
from unilth.sims.invariants.penalty_reading import Strength, _fit, _repeats, _strengths

LOSS = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
WEIGHT = torch.tensor([2.0, 1.0, -1.0, 0.5], dtype=torch.float64)
ASIDE = torch.tensor([1.0, 0.0, 2.0, 0.0], dtype=torch.float64)  # at right angles to the weight
assert float(ASIDE @ WEIGHT) == 0.0


@pytest.mark.parametrize("pressed", [0.0, 0.3, -0.2, 40.0])
@pytest.mark.parametrize("scale", [1.0, 0.25, 1e-3])
def test_the_strength_is_read_from_whole_and_from_clipped_gradients(pressed, scale):
    assert _fit(scale * (LOSS + pressed * WEIGHT), LOSS, WEIGHT) == pytest.approx(pressed, abs=1e-9)


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_a_gradient_of_another_form_is_not_read(scale):
    clean = scale * (LOSS + 0.3 * WEIGHT)
    size = float(clean.norm()) / float(ASIDE.norm())
    assert _fit(clean + 2e-3 * size * ASIDE, LOSS, WEIGHT) is None  # a share of 4e-6 (less what LOSS explains)
    assert _fit(clean + 5e-4 * size * ASIDE, LOSS, WEIGHT) == pytest.approx(0.3, abs=5e-3)
    assert _fit(-clean, LOSS, WEIGHT) is None, "uphill"
    assert _fit(ASIDE, 0 * LOSS, WEIGHT) is None and _fit(0.3 * WEIGHT, 0 * LOSS, WEIGHT) == pytest.approx(0.3)
    assert _fit(clean, LOSS, 0 * WEIGHT) == 0.0
    assert _fit(0.3 * WEIGHT, LOSS, WEIGHT) == pytest.approx(0.3), "the loss's gradient is stopped"


FOUND = state(b_weight=[[5], [3]])
FIRST = step(state(b_weight=[[5], [7]]), before=FOUND, by=1)
INNER = [forward(FOUND), step(state(b_weight=[[5], [7]]), before=FOUND)]


@pytest.mark.parametrize(
    ("events", "moved"),
    [
        ([forward(state()), step(state(), before=state())], False),
        ([forward(state()), step(state(), before=state(a_weight=[[4, 3, 1, 9]]))], True),  # one that goes, before
        ([forward(state()), step(state(), before=state(a_weight=[[4, 3, 1, 0.5]]))], True),
        ([forward(state()), step(state(), before=state(a_weight=[[9, 3, 1, 2]]))], False),  # one that stays
        ([forward(state()), step(state(), before=state(b_bias=[9, 9]))], False),
        ([forward(state()), step(state(b_weight=[[5], [7]]), before=state())], False),  # by the optimizer
        ([step(state(), before=state()), forward(state(b_weight=[[5], [7]]))], True),  # after its step
        ([step(state(), before=state()), forward(state(b_weight=[[5], [7]]), learns=False), forward(state())], False),
        ([forward(state()), forward(state(**PRUNED)), step(state(**PRUNED), before=state(**PRUNED))], False),
        ([forward(state(**PRUNED)), forward(state()), step(state(), before=state(a_weight=[[4, 3, 7, 2]]))], True),
        ([forward(state()), step(state()), forward(state())], False),  # not seen before the step
        ([step(state(b_weight=[[5], [7]])), forward(state())], False),  # rewound
        ([step(state()), forward(state(), learns=False), forward(state(b_weight=[[5], [7]]))], True),
        ([*INNER, step(state(b_weight=[[5], [7]]), before=FOUND)], False),  # one step extends another
        ([*INNER, step(state(b_weight=[[5], [8]]), before=FOUND)], True),  # and moves weights after it
        ([*INNER, step(state(b_weight=[[9], [7]]), before=FOUND)], False),
        (
            [*INNER, step(state(b_weight=[[5], [7]]), before=state(b_weight=[[5], [4]]), by=1)],
            True,
        ),  # another optimizer
        ([*INNER, step(state(b_weight=[[5], [7]]), before=FOUND, by=1)], False),  # which finds what was restored
        ([step(FOUND), forward(FOUND), step(state(b_weight=[[5], [7]])), forward(FOUND)], False),
        ([step(FOUND), forward(FOUND), step(state(b_weight=[[5], [7]])), forward(state(b_weight=[[5], [4]]))], True),
        ([FIRST, step(state(b_weight=[[5], [7]]), before=FOUND, by=0)], True),
    ],
)
def test_weights_that_are_moved_outside_the_optimizer_are_noticed(events, moved):
    assert _moved_by_hand(recorded(events)) == moved


def test_another_model_moves_nothing():
    other = forward(state(a_weight=[[7, 7, 7, 7]]))
    other.model = 1
    assert not _moved_by_hand(recorded([forward(state()), other, step(state(), before=state())]))


def ramp(step):
    return 0.1 * step


@pytest.mark.parametrize(
    ("pairs", "why"),
    [
        ([None, (0.1, 0.0)], "could not be read"), ([(0.0, 0.0), None, (0.2, 0.0)], "could not be read"),
        ([None, (0.0, 0.0)], "not every gradient"), ([None, None], "not judged: no optimizer step before the mask"),
    ],
)  # fmt: skip
def test_a_schedule_is_judged_from_the_step_at_which_it_is_seen_to_set_in(pairs, why):
    seen = recorded()
    seen.memory[(0, None)] = [pair and Strength(*pair) for pair in pairs]
    assert why in verdict(penalty.check_schedule, seen, penalty=ramp)


def test_steps_that_cannot_be_read_are_counted():
    seen = recorded()
    seen.memory[(0, None)] = [Strength(0.0, 0.0), Strength(0.1, 0.0), None, Strength(0.3, 0.0)]
    assert verdict(penalty.check_schedule, seen, penalty=ramp) == ""
    assert verdict(penalty.check_outside, seen) == ""
    seen.memory[(0, None)] = [Strength(0.1, 0.0), None, Strength(0.2, 0.0)]
    assert verdict(penalty.check_schedule, seen, penalty=ramp) == "a penalty of 0.2 at step 3 of the ramp"


def test_a_pass_that_answers_with_its_loss_is_not_repeated():
    three = torch.ones(3, 4)
    for rows, logits, repeats in [
        (three, torch.ones(3, 2), True), (three, torch.tensor(1.0), False), (three, torch.ones(6, 2), False),
        (None, three, False), (three, None, False), (None, None, False),
    ]:  # fmt: skip
        assert _repeats(forward(state(), rows=rows, logits=logits)) is repeats


def test_only_steps_of_one_training_pass_are_read(monkeypatch):
    monkeypatch.setattr(penalty_reading, "_strength", lambda seen, fresh, before, after: (before.rows, after.by))
    monkeypatch.setattr(penalty_reading, "_repeats", lambda event: event.rows != 5)
    one, two = forward(state(), rows=1), forward(state(), rows=2)
    look, under = forward(state(), False, rows=3), forward(state(**PRUNED), rows=4)

    def read(*events):
        return list(_strengths(recorded(), None, list(events)))

    assert read(one, step(state(), by=7)) == [(1, 7)] and read(one, look, step(state(), by=7)) == [(1, 7)]
    assert read(one, two, step(state())) == [None] and read(step(state())) == []
    assert read(forward(state(), rows=5), step(state())) == [None]
    assert read(one, step(state(), by=1), step(state(), by=2), two, step(state(), by=3)) == [(1, 1), (2, 3)]
    assert read(under, step(state())) == [] and read(one) == []
