"""Penalties: what mutation testing found untested. Each assertion kills a mutant that the other tests let live."""

from __future__ import annotations

import dataclasses

import pytest

from unilth.sims.penalties import L1, L2, GrowingPenalty


def test_a_ratio_within_a_billionth_of_a_whole_number_counts_as_whole():
    assert GrowingPenalty(step=1e-6 / (1 + 1e-10)).increments == 10**6
    assert GrowingPenalty(step=1e-6 / (1 + 1e-8)).increments == 10**6 + 1, "and no more than that"


def test_growth_is_rounded_to_the_nearest_step_and_is_at_least_one():
    assert [GrowingPenalty().scaled(steps).growth for steps in (2, 4, 7, 16)] == [1, 2, 4, 9]  # steps x 5 / 9
    slow = GrowingPenalty(step=1.0, every=1, hold=1000).scaled(2)
    assert (slow.growth, slow.hold, slow.value(0), slow.value(1)) == (1, 1, 0.0, 1.0)


def test_defaults_are_the_published_constants():
    assert L2() == L2(5e-4) and L1() == L1(1e-4)
    assert GrowingPenalty() == GrowingPenalty(step=1e-4, every=5, ceiling=1.0, power=1, hold=40_000)


@pytest.mark.parametrize(("penalty", "field"), [(GrowingPenalty(), "step"), (L2(), "strength"), (L1(), "strength")])
def test_a_penalty_cannot_be_changed(penalty, field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(penalty, field, 0.5)
