"""Baselines and controls beside a pressed ticket: its penalty is judged by its own steps, or not at all."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.sims.invariants.recorded import PRUNED, forward, recorded, state, step
from unilth.sims.invariants import check
from unilth.sims.invariants.finder_penalty import FEW, _others_were_trained
from unilth.sims.invariants.reference import PressedTicket, ramp
from unilth.sims.invariants.twins_finder import PRESSED

OTHER, MOVED = state(a_weight=[[3, 1, 4, 1]]), state(a_weight=[[4, 3, 2, 2]])
PART, FULL, WRONG = state(a_weight=[[4, 3, 0, 2]]), state(**PRUNED), state(a_weight=[[0, 3, 1, 2]])


@pytest.mark.parametrize(
    ("events", "others"),
    [
        ([], False), ([forward(state()), step(MOVED), forward(MOVED)], False),
        ([forward(state()), step(MOVED), forward(state()), step(OTHER)], True),  # back to the start
        ([forward(state()), forward(state()), step(MOVED)], False),  # two passes for one step
        ([forward(state()), step(MOVED), forward(state(), model=1)], True),
        ([forward(state()), step(MOVED), forward(MOVED, model=1)], False),
        ([forward(state()), step(MOVED), forward(state(), learns=False)], False),
        ([forward(MOVED), step(PART), forward(PART), step(FULL), forward(FULL)], False),  # more and more
        ([forward(MOVED), step(FULL), forward(FULL), step(PART), forward(PART)], True),
        ([forward(MOVED), step(PART), forward(PART), step(MOVED), forward(MOVED, model=1)], True),
        ([forward(MOVED), step(WRONG), forward(WRONG)], True),
        ([forward(MOVED), step(WRONG), forward(WRONG, learns=False)], False),
    ],
)  # fmt: skip
def test_other_trainings_are_told_by_where_they_begin_and_by_their_masks(events, others):
    assert _others_were_trained(recorded(events), events) == others


def test_a_few_weights_that_are_kept_may_be_0():
    many = torch.arange(1.0, 41.0).reshape(1, 40)
    for zeros, others in ((int(FEW * 20), False), (int(FEW * 20) + 1, True)):
        mask = {"a.weight": [[1] * 20 + [0] * 20]}
        weights = many.clone()
        weights[0, :zeros] = 0
        seen = recorded([forward({"a.weight": weights})], mask=mask)
        seen.names, seen.given = ["a.weight"], {"a.weight": many}
        assert _others_were_trained(seen, seen.events) == others


def compare(ticket, mask, start=None):
    """Another network is trained, without a penalty."""
    own, known, step = ticket.network, ticket.mask, ticket.press_step
    ticket.network, ticket.mask, ticket.press_step = copy.deepcopy(own), mask, -1
    ticket.network.load_state_dict(start or ticket.initial)
    ticket.apply()
    ticket.train(2)
    ticket.network, ticket.mask, ticket.press_step = own, known, step


class DenseBaselineAfterwards(PressedTicket):
    factor = 1.0

    def schedule(self, step):
        return self.factor * ramp(step)

    def search(self):
        super().search()
        compare(self, {name: torch.ones_like(kept) for name, kept in self.mask.items()})


class HalfAsHard(DenseBaselineAfterwards):
    factor = 0.5


class RandomMaskBetween(PressedTicket):
    """After the press, and before its weights are cut off."""

    def apply(self):
        if self.press_step == -1 and hasattr(self, "goes") and not self.masks:
            self.masks.append(self.mask)
            compare(self, {name: kept.flatten().flip(0).view_as(kept) for name, kept in self.mask.items()})
        super().apply()


class DenseBaselineFirst(PressedTicket):
    def search(self):
        compare(self, {name: torch.ones_like(kept) for name, kept in self.mask.items()})
        super().search()


@pytest.mark.parametrize(
    ("finder", "status", "got"),
    [
        (DenseBaselineAfterwards, "passed", ""),
        (HalfAsHard, "violated", "a penalty of 0.01 at step 1"),
        (RandomMaskBetween, "not-applicable", "others were trained before the ticket"),
        (DenseBaselineFirst, "passed", ""),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_a_penalty_is_judged_by_the_steps_of_its_ticket(finder, status, got):
    (row,) = check(PRESSED(finder), budget="quick", only="finder-penalty-schedule", seed=5).invariants
    assert row.status == status and (row.got or row.note or "").startswith(got), row
