"""The kit turned on itself: every rule and schedule of ours must pass, every broken twin must be caught."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from unilth.sims.invariants import cases
from unilth.sims.invariants.catalogue import CATALOGUE, catalogue
from unilth.sims.invariants.invariant import Plan
from unilth.sims.invariants.runner import Session, check
from unilth.sims.invariants.twin import Twin
from unilth.sims.invariants.twins_chance import CHANCE_TWINS
from unilth.sims.invariants.twins_finder import FINDER_TWINS
from unilth.sims.invariants.twins_later import LATER_TWINS
from unilth.sims.invariants.twins_mask import MASK_TWINS
from unilth.sims.invariants.twins_penalty import PENALTY_TWINS
from unilth.sims.invariants.twins_rewinding import REWINDING_TWINS
from unilth.sims.invariants.twins_schedule import SCHEDULE_TWINS

CHEAP_TWINS: tuple[Twin, ...] = (*MASK_TWINS, *LATER_TWINS, *CHANCE_TWINS, *SCHEDULE_TWINS)
TWINS: tuple[Twin, ...] = (*CHEAP_TWINS, *FINDER_TWINS, *PENALTY_TWINS, *REWINDING_TWINS)


def killed_by(twin: Twin, seed: int = 0) -> tuple[str, ...]:
    """The ids of the invariants that a twin violates, in catalogue order (explicit cases only: nothing is shrunk)."""
    session = Session(twin.target, Plan(twin.budget, seed), search=False)
    return tuple(row.id for row in map(session.row, catalogue(session.kind)) if row.status == "violated")


def kill_matrix(twins: Iterable[Twin] = CHEAP_TWINS, seed: int = 0) -> dict[str, Any]:
    """Twin x invariant: twins, invariants, killed (twin -> ids that caught it), declared (that must, no other).

    Twins that need a second device are left out where there is none.
    """
    rows = {twin.name: twin for twin in twins if not twin.second_device or cases.second_device() is not None}
    kinds = {twin.target.__unilth_claims__.kind for twin in rows.values()}  # type: ignore[attr-defined]
    return {
        "twins": [{"name": name, "mistake": twin.mistake} for name, twin in rows.items()],
        "invariants": [invariant.id for invariant in CATALOGUE if invariant.kind in kinds],
        "killed": {name: list(killed_by(twin, seed)) for name, twin in rows.items()},
        "declared": {name: list(twin.kills) for name, twin in rows.items()},
    }


def selfcheck(
    seed: int = 0,
    *,
    twins: Iterable[Twin] = CHEAP_TWINS,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Check our rules and schedules and run the kill matrix over the cheap twins; plain data, under half a minute.

    Returns:
        ``{"schema": 1, "ok": bool, "targets": [report, ...], "kill_matrix": {...}}``; ``ok`` means that every target of
        ours passes and that every twin is caught by exactly the invariants that it declares.
    """
    from unilth.sims.invariants import ours

    targets = []
    for target in ours.CHEAP:
        if progress is not None:
            progress(target.__name__)
        targets.append(check(target, budget="quick", seed=seed).to_dict())
    if progress is not None:
        progress("broken twins")
    matrix = kill_matrix(twins, seed)
    caught = all(sorted(matrix["killed"][name]) == sorted(ids) for name, ids in matrix["declared"].items())
    return {"schema": 1, "ok": caught and all(row["ok"] for row in targets), "targets": targets, "kill_matrix": matrix}
