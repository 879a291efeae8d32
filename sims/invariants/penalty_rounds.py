"""The rounds of a pressed ticket, told by the masks that it gives: what each of them pressed on, and when."""

from __future__ import annotations

import dataclasses
import itertools
from types import SimpleNamespace
from typing import NamedTuple

import torch

from unilth.sims.invariants.finder_result import round_masks
from unilth.sims.invariants.finder_run import Run, equal_states
from unilth.sims.invariants.invariant import Violation
from unilth.sims.invariants.observe import Event, State
from unilth.sims.invariants.states import under

FEW = 0.05
"""The share of the weights that may be 0, and not from the start, without a mask."""


class Round(NamedTuple):
    """The events of a run from the first to before the last (None: to the end), for the mask of that time."""

    run: Run
    first: int = 0
    last: int | None = None

    @property
    def later(self) -> bool:
        """Whether there was another round before it."""
        return self.run.within is not None

    def alone(self) -> Run:
        """The run without what was seen before and afterwards."""
        return dataclasses.replace(self.run, events=self.run.events[self.first : self.last], memory={})

    def past(self) -> list[Event]:
        """What was seen before."""
        return self.run.events[: self.first]


def one_round(seen: Run) -> Round:
    """All that came before the ticket was trained."""
    return Round(seen, 0, seen.ticket_begins())


def rounds(seen: Run) -> list[list[Round]]:
    """The ways to part a run into the rounds of ``.masks``; none where these are no nested masks of several rounds.

    A round ends where something is trained with all its weights at 0: for the first time, or, the other way, for the
    first time since that was trained with some of them. The last one ends where the ticket begins. Masks that were only
    noted on the way, with nothing trained under them before the next, are no rounds.
    """
    if "rounds" not in seen.memory:
        begins = seen.ticket_begins()
        end, masks = (0, []) if begins is None else (begins, nested(seen))
        ends = [_under(seen, mask, end) for mask in masks]
        first, again = ({at[way]: mask for at, mask in zip(ends, masks, strict=True)} for way in (0, 1))
        for way in (first, again):
            way.pop(end, None)
        ways = [first] if [*first] == [*again] else [first, again]
        seen.memory["rounds"] = [_parts(seen, way, end) for way in ways if way]
        seen.memory["noted"] = len(first) < len(masks)
    found: list[list[Round]] = seen.memory["rounds"]
    return found


def noted_only(seen: Run) -> bool:
    """Whether there are masks of rounds that were not seen."""
    rounds(seen)
    return bool(seen.memory["noted"])


def nested(seen: Run) -> list[State]:
    """The masks of the rounds before the ticket's, largest first; none if they are not nested."""
    try:
        masks = round_masks(seen)
    except Violation:
        return []
    inside = (
        not bool((after[name] & ~before[name]).any())
        for before, after in itertools.pairwise([*masks, seen.mask])
        for name in before
    )
    if not all(inside):
        return []
    masks = [mask for mask in masks if any(not bool(kept.all()) for kept in mask.values())]
    return [mask for mask, after in itertools.pairwise([*masks, seen.mask]) if not equal_states(mask, after)]


def _under(seen: Run, mask: State, end: int) -> tuple[int, int]:
    """Where something is first trained under a mask, and where it is again after the last time that it was not."""
    first = since = end
    looks = seen.looks()
    for index, event in enumerate(seen.events[:end]):
        if event.learns and index not in looks:
            if not under(mask, event.state):
                since = end
            elif since == end:
                first, since = min(first, index), index
    return first, since


def _parts(seen: Run, ends: dict[int, State], end: int) -> list[Round]:
    found, first, within = list[Round](), 0, None
    for last, mask in [*ends.items(), (end, seen.mask)]:
        result = SimpleNamespace(mask=mask, weights=seen.result.weights, initial=seen.result.initial)
        run = dataclasses.replace(seen, result=result, within=within, memory={"looks": seen.looks()})
        found.append(Round(run, first, last))
        first, within = last, mask
    return found


def others_were_trained(one: Round, returns: int = 0) -> bool:
    """Whether training began from a start or any state twice, or some weights were 0 already, in stages or for others.

    Others are baselines, candidates, controls. ``returns``: how often training may go back to what it had learned from
    already, as early stopping does once. Where another network learned from counts as well, whoever came there first. A
    later round may begin with what was known before, and not go back to it.
    """
    seen, inside = one.run, one.run.within or {}
    starts, looks, left = seen.starts(), seen.looks(), dict[int, State]()
    begun, returned, models = 0, 0, set[int]()
    few = FEW * sum(kept.numel() for kept in seen.mask.values())

    def values(state: State) -> bytes:
        kept = (state[name][inside[name]] if name in inside else state[name].reshape(-1) for name in seen.names)
        return torch.cat([part.double() for part in kept]).numpy().tobytes()

    past = [seen.given, *(event.state for event in one.past())] if inside else []
    known: dict[bytes, set[int]] = {values(state): set() for state in past}  # and who learned there in this round
    for index, event in enumerate(seen.events[one.first : one.last], start=one.first):
        if event.kind == "step":
            left[event.model] = event.state
        elif event.learns and index not in looks:
            last, new = left.pop(event.model, None), event.model not in models
            here = values(event.state)
            set_back = new or (last is not None and here != values(last))
            begun += set_back and any(equal_states(event.state, start, seen.names) for start in starts)
            returned += bool(known.get(here, set()) - {event.model}) or (set_back and bool(models) and here in known)
            zeros = sum(
                int(((event.state[name] == 0) & (seen.given[name] != 0) & inside.get(name, torch.tensor(True))).sum())
                for name in seen.mask
            )
            if begun > 1 or returned > returns or zeros > few:
                return True
            models.add(event.model)
            known.setdefault(here, set()).add(event.model)
    return False
