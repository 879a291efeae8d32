"""Learning passes of which no training came: gradients that were only looked at.

A loop may take the norm of a gradient or a saliency map before it restores, rewinds or masks weights, or of a copy. It
is told from training by what becomes of the weights: they stay, or are set to values that they, or another model's, had
before. An optimizer's step and a step by hand lead to new ones.
"""

from __future__ import annotations

from collections.abc import Iterable

from unilth.sims.invariants.observe import Event, State


def looks(events: list[Event], given: State, live: list[State], names: list[str]) -> set[int]:
    """The indices of these passes. ``live``: by model, the values that it was left with; ``names``: of the weights."""

    def known(state: State, before: int) -> bool:
        seen = (one for event in reversed(events[:before]) for one in (event.state, event.before) if one is not None)
        return derived(state, [*seen, given], names)

    found, passes, fed = set[int](), dict[int, list[int]](), dict[int, bool]()
    for index, event in enumerate(events):
        if event.kind == "step":
            own = passes.pop(event.model, [])
            fed[index] = bool(own)
            if event.before is not None:
                same = [at for at in own if derived(event.before, [events[at].state], names, alike=True)]
                earlier = [at for at in own if same and at < same[0]]
                if earlier and known(event.before, earlier[0] + 1):
                    found.update(earlier)
        elif event.learns:
            passes.setdefault(event.model, []).append(index)
    for model, own in passes.items():  # that no step of the same model followed
        left = live[model : model + 1]
        if left and known(left[0], len(events)) and all(known(events[at].state, at) for at in own[1:]):
            # A step of another model that learned nothing itself since its last one takes the gradient of a copy.
            found.update(at for at in own if next((fed[index] for index in fed if index > at), True))
    return found


def derived(state: State, others: Iterable[State], names: list[str], *, alike: bool = False) -> bool:
    """Whether the weights of a state that are not 0 (or, alike, all of them) are those of another one."""
    return any(
        all(bool(((state[name] == other[name]) | ((state[name] == 0) & (not alike))).all()) for name in names)
        for other in others
    )
