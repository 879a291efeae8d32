"""Gradients that are only looked at (a norm for a log, a saliency map) are no training; training after a look is."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from tests.sims.invariants.recorded import PRUNED, forward, recorded, state, step
from unilth.sims.invariants import check
from unilth.sims.invariants.observe import Event
from unilth.sims.invariants.phases import phases
from unilth.sims.invariants.reference import StoppedTicket
from unilth.sims.invariants.states import Table, apart
from unilth.sims.invariants.twins_finder import ONE_SHOT, OneShot


def at(*weights, **more):
    """A state with these weights in the first layer."""
    return state(a_weight=[list(weights)], **more)


START, FIRST, SECOND, THIRD = state(a_bias=[7]), at(9, 8, 7, 6), at(8, 7, 6, 5), at(7, 6, 5, 4)
MASKED = at(9, 8, 0, 0)
NEARLY, NEAR = at(4, 3, 1, 2 + 3e-5), at(4, 3, 1, 2 + 6e-5)
OTHER = {"model": 1}


def copied(values):
    """A learning pass of another model."""
    return forward(values, **OTHER)


FROM_START = [forward(START), step(FIRST, before=START)]


@pytest.mark.parametrize(
    ("events", "looks"),
    [
        ([forward(FIRST), forward(START), step(SECOND, before=START)], {0}),
        ([forward(FIRST), forward(FIRST), forward(START), forward(START), step(SECOND, before=START)], {0, 1}),
        ([forward(START), forward(FIRST), step(SECOND, before=START)], set()),  # another point on the way to the step
        ([forward(FIRST), step(SECOND, before=START)], set()),  # noise for the pass, or a mask after it
        ([forward(FIRST), forward(START), step(SECOND)], set()),  # it is not known what the step found
        ([forward(FIRST, learns=False), forward(START), step(SECOND, before=START)], set()),
        ([forward(FIRST), forward(MASKED), step(SECOND, before=MASKED)], {0}),
        ([forward(MASKED), forward(FIRST), step(SECOND, before=FIRST)], set()),  # where zeros were is something new
        ([forward(START), forward(FIRST), forward(SECOND), step(THIRD, before=SECOND)], set()),  # steps by hand
        ([*FROM_START, forward(SECOND), forward(FIRST), step(THIRD, before=FIRST)], {2}),
        ([*FROM_START, forward(SECOND), forward(START), step(THIRD, before=START)], {2}),  # what an optimizer found
        ([*FROM_START, copied(FIRST), forward(FIRST), step(SECOND, before=FIRST)], {2}),
        ([copied(START), *FROM_START[1:], copied(FIRST), step(SECOND, before=FIRST)], set()),  # a copy's gradients
        ([copied(START), copied(FIRST), *FROM_START], set()),  # trained by hand
        ([*FROM_START, copied(FIRST), step(SECOND, before=FIRST)], set()),
        ([forward(FIRST), step(FIRST, before=FIRST), forward(START), step(SECOND, before=START)], {0}),  # moves nothing
        ([*FROM_START, copied(FIRST), step(FIRST, before=FIRST), forward(FIRST), step(THIRD, before=FIRST)], {2}),
        ([*FROM_START, forward(FIRST), forward(START), forward(SECOND), step(THIRD, before=NEARLY)], {2}),
        ([*FROM_START, forward(FIRST), forward(START), forward(SECOND), step(THIRD, before=NEAR)], set()),
        ([*FROM_START, forward(FIRST), forward(START), forward(NEARLY), step(THIRD, before=NEARLY)], {2}),
        ([*FROM_START, step(FIRST, before=FIRST), forward(SECOND), forward(START), step(THIRD, before=START)], {3}),
        ([forward(FIRST), forward(SECOND), forward(at(8, 7, 0, 0)), step(THIRD, before=at(8, 7, 0, 0))], set()),
        ([copied(START), *FROM_START, copied(FIRST), forward(FIRST), step(SECOND, before=FIRST)], {0, 3}),
        ([copied(THIRD), step(SECOND, before=THIRD, **OTHER), *FROM_START], set()),
    ],
)
def test_a_look_is_told_by_what_the_next_step_found(events, looks):
    seen = recorded(events)
    seen.live = [next((event.state for event in reversed(events) if event.model == model), START) for model in (0, 1)]
    assert seen.looks() == looks


@pytest.mark.parametrize(
    ("passes", "left", "looks"),
    [
        ([FIRST], FIRST, {2}), ([FIRST], START, {2}), ([FIRST], MASKED, {2}), ([FIRST], SECOND, set()),
        ([FIRST, FIRST], FIRST, {2, 3}), ([FIRST, START], START, {2, 3}), ([FIRST, SECOND], SECOND, set()),
        ([SECOND], SECOND, {2}), ([SECOND, SECOND], SECOND, {2, 3}), ([SECOND], FIRST, {2}),
        ([SECOND, FIRST], FIRST, {2, 3}),
    ],
)  # fmt: skip
def test_a_last_look_is_told_by_what_is_left(passes, left, looks):
    events = [*FROM_START, *map(forward, passes)]
    assert recorded(events, live=[left]).looks() == looks
    events = [*FROM_START, *map(copied, passes)]
    every = set(range(2, 2 + len(passes)))
    assert recorded(events, live=[FIRST, left]).looks() == every, "a copy that is thrown away"
    assert recorded(events, live=[FIRST, left], weights=left).looks() == looks, "and one that is not"
    later = [forward(left, learns=False)]
    assert recorded([*events, *later], live=[left, left]).looks() == looks, "what it was left with is used"
    assert recorded([*later, *events], live=[FIRST, left]).looks() == {index + 1 for index in every}


def test_steps_by_hand_are_no_looks_because_they_are_evaluated():
    seen = [forward(SECOND, learns=False), forward(SECOND), forward(THIRD, learns=False), forward(THIRD)]
    assert recorded([*FROM_START, forward(FIRST), *seen], live=[FIRST]).looks() == set(), "the first is restored"
    others = [Event("forward", event.state, learns=event.learns, model=int(event.learns)) for event in seen]
    assert recorded([*FROM_START, *others], live=[FIRST, THIRD]).looks() == {3, 5}, "a copy that follows"


def test_a_copy_may_come_before_what_is_trained():
    events = [forward(FIRST), copied(START), step(SECOND, before=START, **OTHER), copied(THIRD)]
    assert recorded(events, live=[THIRD, THIRD]).looks() == {3}, "the first was trained by hand, and is used"
    assert recorded(events, live=[at(1, 2, 3, 4), THIRD]).looks() == {0, 3}


BY_HAND = [forward(FIRST, learns=False), copied(FIRST), copied(SECOND)]  # and left with THIRD
ROUNDED, MEAN = at(7.1, 6, 5, 4), at(7.4, 6.4, 5.4, 4.4)


@pytest.mark.parametrize(
    ("later", "answer", "looks"),
    [
        ([], FIRST, {3, 4}), ([], MASKED, {3, 4}), ([], THIRD, set()), ([], ROUNDED, set()), ([], MEAN, set()),
        ([], at(7.1, 6, 0, 0), set()),  # and masked
        ([], at(8.7, 7.7, 6.7, 5.7), {3, 4}), ([], at(7.5, 8.5, 7.5, 6.5), {3, 4}),  # nearer to what is known
        ([], at(8.34, 7.34, 6.34, 5.34), {3, 4}), ([], at(8.33, 7.33, 6.33, 5.33), set()),  # twice as near or not
        ([forward(ROUNDED)], FIRST, set()), ([forward(ROUNDED, learns=False)], ROUNDED, set()),
        ([forward(at(7.1, 6, 0, 0), learns=False)], FIRST, set()),
        ([forward(FIRST), step(ROUNDED, before=FIRST)], FIRST, {3, 4}),  # a step came there by itself
        ([forward(FIRST), step(ROUNDED, before=FIRST), forward(ROUNDED)], FIRST, {3, 4}),
        ([forward(FIRST), step(ROUNDED, before=FIRST), forward(at(7.1, 0, 5, 4))], ROUNDED, {3, 4}),
        ([forward(FIRST), step(ROUNDED, before=FIRST), forward(FIRST), forward(ROUNDED)], ROUNDED, {3, 4}),
        ([forward(FIRST, model=2), step(ROUNDED, before=FIRST, model=2)], ROUNDED, {3, 4}),
        ([forward(FIRST, model=2), step(ROUNDED, before=FIRST, model=2), forward(ROUNDED)], FIRST, {3, 4}),
        ([forward(ROUNDED), forward(FIRST, model=2), step(ROUNDED, before=FIRST, model=2)], FIRST, set()),
        ([forward(ROUNDED, model=2)], FIRST, set()), ([forward(FIRST, model=2)], FIRST, {3, 4}),
    ],
)  # fmt: skip
def test_a_copy_that_comes_back_rounded_or_averaged_is_not_thrown_away(later, answer, looks):
    seen = recorded([*FROM_START, *BY_HAND, *later], live=[FIRST, THIRD, FIRST], weights=answer)
    assert seen.looks() & {3, 4} == looks


def test_only_what_a_copy_came_to_is_its_own():
    events = [*FROM_START, *BY_HAND[:2]]  # a look at FIRST: it came to nothing
    assert recorded(events, live=[FIRST, FIRST], weights=at(9, 8, 7, 6.1)).looks() == {3}
    before = [forward(ROUNDED, learns=False), *events]
    assert recorded(before, live=[FIRST, THIRD], weights=ROUNDED).looks() == {4}, "known before"
    meanwhile = [*events, forward(ROUNDED, learns=False, model=2), copied(SECOND)]
    assert recorded(meanwhile, live=[FIRST, THIRD, FIRST]).looks() == {3, 5}, "known before it came there"
    others = [*events, copied(SECOND), step(SECOND, before=FIRST)]
    assert recorded(others, live=[SECOND, FIRST], weights=at(1, 2, 3, 4)).looks() == set(), "nothing is its own"
    near = at(8.1, 7, 6, 5)
    later = [*FROM_START, copied(FIRST), copied(SECOND), forward(near), step(SECOND, before=near)]
    assert recorded(later, live=[SECOND, FIRST], weights=SECOND).looks() == {2, 3}, "others came there"


def test_what_is_known_exactly_comes_from_nowhere_else():
    events = [*FROM_START, copied(START), copied(SECOND)]
    assert recorded(events, live=[FIRST, at(9.00001, 8, 7, 6)], weights=FIRST).looks() == {2, 3}


def test_the_products_with_the_table_give_the_distances():
    events = [forward(values) for values in (FIRST, at(-1, 0.5, 0, 3), at(0, 0, 0, 1))]
    table, names = Table(events, START, ["a.weight", "b.weight"]), ["a.weight", "b.weight"]
    for number, event in enumerate(events):
        now = torch.cat([event.state[name].double().reshape(-1) for name in names])
        exact = [apart(event.state, other, names) for other in (START, *(one.state for one in events))]
        for _ in range(2):
            assert table._about(now, number).tolist() == pytest.approx(exact)


@pytest.mark.parametrize("model", [0, 1])
def test_the_given_weights_are_nobodys(model):
    events = [forward(FIRST, model=model), forward(SECOND, model=model)]
    assert recorded(events, live=[THIRD, THIRD], weights=at(4, 3, 1, 2.1)).looks() == {0, 1}


def test_the_distance_is_that_of_the_weights_that_are_not_pruned():
    assert apart(at(-2, 1, 0, 3), at(1, 1, 9, 1), ["a.weight"]) == 13


def starts(seen):
    return [phase.start for phase in phases(seen)]


def test_training_under_the_mask_does_not_begin_with_a_look():
    under = state(**PRUNED)
    final = [forward(under), step(at(5, 5, 0, 0, b_weight=[[5], [0]]), before=under)]
    look = forward(at(9, 8, 0, 0, b_weight=[[5], [0]]))
    assert starts(recorded([*FROM_START, look, *final])) == [3]
    assert starts(recorded([*FROM_START, *final])) == [2]
    assert starts(recorded([*FROM_START, *final, forward(state()), look], live=[look.state])) == [2]
    assert starts(recorded([*FROM_START, *final, forward(state()), look], live=[SECOND])) == [2, 5]


def look(ticket, network):
    """The norm of the gradient on training rows, for a log."""
    inputs, labels = ticket.data.train
    F.cross_entropy(network(inputs), labels).backward()
    network.zero_grad()


class LooksAtTheEnd(StoppedTicket):
    """A look between the stop and what follows."""

    def restore(self, state):
        look(self, self.network)
        super().restore(state)


class LooksAtACopyAtTheEnd(StoppedTicket):
    def restore(self, state):
        look(self, copy.deepcopy(self.network))
        super().restore(state)


class LooksAndRestoresNothing(StoppedTicket):
    def restore(self, state):
        look(self, self.network)


class LooksAtACopyAndRestoresNothing(StoppedTicket):
    def restore(self, state):
        look(self, copy.deepcopy(self.network))


class LooksAtThePrunedNetwork(OneShot):
    """The gradient flow of the ticket before it is rewound, as many tables have it."""

    def rewind(self):
        self.apply()
        look(self, self.network)
        super().rewind()


class LooksAndRewindsWeightsOnly(OneShot):
    def rewind(self):
        self.apply()
        look(self, self.network)
        self.network.load_state_dict({name: value for name, value in self.initial.items() if value.dim() > 1}, False)


@pytest.mark.parametrize(
    ("finder", "id", "got"),
    [
        (LooksAtTheEnd, "finder-stops-early", None),
        (LooksAtACopyAtTheEnd, "finder-stops-early", None),
        (LooksAndRestoresNothing, "finder-stops-early", "training goes on from the last weights, 2 evaluations"),
        (LooksAtACopyAndRestoresNothing, "finder-stops-early", "training goes on from the last weights, 2 evaluations"),
        (LooksAtThePrunedNetwork, "finder-rewinds-the-rest", None),
        (LooksAndRewindsWeightsOnly, "finder-rewinds-the-rest", "differ from .initial"),
    ],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_a_finder_is_judged_by_its_training(finder, id, got):
    declared = finder if issubclass(finder, StoppedTicket) else ONE_SHOT(finder)
    (row,) = check(declared, budget="quick", only=id, seed=5).invariants
    assert (row.status == "violated" and got in row.got) if got else row.status == "passed", row


def trained_anew(ticket, draws):
    """A control: another network is trained under the ticket's mask, from weights drawn anew or from the ticket's."""
    own, ticket.network = ticket.network, copy.deepcopy(ticket.network)
    if draws:
        with torch.no_grad():
            for weight in ticket.prunable().values():
                weight.copy_(0.2 * torch.randn(weight.shape, generator=ticket.chance))
    ticket.apply()
    ticket.train(ticket.tune_epochs)
    ticket.validation_loss()
    ticket.network = own
    ticket.validation_loss()


class ComparesWithAControl(OneShot):
    def search(self):
        super().search()
        trained_anew(self, True)


class ComparesWithMoreTraining(OneShot):
    def search(self):
        super().search()
        trained_anew(self, False)


class RewindsTheControlAlone(OneShot):
    """The one that is answered was not rewound."""

    def search(self):
        super().search()
        own, self.network = self.network, copy.deepcopy(self.network)
        super().rewind()
        self.apply()
        self.train(self.tune_epochs)
        self.network = own
        self.validation_loss()

    def rewind(self):
        pass


@pytest.mark.parametrize(
    ("finder", "got"),
    [(ComparesWithAControl, None), (ComparesWithMoreTraining, None), (RewindsTheControlAlone, "differ from .initial")],
    ids=lambda one: getattr(one, "__name__", None),
)
def test_a_control_under_the_same_mask_is_not_the_ticket(finder, got):
    rows = check(
        ONE_SHOT(finder), budget="quick", only=["finder-rewinds", "finder-rewinds-the-rest"], seed=5
    ).invariants
    for row in rows:
        assert (row.status == "violated" and got in row.got) if got else row.status == "passed", row
