"""Training under the final mask: which stretches of it there were, and which of them led to the answer.

A finder may train several networks under one mask: candidates, a control with other weights, a copy of the finished
ticket. The one that counts is the first that came by the answered weights.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from unilth.sims.invariants.invariant import NotJudged
from unilth.sims.invariants.looks import apart
from unilth.sims.invariants.observe import State

if TYPE_CHECKING:
    from unilth.sims.invariants.finder_run import Run


class Phase(NamedTuple):
    """Learning passes of one model under the mask: the index of the first, and of the first without it again."""

    start: int
    end: int
    model: int

    def holds(self, index: int, model: int) -> bool:
        """Whether an event that is not its beginning belongs to it."""
        return model == self.model and self.start < index < self.end


def phases(seen: Run) -> list[Phase]:
    """Every stretch of training under the final mask, by its beginning.

    It begins with a learning pass with all pruned weights at 0, after others. It ends where the first pass after a step
    is not under the mask, and not where a later one before the next step is not, as an optimizer may try other points
    on its way.
    """
    starts, ends, under, stepped = list[int](), dict[int, int](), dict[int, int | None](), dict[int, bool]()
    only_looks = seen.looks()
    for index, event in enumerate(seen.events):
        if event.kind == "step":
            stepped[event.model] = True
        elif event.learns and index not in only_looks:
            now, first = seen.pruned_zero(event.state), stepped.pop(event.model, event.model not in under)
            since = under.get(event.model)
            if now and since is None:
                starts.append(index)
                under[event.model] = index
            elif first and not now:
                under[event.model] = None
                if since is not None:
                    ends[since] = index
    return [Phase(start, ends.get(start, len(seen.events)), seen.events[start].model) for start in starts]


def final_phase(seen: Run) -> int:
    """Index of the pass with which the training under the final mask began that led to the answer.

    Raises NotJudged if there is none: then nothing was trained under the final mask, or nothing could be seen.
    """
    if not seen.steps():
        raise NotJudged(seen.nothing_stepped)
    if not any(bool((~kept).any()) for kept in seen.mask.values()):
        raise NotJudged("nothing was pruned")
    found = phases(seen)
    if not found:
        raise NotJudged("nothing was trained after the mask was applied")
    phase = _unslipped(seen, found, _led_to_the_answer(seen, found))
    while (earlier := _goes_on(seen, found, phase)) is not None:
        phase = _unslipped(seen, found, earlier)
    return phase.start


def _led_to_the_answer(seen: Run, found: list[Phase]) -> Phase:
    """The phase in which the answered weights were first seen, or the last one of the model that came nearest."""
    for index, event in enumerate(seen.events):
        inside = [phase for phase in found if phase.holds(index, event.model)]
        if inside and seen.is_answer(event.state):
            return inside[0]
    for model, state in enumerate(seen.live):
        own = [phase for phase in found if phase.model == model]
        if own and seen.is_answer(state):
            return own[-1]
    end = seen.answered()
    found = [phase for phase in found if end is None or phase.start <= end] or found
    model = seen.events[end].model if end is not None else -1
    models = list(dict.fromkeys(phase.model for phase in found))
    if model not in models:  # an average, say, that only a network for evaluation held
        model = min(models, key=lambda model: _distance(seen, found, model))
    return [phase for phase in found if phase.model == model][-1]


def _distance(seen: Run, found: list[Phase], model: int) -> float:
    """How near the answer the states of a model in its phases come."""
    answer = {name: seen.result.weights[name] for name in seen.names}
    own = [phase for phase in found if phase.model == model]
    states = [e.state for at, e in enumerate(seen.events) if any(phase.holds(at, e.model) for phase in own)]
    near = (apart(answer, state, seen.names) for state in [*states, *seen.live[model : model + 1]])
    return min(near, default=math.inf)


def _goes_on(seen: Run, found: list[Phase], phase: Phase) -> Phase | None:
    """The phase of another model that had come to where this one begins: one training, in two modules."""
    first = seen.events[phase.start].state
    moved = [
        other
        for other in reversed(found)
        if other.start < phase.start
        and other.model != phase.model
        and not seen.same_under_mask(seen.events[other.start].state, first)  # both may begin at the same weights
    ]
    for other in moved:
        states = [e.state for at, e in enumerate(seen.events[: phase.start]) if other.holds(at, e.model)]
        states += seen.live[other.model : other.model + 1]  # trained by hand, it may have been seen there by nobody
        if any(seen.same_under_mask(state, first) for state in states):
            return other
    return None


def _unslipped(seen: Run, found: list[Phase], phase: Phase) -> Phase:
    """The phase that one continues after a mask that was only missing for a while."""
    own = [one for one in found if one.model == phase.model and one.start <= phase.start]
    while len(own) > 1 and _slipped(seen, own[-2].start, own[-1].start):
        own.pop()
    return own[-1]


def _slipped(seen: Run, first: int, last: int) -> bool:
    """Whether the mask was only missing for a while between two beginnings, and no other training came between.

    Dense training takes half an epoch at least, and another mask leaves most of these weights at 0.
    """
    model, rows, alive = seen.events[last].model, 0, 0
    pruned = sum(int((~kept).sum()) for kept in seen.mask.values())
    for event in seen.events[first:last]:
        if event.kind == "forward" and event.learns and event.model == model:
            now = _alive(seen, event.state)
            if now:
                rows += len(seen.pristine.train[0]) if event.rows is None else len(event.rows)
            alive = max(alive, now)
    return rows < len(seen.pristine.train[0]) / 2 and alive > pruned / 2


def _alive(seen: Run, state: State) -> int:
    return sum(int(state[name][~kept].count_nonzero()) for name, kept in seen.mask.items())
