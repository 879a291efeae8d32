"""Validation rows in batch-norm statistics: runs that were written down by hand, on both sides of the line."""

from __future__ import annotations

import pytest
import torch

from tests.sims.invariants.recorded import recorded, rows, state, verdict
from unilth.sims.invariants import finder_validation as validation
from unilth.sims.invariants.observe import Event

GUILTY = "batch-norm statistics that 2 validation rows went into, in training mode"


def values(mean: float, var: float):
    return state() | {"norm.running_mean": torch.tensor([mean]), "norm.running_var": torch.tensor([var])}


START, TRAINED, FOULED, LATER, FRESH = (values(*pair) for pair in ((3, 4), (5, 6), (7, 8), (9, 8), (0, 1)))


def train(at):
    return Event("forward", at, True, rows([1.0, 2.0]), learns=True)


def look(at, training=True, numbers=(5.0, 6.0)):
    return Event("forward", at, training, rows(list(numbers)))


@pytest.mark.parametrize(
    ("events", "live", "answer", "got"),
    [
        ([train(START), look(TRAINED)], FOULED, FOULED, GUILTY),
        ([train(START), look(TRAINED), train(FOULED)], LATER, LATER, GUILTY),  # an average remembers
        ([train(START), look(TRAINED, numbers=(1.0, 6.0))], FOULED, FOULED, GUILTY.replace("2", "1")),
        ([train(START), look(TRAINED, training=False)], FOULED, FOULED, ""),
        ([train(START), look(TRAINED)], TRAINED, TRAINED, ""),  # statistics are frozen
        ([train(START), look(TRAINED), train(TRAINED)], LATER, LATER, ""),  # put back
        ([train(START), look(TRAINED), train(FRESH)], LATER, LATER, ""),  # reset
        ([train(START), look(TRAINED), train(START)], LATER, LATER, ""),  # rewound
        ([train(START), look(TRAINED)], FOULED, TRAINED, ""),  # not what is answered
        ([train(START), look(TRAINED), look(FOULED)], LATER, LATER, GUILTY),
        ([train(START), look(TRAINED), look(FOULED)], FOULED, FOULED, GUILTY),
    ],
)
def test_validation_rows_in_training_mode_are_found_in_the_statistics(events, live, answer, got):
    seen = recorded(events, weights=answer)
    seen.given, seen.live = dict(START), [live]
    assert verdict(validation.check_no_validation, seen) == got


def test_another_model_may_see_validation_rows_in_training_mode():
    other = look(TRAINED)
    other.model = 1
    seen = recorded([train(START), other], weights=LATER)
    seen.given, seen.live = dict(START), [LATER, FOULED]
    assert verdict(validation.check_no_validation, seen) == ""
    seen.result.weights = FOULED
    assert verdict(validation.check_no_validation, seen) == GUILTY


def test_an_answer_without_statistics_is_compared_as_it_was_given():
    seen = recorded([train(START), look(TRAINED)], weights=state())
    seen.given, seen.live = dict(START), [FOULED]
    assert verdict(validation.check_no_validation, seen) == ""
