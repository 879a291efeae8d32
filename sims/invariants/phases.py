"""Training under the final mask: which stretches of it there were, and which of them led to the answer.

A finder may train several networks under one mask: candidates, a control with other weights, a copy of the finished
ticket. The one that counts is the first that came by the answered weights.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from unilth.sims.invariants.invariant import NotJudged
from unilth.sims.invariants.observe import State
from unilth.sims.invariants.states import apart, between

if TYPE_CHECKING:
    from unilth.sims.invariants.finder_run import Run


class Phase(NamedTuple):
    """Learning passes of one model under the mask: the index of the first, and of the first that is none of them."""

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
    on its way. It also ends, and another begins, where the weights are set back to what was known before it.
    """
    starts, ends, under, stepped = list[int](), dict[int, int](), dict[int, int | None](), dict[int, State]()
    only_looks, trained = seen.looks(), set[int]()
    for index, event in enumerate(seen.events):
        if event.kind == "step":
            stepped[event.model] = event.state
        elif event.learns and index not in only_looks:
            left = stepped.pop(event.model, None)
            now, first = seen.pruned_zero(event.state), left is not None or event.model not in trained
            since = under.get(event.model)
            if since is not None and first and (not now or _set_back(seen, left, event.state, since)):
                ends[since], since = index, None
            if now and since is None:
                starts.append(index)
            if now or first:
                under[event.model] = (index if since is None else since) if now else None
            trained.add(event.model)
    return [Phase(start, ends.get(start, len(seen.events)), seen.events[start].model) for start in starts]


def _set_back(seen: Run, left: State | None, now: State, start: int) -> bool:
    """Whether weights are not those that a step left, but those of a state from before a beginning, or of that."""
    if left is None or seen.same_under_mask(left, now):
        return False
    before = (event.state for event in reversed(seen.events[: start + 1]))
    return any(seen.same_under_mask(state, now) for state in (seen.given, *before))


def led_to_the_answer(seen: Run, found: list[Phase]) -> list[Phase]:
    """Of all phases (one at least) that which led to the answer, and before it those that it goes on from."""
    chain = [_unslipped(seen, found, _last(seen, found))]
    while (earlier := _goes_on(seen, found, chain[0])) is not None:
        chain.insert(0, _unslipped(seen, found, earlier))
    return chain


class Training(NamedTuple):
    """Where the ticket's training under the mask begins, where it is over, and the phases that it consists of.

    ``strange``: it begins with weights that no dense training left, and that were not seen before others were trained
    under this mask. They may have come from these, as a server's do.
    """

    start: int
    end: int
    parts: tuple[Phase, ...]
    strange: bool

    def holds(self, index: int, model: int) -> bool:
        """Whether an event is one of the training, or the one with which a phase of it ends."""
        inside = (part for part in self.parts if part.model == model and part.start <= index <= part.end)
        return self.start <= index <= self.end and any(inside)


def training(seen: Run) -> Training:
    """From the first of the phases that led to the answer to the last event that saw it in a row.

    A model also took part if one of its steps led to the answered weights, with or without the mask. Raises NotJudged
    if there is none: then nothing was trained under the final mask, or nothing could be seen.
    """
    if not seen.steps():
        raise NotJudged(seen.nothing_stepped)
    if not any(bool((~kept).any()) for kept in seen.mask.values()):
        raise NotJudged("nothing was pruned")
    found = phases(seen)
    if not found:
        raise NotJudged("nothing was trained after the mask was applied")
    chain = led_to_the_answer(seen, found)
    start, end = chain[0].start, len(seen.events)
    stepped = {event.model for event in seen.events[start:] if event.kind == "step" and seen.is_answer(event.state)}
    more = [phase for phase in found if phase.model in stepped]
    models = stepped | {phase.model for phase in chain}
    for index, event in enumerate(seen.events):
        if index >= start and event.model in models:
            if seen.is_answer(event.state):
                end = index
            elif end < len(seen.events):
                break
    first, before = seen.events[start].state, [phase.start for phase in found if phase.start < start]
    dense = [e.state for e in seen.events[:start] if e.kind == "step" and not seen.pruned_zero(e.state)]
    past = [seen.given, *dense, *(event.state for event in seen.events[: min(before, default=0)])]
    strange = bool(before) and not any(seen.same_under_mask(state, first) for state in past)
    return Training(start, end, tuple(dict.fromkeys([*chain, *more])), strange)


def _last(seen: Run, found: list[Phase]) -> Phase:
    """The phase that first came to the answered weights, that began with them, or that came nearest to them."""
    states = {phase: _came_to(seen, phase) for phase in found}
    came = [(at, phase) for phase in found for at, state in states[phase] if seen.is_answer(state)]
    if came:
        return min(came)[1]
    began = [phase for phase in found if seen.is_answer(seen.events[phase.start].state)]
    if began:
        return began[-1]
    answer = {name: seen.result.weights[name] for name in seen.names}
    distances = {
        phase: min((apart(answer, state, seen.names) for _, state in states[phase]), default=math.inf)
        for phase in reversed(found)
    }
    return min(distances, key=distances.__getitem__)


def _came_to(seen: Run, phase: Phase) -> list[tuple[int, State]]:
    """The states that a phase led to, each with when it did: what its steps left.

    Of a training by hand, which takes no steps, they are what was used, and what the model was left with.
    """
    inside = [(at, event) for at, event in enumerate(seen.events) if phase.holds(at, event.model)]
    steps = [(at, event.state) for at, event in inside if event.kind == "step"]
    left = [(len(seen.events), state) for state in seen.live[phase.model : phase.model + 1]]
    return steps or [*((at, event.state) for at, event in inside), *left]


def _goes_on(seen: Run, found: list[Phase], phase: Phase) -> Phase | None:
    """The earlier phase that had come to where this one begins: one training, in two modules or from a checkpoint.

    So had those together whose average it begins with. What was known before a phase is nothing that it came to.
    """
    first, averaged = seen.events[phase.start].state, list[State]()
    others = [other for other in reversed(found) if other.start < phase.start and other is not phase]
    for other in others:
        began = [seen.given, *(event.state for event in seen.events[: other.start + 1])]
        if any(seen.same_under_mask(state, first) for state in began):
            continue
        states = [state for at, state in _came_to(seen, other) if at < phase.start or at == len(seen.events)]
        if any(seen.same_under_mask(state, first) for state in states):
            return other
        averaged += [seen.events[other.start].state, *states]
    kept = [{name: state[name][kept] for name, kept in seen.mask.items()} for state in [first, *averaged]]
    return others[0] if averaged and between(kept[0], kept[1:], seen.mask) else None


def _unslipped(seen: Run, found: list[Phase], phase: Phase) -> Phase:
    """The phase with those that it continues after a mask that was only missing for a while."""
    own = [one for one in found if one.model == phase.model and one.start <= phase.start]
    while len(own) > 1 and _slipped(seen, own[-2].start, own[-1].start):
        own.pop()
    return Phase(own[-1].start, phase.end, phase.model)


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
