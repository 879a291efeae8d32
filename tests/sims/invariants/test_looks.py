"""Gradients that are only looked at (a norm for a log, a saliency map) are no training; training after a look is."""

from __future__ import annotations

import copy

import pytest
from torch.nn import functional as F

from tests.sims.invariants.recorded import PRUNED, forward, recorded, state, step
from unilth.sims.invariants import check
from unilth.sims.invariants.reference import StoppedTicket
from unilth.sims.invariants.twins_finder import ONE_SHOT, OneShot

THERE, HERE = state(a_bias=[7]), state(a_weight=[[9, 9, 9, 9]])
COPY = {"model": 1}


@pytest.mark.parametrize(
    ("events", "looks"),
    [
        ([forward(HERE), forward(THERE), step(HERE, before=THERE)], {0}),
        ([forward(HERE), forward(HERE), forward(THERE), forward(THERE), step(HERE, before=THERE)], {0, 1}),
        ([forward(THERE), forward(HERE), step(HERE, before=THERE)], set()),  # another point on the way to the step
        ([forward(HERE), step(HERE, before=THERE)], set()),  # noise for the pass
        ([forward(HERE), forward(THERE), step(HERE)], set()),  # it is not known what the step found
        ([forward(HERE, learns=False), forward(THERE), step(HERE, before=THERE)], set()),
        ([forward(THERE), forward(state()), step(HERE, before=state())], set()),  # the weights are the same
        ([forward(THERE), step(HERE, before=THERE), forward(HERE), forward(THERE)], set()),  # nothing came of these
        ([forward(HERE), forward(THERE), step(HERE, before=THERE), forward(HERE), step(HERE, before=HERE)], {0}),
        ([forward(HERE, **COPY), forward(THERE), step(HERE, before=THERE)], {0}),
        ([forward(THERE), step(HERE, before=THERE), forward(HERE, **COPY)], set()),  # by hand, perhaps
        ([forward(HERE, **COPY), step(HERE, before=HERE, **COPY), forward(THERE), step(HERE, before=THERE)], set()),
        ([forward(HERE, **COPY), forward(THERE), step(HERE, before=HERE, **COPY), step(HERE, before=THERE)], set()),
        ([forward(HERE)], set()),
    ],
)
def test_a_look_is_told_by_what_the_next_step_found(events, looks):
    assert recorded(events).looks() == looks


def test_training_under_the_mask_does_not_begin_with_a_look():
    under = state(**PRUNED)
    look, begins = forward(under), forward(state(**{**PRUNED, "b_weight": [[6], [0]]}))
    events = [forward(state()), step(state(), before=state()), look, begins, step(begins.state, before=begins.state)]
    assert recorded(events).entries() == [3]
    assert recorded([*events[:2], begins, step(begins.state, before=begins.state)]).entries() == [2]


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
