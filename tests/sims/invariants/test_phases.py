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
from unilth.sims.invariants.phases import Phase, Training, led_to_the_answer, phases
from unilth.sims.invariants.reference import Lth
from unilth.sims.invariants.twins_finder import ONE_SHOT, OneShot


def at(*kept, pruned=(0, 0, 0)):
    """A state with these kept weights."""
    return state(a_weight=[[*kept[:2], *pruned[:2]]], b_weight=[[kept[2]], [pruned[2]]])


UNDER, FIRST, SECOND, THIRD = state(**PRUNED), at(6, 5, 7), at(8, 9, 9), at(7, 7, 7)
NEAR, BETWEEN, MASKED, MEAN = at(6.1, 5, 7), at(6, 6, 7), at(4, 3, 5.5), at(7, 7, 8)
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


SEARCH = [forward(FIRST, model=1), forward(UNDER, model=1), step(SECOND, before=FIRST, model=1)]
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
        ([*DENSE, *trained(UNDER, FIRST, model=3), *trained(FIRST, SECOND, model=2)], SECOND, 2),
        ([*DENSE, forward(UNDER, model=1), *A, *B], SECOND, 5),  # where it began, and began again
        ([*DENSE, *A, *B, *A, *B], SECOND, 4), ([*DENSE, *B, *A, seen_in(BETWEEN, 0)], BETWEEN, 4),  # an average
        ([*DENSE, *A, *B, seen_in(BETWEEN, 0)], BETWEEN, 2), ([*DENSE, *A, *B, seen_in(BETWEEN, 2)], BETWEEN, 2),
        ([*DENSE, *A, seen_in(BETWEEN, 0), *B], BETWEEN, 2), ([*DENSE, *A, *B], BETWEEN, 2),
        ([*DENSE, *B, *A], BETWEEN, 4), ([*DENSE, *A, *B], UNDER, 4), ([seen_in(BETWEEN, 0), *DENSE, *A], BETWEEN, 3),
        ([*DENSE, *A, forward(state(), model=1), step(FIRST, model=1), *B, *trained(UNDER, THIRD)], FIRST, 2),
        ([*DENSE, *A, *BETWEEN_CANDIDATES, *trained(UNDER, SECOND), seen_in(FIRST, 1)], FIRST, 2),  # the best of two
        ([*DENSE, *A, *trained(SECOND, THIRD, model=2), *trained(FIRST, SECOND)], THIRD, 4),  # who came there later
        ([*DENSE, *A, *BETWEEN_CANDIDATES, *trained(UNDER, SECOND), seen_in(SECOND, 1)], SECOND, 6),
    ],
)  # fmt: skip
def test_the_first_that_came_by_the_answer_is_the_ticket(events, answer, start):
    assert recorded(events, weights=answer).final_phase() == start


def test_going_back_to_the_first_step_of_a_training_is_no_beginning():
    back = [*DENSE, *trained(UNDER, FIRST, SECOND), *trained(FIRST, THIRD)]
    assert phases(recorded(back, weights=THIRD)) == [Phase(2, len(back), 1)]
    again = [*DENSE, *trained(UNDER, FIRST, SECOND), *trained(UNDER, THIRD)]
    assert [phase.start for phase in phases(recorded(again, weights=THIRD))] == [2, 6]


def test_what_a_model_was_left_with_counts_where_nothing_saw_it():
    by_hand = [*DENSE, forward(UNDER, model=1), forward(NEAR, model=1)]
    live = [UNDER, FIRST, SECOND]
    assert recorded([*by_hand, *B], live=live, weights=FIRST).final_phase() == 2
    assert recorded([*by_hand, *B], live=live, weights=SECOND).final_phase() == 4
    on = trained(FIRST, THIRD, model=2)
    assert recorded([*by_hand, *on], live=[UNDER, FIRST, THIRD], weights=THIRD).final_phase() == 2
    off = trained(at(6, 5.5, 7), THIRD, model=2)
    assert recorded([*by_hand, *off], live=[UNDER, FIRST, THIRD], weights=THIRD).final_phase() == 4
    assert recorded([*on, *DENSE, forward(UNDER, model=1)], live=[UNDER, FIRST], weights=THIRD).final_phase() == 0
    dense = [step(UNDER, model=1), forward(state(), model=1), step(state(), model=1)]
    again = [*by_hand, *dense, forward(UNDER, model=1)]
    assert recorded(again, live=[UNDER, THIRD], weights=THIRD).final_phase() == 7, "its last training"


@pytest.mark.parametrize(
    ("events", "answer", "start"),
    [
        ([*DENSE, *trained(UNDER, FIRST), *trained(UNDER, SECOND)], SECOND, 4),  # set back in place
        ([*DENSE, *trained(UNDER, FIRST), *trained(UNDER, SECOND)], FIRST, 2),
        ([*DENSE, *trained(MASKED, FIRST), *trained(UNDER, SECOND)], SECOND, 4),
        ([*DENSE, *trained(MASKED, FIRST), *trained(MASKED, SECOND)], SECOND, 4),
        ([*DENSE, *trained(THIRD, FIRST), *trained(THIRD, SECOND)], SECOND, 4),  # to where it began
        ([*DENSE, *trained(UNDER, FIRST, THIRD), *trained(FIRST, SECOND)], SECOND, 2),  # to an epoch of its own
        ([*DENSE, *trained(UNDER, FIRST), *trained(NEAR, SECOND)], SECOND, 2),  # changed by hand, to something new
        ([*DENSE, *trained(UNDER, UNDER), *trained(UNDER, SECOND)], SECOND, 2),  # the step left it there
        ([*DENSE, *trained(UNDER, FIRST), *SEARCH], SECOND, 2),  # another point on the way to the step
        ([*DENSE, *trained(UNDER, FIRST), *trained(UNDER, SECOND, model=2), *trained(UNDER, THIRD)], THIRD, 6),
    ],
)  # fmt: skip
def test_a_phase_ends_where_the_weights_are_set_back(events, answer, start):
    assert recorded(events, weights=answer).final_phase() == start


@pytest.mark.parametrize(
    ("events", "chain"),
    [
        ([*A, *B, *trained(MEAN, THIRD, model=3)], [4, 6]), ([*A, *B, *trained(at(7, 7, 8.1), THIRD, model=3)], [4, 6]),
        ([*A, *B, *trained(at(7, 7, 9.1), THIRD, model=3)], [6]),  # no average
        ([*A, *trained(at(5, 4, 6), THIRD, model=2)], [2, 4]),  # of a network with its copy
        ([*A, *trained(at(3, 4, 6), THIRD, model=2)], [4]),
        ([*A, *B, *trained(MEAN, FIRST, model=3), *trained(MEAN, SECOND, model=4),
          *trained(at(7, 8, 8), THIRD, model=5)], [4, 6, 8, 10]),
        ([*trained(UNDER, FIRST), *trained(at(5, 4, 6), THIRD)], [2]),
        # from a checkpoint, in place: of an earlier candidate, and after another network had its turn
        ([*trained(UNDER, FIRST), *trained(UNDER, SECOND), *trained(FIRST, THIRD)], [2, 6]),
        ([*trained(UNDER, FIRST), forward(state(), model=1), step(NEAR, model=1), *trained(FIRST, THIRD)], [2, 6]),
        ([*trained(UNDER, FIRST), *trained(UNDER, SECOND), *trained(NEAR, THIRD)], [4]),
    ],
)  # fmt: skip
def test_a_training_may_begin_with_the_average_of_others(events, chain):
    seen = recorded([*DENSE, *events], weights=THIRD)
    assert [phase.start for phase in led_to_the_answer(seen, phases(seen))] == chain and seen.final_phase() == chain[0]


def test_a_phase_holds_what_comes_between_its_ends():
    assert [index for index in range(6) if Phase(1, 4, 0).holds(index, 0)] == [2, 3]
    assert not Phase(1, 4, 0).holds(2, 1)
    whole = Training(2, 7, (Phase(1, 4, 1), Phase(6, 9, 1)), False)
    assert [index for index in range(10) if whole.holds(index, 1)] == [2, 3, 4, 6, 7]
    assert not whole.holds(3, 0) and not whole.holds(3, 2)


def test_what_was_known_before_a_training_is_nothing_that_it_came_to():
    scratch = [*trained(FIRST, SECOND), forward(UNDER, learns=False, model=1)]
    for live in (UNDER, SECOND):
        seen = recorded([*DENSE, *scratch, *trained(UNDER, THIRD, model=2)], live=[UNDER, live], weights=THIRD)
        assert seen.final_phase() == 5, "it was only set back there"
    other = at(5, 5, 7)
    ended = [*trained(FIRST, SECOND), forward(state(), model=1), step(other, model=1)]
    seen = recorded([*DENSE, *ended, *trained(other, THIRD, model=2)], live=[UNDER, other], weights=THIRD)
    assert seen.final_phase() == 6, "its training under the mask was over"


@pytest.mark.parametrize(
    ("events", "answer", "end", "models"),
    [
        ([*A, *B], FIRST, 3, {1}), ([*A, seen_in(FIRST, 1), *B], FIRST, 4, {1}), ([*A, *B], SECOND, 5, {2}),
        ([*A, *trained(FIRST, SECOND, model=2)], SECOND, 5, {1, 2}), ([*A, *B], BETWEEN, 6, {1}),
        ([*A, seen_in(FIRST, 2), *B], FIRST, 3, {1}), ([*A, *B, seen_in(FIRST, 1)], FIRST, 6, {1}),
        ([*A, seen_in(SECOND, 1), seen_in(FIRST, 1)], FIRST, 3, {1}), ([*A, *B], UNDER, 4, {2}),
        ([*A, forward(FIRST, model=2), step(at(6, 5, 7, pruned=(1, 1, 1)), model=2)], FIRST, 5, {1, 2}),
        ([*A, forward(FIRST, model=2), step(SECOND, model=2)], FIRST, 3, {1}),
    ],
)  # fmt: skip
def test_the_ticket_is_trained_until_it_is_there(events, answer, end, models):
    found = recorded([*DENSE, *events], weights=answer).training()
    assert (found.start, found.end) == (2 if 1 in models else 4, end) and {part.model for part in found.parts} == models


@pytest.mark.parametrize(
    ("events", "strange"),
    [
        ([*A, *trained(at(1, 9, 7), THIRD, model=3)], True), ([*trained(at(1, 9, 7), THIRD, model=3)], False),
        ([*A, *trained(UNDER, THIRD, model=3)], False), ([*A, *trained(at(5, 4, 4), THIRD, model=3)], True),
        ([seen_in(at(1, 9, 7), 4), *A, *trained(at(1, 9, 7), THIRD, model=3)], False),
        ([*A, seen_in(at(1, 9, 7), 4), *trained(at(1, 9, 7), THIRD, model=3)], True),
        ([*trained(at(1, 9, 7), THIRD, model=3), *A], False),
        ([*A, step(at(1, 9, 7, pruned=(1, 1, 1))), *trained(at(1, 9, 7), THIRD, model=3)], False),  # it was dense
        ([*A, step(at(1, 9, 7)), *trained(at(1, 9, 7), THIRD, model=3)], True),  # a server's step under the mask
    ],
)  # fmt: skip
def test_a_beginning_seen_nowhere_after_others_is_strange(events, strange):
    seen = recorded([*DENSE, *events], weights=THIRD)
    assert seen.training().strange == strange
    judged = {judge: verdict(judge, seen) for judge in (training.check_rewinds, training.check_rewinds_rest)}
    assert judged[training.check_rewinds].startswith("not judged: the training begins") == strange
    biased = [copy.copy(event) for event in seen.events]
    for event in biased:
        if event.model == 3:
            event.state, event.before = event.state | {"a.bias": torch.tensor([9.0])}, None
    rest = verdict(training.check_rewinds_rest, recorded(biased, weights=THIRD))
    assert rest.startswith("not judged: the training begins" if strange else "a.bias differ from .initial")


def test_another_network_may_have_its_turn_in_the_tickets_module():
    alive = at(4, 3, 5, pruned=(1, 1, 1))
    turn = [forward(alive, model=1), step(alive, model=1), forward(alive, model=1), step(alive, model=1)]
    seen = recorded([*DENSE, *A, *turn, *trained(FIRST, SECOND)], weights=SECOND)
    assert verdict(training.check_zero_every_step, seen) == ""
    revived = [forward(at(8, 9, 9, pruned=(1, 1, 1)), model=1)]
    seen = recorded([*DENSE, *A, *turn, *trained(FIRST, SECOND), *revived], weights=at(9, 9, 8))
    assert verdict(training.check_zero_every_step, seen).startswith("3 pruned weights are not 0 at the next use after")


def test_others_are_not_the_ticket():
    """A control is trained without the mask, from the ticket's weights; a teacher goes on with its own optimizer."""
    alive = at(7, 6, 8, pruned=(1, 1, 1))
    control = [forward(FIRST, model=2), step(alive, model=2), forward(alive, model=2)]
    for where, got in (
        ([*A, *control], ""),
        ([*A[:1], step(alive, model=1), forward(alive, model=1), *A[1:]], "3 pru"),
    ):
        assert verdict(training.check_zero_every_step, recorded([*DENSE, *where], weights=FIRST)).startswith(got)
        assert bool(got) == bool(verdict(training.check_zero_every_step, recorded([*DENSE, *where], weights=FIRST)))
    teacher = step(THIRD, by=3, carried=("m",))
    events = [*DENSE, A[0], teacher, step(FIRST, before=UNDER, by=1, model=1), teacher]
    assert verdict(training.check_rewinds_optimizer, recorded(events, weights=FIRST)) == ""
    later = step(SECOND, by=3, carried=("m",), model=1)
    assert verdict(training.check_rewinds_optimizer, recorded([*events[:-1], later], weights=FIRST)) == "", "it is over"
    assert verdict(training.check_rewinds_optimizer, recorded([*events[:-1], later], weights=SECOND)).endswith(
        "training"
    )


def test_what_the_mask_prunes_is_not_compared():
    events = [*DENSE, forward(UNDER, model=1), step(at(6, 5, 7, pruned=(1, 1, 1)), model=1)]
    assert recorded([*events, *B], weights=FIRST).final_phase() == 2
    assert recorded([*events, *trained(FIRST, SECOND, model=2)], weights=SECOND).final_phase() == 2
    loose = recorded([*events, *B], weights=at(6, 5, 7, pruned=(3, 3, 3)))
    assert loose.final_phase() == 2, "that the answer is not 0 there is judged elsewhere"


@pytest.mark.parametrize(
    ("steps", "got"),
    [
        ("1 . 1m . 2", ""), ("1 2m", "an optimizer that brings m"), ("1 . 2m", "not judged: an optimizer goes on"),
        ("1 . 1 . 2m", "not judged"), ("1 . 2 . 1m . 2m", ""), ("1 . 0m", "an optimizer that brings m"),
        ("1 2 3m", "an optimizer that brings m"), (". 1m", "an optimizer that"), ("1 1 2m", "an optimizer that"),
        ("1m . 2m", "an optimizer that"), ("1 . 2m 3", "not judged"),
    ],
)  # fmt: skip
def test_an_optimizer_may_go_on_with_what_another_learned_under_the_mask(steps, got):
    """Numbers are the optimizers that step, with m for one that carries state; a dot is a learning pass."""
    after = [
        forward(UNDER) if word == "." else step(UNDER, by=int(word[0]), carried=tuple(word[1:]))
        for word in steps.split()
    ]
    before = [forward(state()), step(state(), by=0, carried=("m",)), forward(UNDER)]
    found = verdict(training.check_rewinds_optimizer, recorded([*before, *after], weights=FIRST))
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
