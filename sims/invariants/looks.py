"""Learning passes of which no training came: gradients that were only looked at.

A loop may take the norm of a gradient, a saliency map or a sharpness before it restores, rewinds or masks weights, or
of a copy. It is told from training by what becomes of the weights: they stay, or are set to values that they, or those
of another model, had before; or the copy is thrown away: nothing that comes later is what it was left with, or lies
so near to what it came to (rounded, averaged) that it came from there.
An optimizer's step and a step by hand lead to new ones.
"""

from __future__ import annotations

import functools
import itertools

from torch import Tensor

from unilth.sims.invariants.observe import Event, State
from unilth.sims.invariants.states import Table, derived

ROUNDING = 1e-5
"""By how much of its largest weight a layer may differ where noise, or an ascent, was taken off before the step."""


def looks(events: list[Event], given: State, live: list[State], names: list[str], answer: State) -> set[int]:
    """The indices of these passes.

    ``live``: by model, the values that it was left with; ``names``: of the weights; ``answer``: the weights answered.
    """

    def known(state: State, before: int, *, model: int = -1, until: int = 0) -> bool:
        """Whether a state was seen before an event; of one model only until another, as it may be evaluated since."""
        past = [event for at, event in enumerate(events[:before]) if event.model != model or at <= until]
        seen = [one for event in reversed(past) for one in (event.state, event.before) if one is not None]
        return derived(state, [*seen, given], names)

    table = functools.cache(lambda: Table(events, given, names))  # made where a copy was trained by hand

    def thrown_away(model: int, last: int, left: State) -> bool:
        after = [event.state for event in events[last:] if event.model != model]
        if any(derived(state, [left], names) for state in [answer, *after]):
            return False
        later = [at for at in table().set_by_hand if at >= last and events[at].model != model]
        came = [(events[at].state, at) for at in later] + [(answer, len(events))]
        return not any(table().comes_from(model, left, state, at) for state, at in came)

    found, passes, fed = set[int](), dict[int, list[int]](), dict[int, bool]()
    stepped: set[int] = set()
    for index, event in enumerate(events):
        if event.kind == "step":
            before = event.before
            if before is not None and all(before[name].equal(event.state[name]) for name in before):
                continue  # it moved nothing: for a scheduler that wants one first, or with a rate of 0
            stepped.add(event.model)
            own = passes.pop(event.model, [])
            fed[index] = bool(own)
            if before is not None:
                same = [at for at in own if all(_alike(before[name], events[at].state[name]) for name in names)]
                earlier = [at for at in own if same and at < same[0]]
                if earlier and known(events[same[0]].state, earlier[0] + 1):
                    found.update(earlier)
        elif event.learns:
            passes.setdefault(event.model, []).append(index)
    for model, own in passes.items():  # that no step of the same model followed
        left = live[model : model + 1]
        if not left:
            continue
        pairs = itertools.pairwise(own)
        same_places = all(known(events[at].state, at, model=model, until=last) for last, at in pairs)
        stays = same_places and known(left[0], own[-1] + 1)
        if stays or (model not in stepped and thrown_away(model, own[-1], left[0])):
            # A step of another model that learned nothing itself since its last one takes the gradient of a copy.
            found.update(at for at in own if next((fed[index] for index in fed if index > at), True))
    return found


def _alike(one: Tensor, other: Tensor) -> bool:
    return bool((one - other).abs().max() <= ROUNDING * one.abs().max())
