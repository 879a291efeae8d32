"""The same seed draws the same cases, on every machine and in every release, so that reports can be compared.

Cases change only on purpose: ``python tests/sims/invariants/test_pinned_cases.py`` writes the digests anew.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from pathlib import Path

import pytest

from unilth.sims.invariants.catalogue import CATALOGUE
from unilth.sims.invariants.declarations import ABILITIES, MaskRule, PenaltySchedule, TicketFinder
from unilth.sims.invariants.invariant import BUDGETS, Invariant, Plan

PINNED = Path(__file__).with_name("pinned_cases.json")
SCOPES, KEEPS = ("global", "layer", "other"), ("largest", "random", "other")
MOST = {"stops_early": 2, "nested": True, "penalty": float, "no_empty_layer": True, "handles": frozenset(ABILITIES)}
CLAIMS = {
    "mask-rule": [
        *(MaskRule(scope=scope, keeps=keeps) for scope, keeps in itertools.product(SCOPES, KEEPS)),
        MaskRule(scope="other", keeps="random", adds_up=True, nested=True),
    ],
    "penalty-schedule": [PenaltySchedule(ceiling=1.0, steps=steps) for steps in (1, 100, 10**7)],
    "ticket-finder": [TicketFinder(), *(TicketFinder(True, keeps, "layer", **MOST) for keeps in KEEPS)],
}
DRAWN = [invariant for invariant in CATALOGUE if invariant.kind in CLAIMS]


def drawn(invariant: Invariant) -> list[object]:
    """How many cases seed 3 draws for all claims and budgets, and the digest of their text."""
    plans = itertools.product(CLAIMS[invariant.kind], BUDGETS)
    cases = [list(invariant.cases(claims, Plan(budget, 3))) for claims, budget in plans if not invariant.excuse(claims)]
    return [sum(map(len, cases)), hashlib.sha256(json.dumps(cases).encode()).hexdigest()[:16]]


@pytest.mark.parametrize("invariant", DRAWN, ids=lambda invariant: invariant.id)
def test_the_cases_are_those_of_the_last_release(invariant):
    count, digest = json.loads(PINNED.read_text())[invariant.id]
    assert count > 0 and drawn(invariant) == [count, digest]


if __name__ == "__main__":
    lines = ",\n".join(f" {json.dumps(invariant.id)}: {json.dumps(drawn(invariant))}" for invariant in DRAWN)
    PINNED.write_text(f"{{\n{lines}\n}}\n")
