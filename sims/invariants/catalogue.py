"""All invariants, in the order in which they are reported: an explicit tuple."""

from __future__ import annotations

import difflib

from unilth.errors import UserError
from unilth.sims.invariants.finder_abilities import FINDER_ABILITIES
from unilth.sims.invariants.finder_chance import FINDER_CHANCE
from unilth.sims.invariants.finder_penalty import FINDER_PENALTY
from unilth.sims.invariants.finder_result import FINDER_RESULT
from unilth.sims.invariants.finder_stopping import FINDER_STOPPING
from unilth.sims.invariants.finder_training import FINDER_TRAINING
from unilth.sims.invariants.finder_validation import FINDER_VALIDATION
from unilth.sims.invariants.invariant import Invariant
from unilth.sims.invariants.mask_chance import MASK_CHANCE
from unilth.sims.invariants.mask_counts import MASK_COUNTS
from unilth.sims.invariants.mask_form import MASK_FORM
from unilth.sims.invariants.mask_order import MASK_ORDER
from unilth.sims.invariants.saved import SAVED
from unilth.sims.invariants.schedules import SCHEDULES

CATALOGUE: tuple[Invariant, ...] = (
    *MASK_FORM,
    *MASK_COUNTS,
    *MASK_ORDER,
    *MASK_CHANCE,
    *SCHEDULES,
    *FINDER_RESULT,
    *FINDER_TRAINING,
    *FINDER_CHANCE,
    *FINDER_VALIDATION,
    *FINDER_STOPPING,
    *FINDER_ABILITIES,
    *FINDER_PENALTY,
    *SAVED,
)


def catalogue(kind: str) -> tuple[Invariant, ...]:
    """The invariants of one kind of target."""
    return tuple(invariant for invariant in CATALOGUE if invariant.kind == kind)


def find_invariant(id: str, kind: str, argument: str) -> Invariant:
    """The invariant with this id. Raises UserError naming the argument and the nearest ids if there is none."""
    rows = {invariant.id: invariant for invariant in catalogue(kind)}
    if id not in rows:
        near = difflib.get_close_matches(id, rows, n=3, cutoff=0.3) or list(rows)[:3]
        raise UserError(f"{argument} {id!r} is no invariant of a {kind}; near it are {', '.join(near)}")
    return rows[id]
