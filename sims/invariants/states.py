"""States of networks compared: which come from which, how far they are apart, and all of a run in one table."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from unilth.sims.invariants.observe import Event, State


def derived(state: State, others: Iterable[State], names: list[str]) -> bool:
    """Whether the weights of a state that are not 0 are those of another one."""
    return any(
        all(bool(((state[name] == other[name]) | (state[name] == 0)).all()) for name in names) for other in others
    )


def under(mask: State, state: State) -> bool:
    """Whether every weight that a mask prunes is exactly 0 in a state."""
    return all(not bool(state[name][~kept].count_nonzero()) for name, kept in mask.items())


def apart(state: State, other: State, names: list[str]) -> float:
    """The squared distance between two states, where the weights of the first are not 0."""
    return float(_apart(_vector(state, names), _vector(other, names)))


def between(state: State, others: list[State], names: Iterable[str]) -> bool:
    """Whether each value lies within those that it had in some states, give or take rounding, as an average does."""
    for name in names:
        low, high = torch.stack([other[name] for other in others]).aminmax(dim=0)
        slack = 4 * torch.finfo(low.dtype).eps * torch.maximum(low.abs(), high.abs())
        if not bool(((state[name] >= low - slack) & (state[name] <= high + slack)).all()):
            return False
    return True


NEARER = 0.25
"""At which share of the squared distance to all that is known otherwise a state comes from a model's training."""

CANCELLED = 1e-9
"""The share of a state's squared norm that cancelling leaves uncertain, with much to spare."""


class Table:
    """All states of a run as rows of numbers, by when they were first seen and in which model.

    ``names`` are those of the weights that are compared. The given state is known before everything.
    """

    def __init__(self, events: list[Event], given: State, names: list[str]) -> None:
        self.names = names
        first = dict[tuple[int, int], int]()
        for at, event in enumerate(events):
            first.setdefault((event.model, id(event.state)), at)
        self.model = torch.tensor([-1, *(model for model, _ in first)])
        self.first = torch.tensor([-1, *first.values()])
        states = [given, *(events[at].state for at in first.values())]
        self.rows = torch.stack([_vector(state, names) for state in states])
        self.squares = self.rows.square()
        self.distances = dict[int, Tensor]()
        self.set_by_hand = list[int]()
        before = dict[int, State]()
        for at, event in enumerate(events):
            if event.kind != "step" and not derived(event.state, [before.get(event.model, given)], names):
                self.set_by_hand.append(at)
            before[event.model] = event.state

    def comes_from(self, model: int, left: State, state: State, at: int) -> bool:
        """Whether a state at an event is none that is known, and much nearer to what a model came to by its training.

        ``left`` is what the model was left with at the end. What others had at some time is nothing that it came to.
        """
        now, last, own = _vector(state, self.names), _vector(left, self.names), self.model == model
        known = ~own & (self.first < at)
        about = self._about(now, at)
        if (
            min(_least(about[own]), _least(_apart(now, last)))
            >= NEARER * _least(about[known]) + CANCELLED * now.norm() ** 2
        ):
            return False
        far, others = NEARER * _least(_apart(now, self.rows[known])), self.rows[~own]
        return any(
            bool(_apart(now, reached) < far) and bool(_apart(reached, others).min() > 0)
            for reached in [last, *self.rows[own]]
        )

    def _about(self, now: Tensor, at: int) -> Tensor:
        """The squared distances of the state at an event to all, up to what cancels: two products with the table."""
        if at not in self.distances:
            self.distances[at] = self.squares @ (now != 0).double() - 2 * (self.rows @ now) + now.square().sum()
        return self.distances[at]


def _least(distances: Tensor) -> float:
    """The smallest, those of diverged states (NaN) apart."""
    return float(torch.where(distances.isnan(), torch.inf, distances).min())


def _vector(state: State, names: list[str]) -> Tensor:
    return torch.cat([state[name].detach().double().reshape(-1) for name in names])


def _apart(state: Tensor, others: Tensor) -> Tensor:
    return ((others - state) * (state != 0)).square().sum(-1)
