"""Baselines and controls beside a pressed ticket: its penalty is judged by its own steps, or not at all."""

from __future__ import annotations

import copy

import pytest
import torch

from tests.sims.invariants.recorded import PRUNED, forward, recorded, state, step
from unilth.sims.invariants import check
from unilth.sims.invariants.penalty_rounds import FEW, Round, others_were_trained
from unilth.sims.invariants.reference import PressedTicket, ramp
from unilth.sims.invariants.twins_finder import PRESSED

OTHER, MOVED = state(a_weight=[[3, 1, 4, 1]]), state(a_weight=[[4, 3, 2, 2]])
DRAWN = state(a_weight=[[1, -2, 1, -2]], b_weight=[[1], [-1]])
PART, FULL, WRONG = state(a_weight=[[4, 3, 0, 2]]), state(**PRUNED), state(a_weight=[[0, 3, 1, 2]])


def alone(events):
    """Events before a ticket, as its only round."""
    return Round(recorded(events))


@pytest.mark.parametrize(
    ("events", "others"),
    [
        ([], False), ([forward(state()), step(MOVED), forward(MOVED)], False),
        ([forward(state()), step(MOVED), forward(state()), step(OTHER)], True),  # back to the start
        ([forward(state()), forward(state()), step(MOVED)], False),  # two passes for one step
        ([forward(state()), step(MOVED), forward(state(), model=1)], True),
        ([forward(state()), step(MOVED), forward(MOVED, model=1)], False),
        ([forward(state()), step(MOVED), forward(DRAWN, model=1)], True),  # a start of its own
        ([forward(state()), step(MOVED), forward(state(), learns=False)], False),
        ([forward(MOVED), step(FULL), forward(FULL)], True),  # a mask, and there is another one later
        ([forward(MOVED), step(FULL), forward(FULL, learns=False)], False),
        ([forward(MOVED), step(WRONG), forward(WRONG)], True),
        ([forward(MOVED), step(OTHER), forward(OTHER), step(PART), forward(MOVED), step(OTHER)], True),  # again
        ([forward(MOVED), step(OTHER), forward(MOVED, model=1)], True),
        ([forward(MOVED), step(MOVED), forward(MOVED), step(OTHER)], False),  # a step that moves nothing
        ([forward(MOVED), step(OTHER), forward(OTHER, model=1), forward(OTHER), step(PART)], True),  # the copy first
        ([forward(MOVED), step(OTHER), forward(OTHER), forward(MOVED), step(OTHER)], False),  # on the way to the step
        ([forward(MOVED), step(OTHER), forward(state(a_weight=[[4, 3, 2, 1]]))], False),  # best weights, restored
    ],
)  # fmt: skip
def test_other_trainings_are_told_by_where_they_begin_and_by_their_masks(events, others):
    assert others_were_trained(alone(events)) == others


def test_early_stopping_goes_back_once():
    on = [forward(MOVED), step(OTHER), forward(OTHER), step(PART)]
    first = [forward(state()), step(MOVED)]
    for returns, others in ((0, True), (1, False)):
        assert others_were_trained(alone([*first, *on, *on]), returns) == others
    assert others_were_trained(alone([*first, *on, *on, *on]), 1)
    assert others_were_trained(alone([*first, *on, *on])), "never, unless it is said"


def test_a_few_weights_may_be_0():
    many = -torch.arange(1.0, 41.0).reshape(1, 40)
    many[0, 20:30] = 0  # from the start
    for zeros, others in ((int(FEW * 40), False), (int(FEW * 40) + 1, True)):
        weights = many.clone()
        weights[0, :zeros] = 0
        seen = recorded([forward({"a.weight": weights})], mask={"a.weight": [[1] * 20 + [0] * 20]})
        seen.names, seen.given = ["a.weight"], {"a.weight": many}
        assert others_were_trained(Round(seen)) == others


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


class PlainL2First(PressedTicket):
    """A baseline with constant L2 begins where the press will begin."""

    plain = 0.0

    def choose(self, sparsity):
        dense, self.plain = self.remember(), 0.05
        self.train(2)
        self.network.load_state_dict(dense)
        self.plain = 0.0
        return super().choose(sparsity)

    def before_step(self, optimizer):
        for weight in self.network.parameters():
            weight.grad.add_(self.plain * weight.detach())
        super().before_step(optimizer)


class CopyWithL2First(PlainL2First):
    """And here in a copy, so that the ticket's own network is not set back."""

    def choose(self, sparsity):
        own, self.network, self.plain = self.network, copy.deepcopy(self.network), 0.05
        self.train(2)
        self.network, self.plain = own, 0.0
        return PressedTicket.choose(self, sparsity)


class DenseBaselineFirst(PressedTicket):
    def search(self):
        compare(self, {name: torch.ones_like(kept) for name, kept in self.mask.items()})
        super().search()


@pytest.mark.parametrize(
    ("finder", "status", "got"),
    [
        (DenseBaselineAfterwards, "passed", ""),
        (HalfAsHard, "violated", "a penalty of 0.01 at step 1"),
        (RandomMaskBetween, "not-applicable", "several masks or trainings came before the ticket"),
        (DenseBaselineFirst, "passed", ""),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_a_penalty_is_judged_by_the_steps_of_its_ticket(finder, status, got):
    (row,) = check(PRESSED(finder), budget="quick", only="finder-penalty-schedule", seed=5).invariants
    assert row.status == status and (row.got or row.note or "").startswith(got), row


@pytest.mark.parametrize("finder", [PlainL2First, CopyWithL2First], ids=lambda one: one.__name__)
def test_a_constant_penalty_of_a_baseline_is_not_the_tickets(finder):
    (row,) = check(PRESSED(finder), budget="quick", only="finder-penalty-outside-mask", seed=5).invariants
    assert row.status == "not-applicable" and row.note.startswith("several masks or trainings"), row
