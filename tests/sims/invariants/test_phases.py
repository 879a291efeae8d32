"""Several networks under one mask: the ticket is the one that first came by the answered weights."""

from __future__ import annotations

import copy
import itertools

import pytest
import torch
from torch.nn import functional as F

from tests.sims.invariants.recorded import PRUNED, forward, recorded, state, step, verdict
from unilth.sims.invariants import check
from unilth.sims.invariants import finder_training as training
from unilth.sims.invariants.reference import Lth
from unilth.sims.invariants.twins_finder import ONE_SHOT, OneShot


def at(*kept, pruned=(0, 0, 0)):
    """A state with these kept weights."""
    return state(a_weight=[[*kept[:2], *pruned[:2]]], b_weight=[[kept[2]], [pruned[2]]])


UNDER, FIRST, SECOND, THIRD = state(**PRUNED), at(6, 5, 7), at(8, 9, 9), at(7, 7, 7)
NEAR, BETWEEN = at(6.1, 5, 7), at(6, 6, 7)
DENSE = [forward(state()), step(at(4, 3, 5, pruned=(7, 8, 9)))]


def trained(*states, model=1):
    """A pass and a step from each state to the next, under the mask."""
    return [
        event
        for before, after in itertools.pairwise(states)
        for event in (forward(before, model=model), step(after, before=before, model=model))
    ]


def seen_in(values, model):
    """A network that is evaluated."""
    return forward(values, learns=False, model=model)


BETWEEN_CANDIDATES = [forward(state(), model=1), step(state(), model=1)]
A, B = trained(UNDER, FIRST, model=1), trained(UNDER, SECOND, model=2)


@pytest.mark.parametrize(
    ("events", "answer", "start"),
    [
        ([*DENSE, *A, *B], FIRST, 2), ([*DENSE, *A, *B], SECOND, 4),
        ([*DENSE, *A, *B, seen_in(FIRST, 0)], FIRST, 2),  # evaluated where nothing was trained
        ([*DENSE, *A, *B, seen_in(FIRST, 3)], FIRST, 2),
        ([*DENSE, *A, *trained(FIRST, SECOND, model=2)], FIRST, 2),  # a copy of the finished ticket
        ([*DENSE, *A, *trained(FIRST, SECOND, model=2)], SECOND, 2),  # one training, in two modules
        ([*DENSE, *A, *trained(FIRST, SECOND, model=2), *trained(SECOND, THIRD, model=3)], THIRD, 2),
        ([*DENSE, *trained(UNDER, FIRST, THIRD), *trained(FIRST, SECOND, model=2)], SECOND, 2),  # from a checkpoint
        ([*DENSE, *A, *trained(NEAR, SECOND, model=2)], SECOND, 4),
        ([*DENSE, forward(UNDER, model=1), *A, *B], SECOND, 5),  # where it began, and began again
        ([*DENSE, *A, *B, *A, *B], SECOND, 4), ([*DENSE, *B, *A, seen_in(BETWEEN, 0)], BETWEEN, 4),  # an average
        ([*DENSE, *A, *B, seen_in(BETWEEN, 0)], BETWEEN, 2), ([*DENSE, *A, *B, seen_in(BETWEEN, 2)], BETWEEN, 4),
        ([*DENSE, *A, seen_in(BETWEEN, 0), *B], BETWEEN, 2), ([*DENSE, *A, *B], BETWEEN, 2),
        ([*DENSE, *B, *A], BETWEEN, 4), ([*DENSE, *A, *B], UNDER, 4), ([seen_in(BETWEEN, 0), *DENSE, *A], BETWEEN, 3),
        ([*DENSE, *A, forward(state(), model=1), step(FIRST, model=1), *B, *trained(UNDER, THIRD)], FIRST, 2),
        ([*DENSE, *A, *BETWEEN_CANDIDATES, *trained(UNDER, SECOND), seen_in(FIRST, 1)], FIRST, 2),  # the best of two
        ([*DENSE, *A, *BETWEEN_CANDIDATES, *trained(UNDER, SECOND), seen_in(SECOND, 1)], SECOND, 6),
    ],
)  # fmt: skip
def test_the_first_that_came_by_the_answer_is_the_ticket(events, answer, start):
    assert recorded(events, weights=answer).final_phase() == start


def test_what_a_model_was_left_with_counts_where_nothing_saw_it():
    by_hand = [*DENSE, forward(UNDER, model=1), forward(NEAR, model=1)]
    live = [UNDER, FIRST, SECOND]
    assert recorded([*by_hand, *B], live=live, weights=FIRST).final_phase() == 2
    assert recorded([*by_hand, *B], live=live, weights=SECOND).final_phase() == 4
    on = trained(FIRST, THIRD, model=2)
    assert recorded([*by_hand, *on], live=[UNDER, FIRST, THIRD], weights=THIRD).final_phase() == 2
    assert recorded([*by_hand, *on], live=[UNDER, NEAR, THIRD], weights=THIRD).final_phase() == 4
    assert recorded([*on, *DENSE, forward(UNDER, model=1)], live=[UNDER, FIRST], weights=THIRD).final_phase() == 0
    dense = [step(UNDER, model=1), forward(state(), model=1), step(state(), model=1)]
    again = [*by_hand, *dense, forward(UNDER, model=1)]
    assert recorded(again, live=[UNDER, THIRD], weights=THIRD).final_phase() == 7, "its last training"


def test_what_the_mask_prunes_is_not_compared():
    events = [*DENSE, forward(UNDER, model=1), step(at(6, 5, 7, pruned=(1, 1, 1)), model=1)]
    assert recorded([*events, *B], weights=FIRST).final_phase() == 2
    assert recorded([*events, *trained(FIRST, SECOND, model=2)], weights=SECOND).final_phase() == 2
    loose = recorded([*events, *B], weights=at(6, 5, 7, pruned=(3, 3, 3)))
    assert loose.final_phase() == 2, "that the answer is not 0 there is judged elsewhere"


@pytest.mark.parametrize(
    ("by", "carried", "got"),
    [
        ((1, 1, 2), ((), ("m",), ()), ""), ((1, 2, 2), ((), ("m",), ()), "an optimizer that brings m"),
        ((1, 1, 2), ((), (), ("m",)), "not judged: an optimizer goes on"), ((1, 2, 1), ((), (), ("m",)), ""),
        ((1, 1, 0), ((), (), ("m",)), "an optimizer that brings m"), ((1, 2, 3), ((), (), ("m",)), "an optimizer that"),
    ],
)  # fmt: skip
def test_an_optimizer_may_go_on_with_what_another_learned_under_the_mask(by, carried, got):
    steps = [step(UNDER, by=number, carried=held) for number, held in zip(by, carried, strict=True)]
    before = [forward(state()), step(state(), by=0, carried=("m",)), forward(UNDER)]
    found = verdict(training.check_rewinds_optimizer, recorded([*before, *steps]))
    assert found.startswith(got) and bool(found) == bool(got)


def control(ticket, draws):
    """Another network is trained under the ticket's mask."""
    own, ticket.network = ticket.network, copy.deepcopy(ticket.network)
    ticket.network.load_state_dict(ticket.initial)
    with torch.no_grad():
        for weight in ticket.prunable().values() if draws else ():
            weight.copy_(0.2 * torch.randn(weight.shape, generator=ticket.chance))
    ticket.apply()
    ticket.train(ticket.tune_epochs)
    ticket.network = own


class EvaluatesAnotherModule(OneShot):
    """The ticket's checkpoint is evaluated in a new module, after the control."""

    draws = True

    def search(self):
        super().search()
        control(self, self.draws)
        self.network = copy.deepcopy(self.network)
        self.validation_loss()


class EvaluatesAnotherModuleAndDoesNotRewind(EvaluatesAnotherModule):
    draws = False

    def rewind(self):
        pass


class TrainsACopyOn(OneShot):
    """A copy of the ticket is trained further, as linear mode connectivity wants it."""

    def search(self):
        super().search()
        own, self.network = self.network, copy.deepcopy(self.network)
        self.train(1)
        self.network = own


class GoesOnElsewhere(OneShot):
    """Training is killed under the mask, and goes on in a new process's module."""

    def train(self, epochs):
        if self.masks:
            super().train(1)
            self.network = copy.deepcopy(self.network)
        super().train(epochs)


class GoesOnElsewhereWithTheLastBiases(GoesOnElsewhere):
    def rewind(self):
        self.network.load_state_dict({name: self.initial[name] for name in self.prunable()}, strict=False)


class Averages(OneShot):
    """The answer is the mean of the weights after each epoch, of a copy that is trained by hand."""

    def train(self, epochs):
        if not self.masks:
            return super().train(epochs)
        own, self.network = self.network, copy.deepcopy(self.network)
        states = []
        inputs, labels = self.rows()
        for _ in range(epochs):
            for chosen in self.order(len(labels)).split(self.batch):
                self.network.zero_grad()
                F.cross_entropy(self.network(inputs[chosen]), labels[chosen]).backward()
                with torch.no_grad():
                    for weight in self.network.parameters():
                        weight.sub_(self.lr * weight.grad)
                self.apply()
            states.append(self.remember())
        self.network = own
        own.load_state_dict({name: sum(state[name] for state in states) / epochs for name in states[0]})
        self.validation_loss()


class AveragesAndDoesNotRewind(Averages):
    def rewind(self):
        pass


@pytest.mark.parametrize(
    ("finder", "id", "got"),
    [
        (EvaluatesAnotherModule, "finder-rewinds", None),
        (EvaluatesAnotherModuleAndDoesNotRewind, "finder-rewinds", "kept weights of 'first.weight' differ"),
        (TrainsACopyOn, "finder-rewinds", None),
        (GoesOnElsewhere, "finder-rewinds-the-rest", None),
        (GoesOnElsewhere, "finder-rewinds", None),
        (GoesOnElsewhereWithTheLastBiases, "finder-rewinds-the-rest", "differ from .initial"),
        (Averages, "finder-rewinds", None),
        (AveragesAndDoesNotRewind, "finder-rewinds", "kept weights of 'first.weight' differ"),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_a_finder_is_judged_by_the_training_of_its_ticket(finder: type[Lth], id, got):
    (row,) = check(ONE_SHOT(finder), budget="quick", only=id, seed=5).invariants
    assert (row.status == "violated" and got in row.got) if got else row.status == "passed", row
