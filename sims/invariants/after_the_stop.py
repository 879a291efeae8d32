"""What follows an early stop: which weights training goes on with, and what the mask tells where they were rewound."""

from __future__ import annotations

from typing import Any

from unilth.sims.invariants.finder_run import Run
from unilth.sims.invariants.finder_training import largest
from unilth.sims.invariants.invariant import NotJudged, fail
from unilth.sims.invariants.observe import Event, State
from unilth.sims.invariants.penalty_rounds import nested
from unilth.sims.invariants.states import derived, under


def goes_on_from(seen: Run, following: Event, one: State, other: State) -> bool:
    """Whether a pass was entered with the weights of one state, where they are not 0 and the other's differ."""
    places = [(name, (one[name] != other[name]) & (following.state[name] != 0)) for name in seen.names]
    told = any(bool(where.any()) for _, where in places)
    return told and all(bool((following.state[name] == one[name])[where].all()) for name, where in places)


def goes_on_with(seen: Run, following: Event, state: State) -> bool:
    """Whether all weights with which a pass was entered are those of a state, where they are not 0."""
    return derived(following.state, [state], seen.names)


def told_by_mask(seen: Run, claims: Any, following: Event, passes: list[tuple[int, float, State]], best: int) -> bool:
    """Whether the mask tells that training stopped well, where weights are cut off and the others rewound after that.

    An epoch from which both the mask and the weights come was not rewound to, but restored.
    """
    (*_, wanted), (*_, last) = passes[best], passes[-1]
    if not _cut_off(seen, following, last) or goes_on_with(seen, following, wanted):
        return False
    mask = _mask_of(seen, following)
    if claims.keeps != "largest" or mask is None:
        raise NotJudged("what follows the stop was rewound, so the weights that it stopped with are not seen")
    if largest(mask, wanted, claims.scope):
        return True
    if any(largest(mask, state, claims.scope) and goes_on_with(seen, following, state) for *_, state in passes):
        return False
    if largest(mask, last, claims.scope):
        fail(got="the mask of the last weights", expected="the best weights restored, and the mask taken from them")
    raise NotJudged("the mask is neither that of the best weights nor that of the last")


def judge_rewound(seen: Run, claims: Any, following: Event, best: State, last: State) -> None:
    """Do not judge weights that are the last ones under a mask of the best: the epoch rewound to may be the last."""
    if claims.keeps == "largest" and _cut_off(seen, following, last) and goes_on_from(seen, following, last, best):
        mask = _mask_of(seen, following)
        if mask and largest(mask, best, claims.scope) and not largest(mask, last, claims.scope):
            raise NotJudged("the mask is that of the best weights, so the last ones may be what was rewound to")


def _cut_off(seen: Run, following: Event, last: State) -> bool:
    return any(bool(((following.state[name] == 0) & (last[name] != 0)).any()) for name in seen.names)


def _mask_of(seen: Run, following: Event) -> State | None:
    """The smallest mask of a round that a pass was under."""
    return next((one for one in (seen.mask, *reversed(nested(seen))) if under(one, following.state)), None)
