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


def rounds(seen: Run) -> list[Round]:
    """The rounds of ``.masks``, none where these are no nested masks, or training went on under one of them only.

    A round ends where something is first trained with all its weights at 0; the last one where the ticket begins. Masks
    that were only noted on the way, with nothing trained under them, are no rounds.
    """
    end = seen.ticket_begins()
    if end is None:
        return []
    if "rounds" not in seen.memory:
        ends: dict[int, State] = {}
        for mask in _nested(seen):
            at = _first_under(seen, mask, end)
            if at < end:
                ends[at] = mask
        starts, masks = [0, *ends, end], [None, *ends.values(), seen.mask]
        places = zip(itertools.pairwise(starts), itertools.pairwise(masks), strict=True)
        seen.memory["rounds"] = [_round(seen, *place, *between) for place, between in places] if ends else []
    found: list[Round] = seen.memory["rounds"]
    return found


def _round(seen: Run, first: int, last: int, within: State | None, mask: State | None) -> Round:
    result = SimpleNamespace(mask=mask, weights=seen.result.weights, initial=seen.result.initial)
    return Round(dataclasses.replace(seen, result=result, within=within, memory={"looks": seen.looks()}), first, last)


def _nested(seen: Run) -> list[State]:
    """The masks before the ticket's, largest first; none if they are not nested."""
    try:
        masks = round_masks(seen)
    except Violation:
        return []
    inside = (
        not bool((after[name] & ~before[name]).any())
        for before, after in itertools.pairwise([*masks, seen.mask])
        for name in before
    )
    return [mask for mask in masks if _differs(mask, seen.mask) and _prunes(mask)] if all(inside) else []


def _differs(mask: State, other: State) -> bool:
    return any(not torch.equal(kept, other[name]) for name, kept in mask.items())


def _prunes(mask: State) -> bool:
    return any(not bool(kept.all()) for kept in mask.values())


def _first_under(seen: Run, mask: State, end: int) -> int:
    looks = seen.looks()
    for index, event in enumerate(seen.events[:end]):
        if event.learns and index not in looks and all(not event.state[n][~kept].any() for n, kept in mask.items()):
            return index
    return end


def others_were_trained(one: Round, returns: int = 0) -> bool:
    """Whether training began from a start or any state twice, or some weights were 0 already, in stages or for others.

    Others are baselines, candidates, controls. ``returns``: how often training may go back to what it had learned from
    already, as early stopping does once. A later round may begin with what was known before, and not go back to it.
    """
    seen, inside = one.run, one.run.within or {}
    starts, looks, left = seen.starts(), seen.looks(), dict[int, State]()
    begun, returned, models = 0, 0, set[int]()
    few = FEW * sum(kept.numel() for kept in seen.mask.values())

    def values(state: State) -> bytes:
        kept = (state[name][inside[name]] if name in inside else state[name].reshape(-1) for name in seen.names)
        return torch.cat([part.double() for part in kept]).numpy().tobytes()

    known = {values(state) for state in [seen.given, *(event.state for event in one.past())]} if inside else set()
    for index, event in enumerate(seen.events[one.first : one.last], start=one.first):
        if event.kind == "step":
            left[event.model] = event.state
        elif event.learns and index not in looks:
            last, new = left.pop(event.model, None), event.model not in models
            here = values(event.state)
            set_back = new or (last is not None and here != values(last))
            begun += set_back and any(equal_states(event.state, start, seen.names) for start in starts)
            returned += set_back and bool(models) and here in known
            zeros = sum(
                int(((event.state[name] == 0) & (seen.given[name] != 0) & inside.get(name, torch.tensor(True))).sum())
                for name in seen.mask
            )
            if begun > 1 or returned > returns or zeros > few:
                return True
            models.add(event.model)
            known.add(here)
    return False
