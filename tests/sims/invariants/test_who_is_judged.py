"""Nobody is judged by what was not claimed: for each claim the invariants that it adds or takes away."""

from __future__ import annotations

import pytest

from unilth.sims.invariants.catalogue import catalogue
from unilth.sims.invariants.declarations import MaskRule, PenaltySchedule, TicketFinder


def judged(claims):
    return {invariant.id for invariant in catalogue(claims.kind) if not invariant.excuse(claims)}


def named(kind, names):
    return {f"{kind}-{name}" for name in names.split()}


def mask(names):
    return named("mask", names)


ALWAYS = named(
    "finder",
    "data-untouched deterministic exact-sparsity form ignores-global-state initial-is-initial network-untouched "
    "no-validation-rows own-memory prunable-only self-contained sparsity-zero zero-after-every-step zero-in-result",
)
REWINDS = {"finder-rewinds", "finder-rewinds-the-rest", "finder-rewinds-optimizer"}


@pytest.mark.parametrize(
    ("claims", "added"),
    [
        ({}, set()), ({"scope": "global"}, set()), ({"scope": "layer"}, set()),
        ({"rewinds": True}, REWINDS), ({"rewinds": "weights"}, {"finder-rewinds"}),
        ({"keeps": "largest"}, {"finder-keeps-largest"}), ({"stops_early": 2}, {"finder-stops-early"}),
        ({"keeps": "random"}, {"finder-random-is-random", "finder-seeds-differ"}),
        ({"nested": True}, {"finder-nested"}), ({"no_empty_layer": True}, {"finder-no-empty-layer"}),
        ({"penalty": float}, {"finder-penalty-outside-mask", "finder-penalty-schedule"}),
        *(
            ({"handles": frozenset({able})}, {f"finder-{able}"})
            for able in ("dropout", "tied", "frozen", "bfloat16", "optimizer-state")
        ),
    ],
)  # fmt: skip
def test_a_finder_is_judged_by_what_it_claims(claims, added):
    assert judged(TicketFinder(**claims)) == ALWAYS | added


FORM = mask(
    "boolean deterministic ignores-global-state ignores-hash inputs-untouched leaves-global-state names own-memory "
    "rejects-nan rejects-sparsity shapes sparsity-zero within"
)
COUNTS = mask("decimal-count near-one ties-count within-count")
RANKS = mask(
    "device dict-order dtype infinite-scores layout nested order permutation scale signed-scores two-steps within-order"
)
BUDGETS = mask("budgets-add-up decimal-count near-one ties-count")
GLOBAL, LAYER = mask("exact-count-global"), mask("exact-count-layer")
CHANCE, NAN = mask("random-is-random random-later seeds-differ"), mask("rejects-nan")


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        (("other", "other"), FORM), (("other", "largest"), FORM),
        (("global", "largest"), FORM | COUNTS | RANKS | GLOBAL), (("layer", "largest"), FORM | COUNTS | RANKS | LAYER),
        (("global", "other"), FORM | COUNTS | GLOBAL), (("layer", "other"), FORM | COUNTS | LAYER),
        (("global", "random"), (FORM | COUNTS | GLOBAL | CHANCE) - NAN),
        (("layer", "random"), (FORM | COUNTS | LAYER | CHANCE) - NAN), (("other", "random"), (FORM | CHANCE) - NAN),
        (("other", "other", True), FORM | BUDGETS), (("global", "other", True), FORM | COUNTS | GLOBAL),
        (("other", "other", False, True), FORM | mask("nested")), (("other", "other", False, False), FORM),
        (("global", "largest", False, False), (FORM | COUNTS | RANKS | GLOBAL) - mask("nested")),
    ],
)  # fmt: skip
def test_a_mask_rule_is_judged_by_what_it_claims(claims, expected):
    assert judged(MaskRule(*claims)) == expected


def test_a_schedule_claims_everything():
    assert judged(PenaltySchedule(1.0, 5)) == {invariant.id for invariant in catalogue("penalty-schedule")}


@pytest.mark.parametrize("kind", ["mask-rule", "penalty-schedule", "ticket-finder", "saved-ticket"])
def test_what_an_invariant_needs_stands_before_it_and_is_judged_whenever_it_is(kind):
    before = set()
    for invariant in catalogue(kind):
        assert set(invariant.needs) <= {row.id for row in catalogue(kind)} - {invariant.id}
        before.add(invariant.id)
    assert before
