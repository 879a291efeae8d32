"""The limits of a given case, each from both sides, asked without a target."""

from __future__ import annotations

import math
import re

import pytest

from unilth.errors import UserError
from unilth.sims.invariants import check
from unilth.sims.invariants.catalogue import CATALOGUE
from unilth.sims.invariants.declarations import MaskRule, PenaltySchedule, TicketFinder
from unilth.sims.invariants.ours import global_magnitude
from unilth.sims.invariants.replayed import refuse_odd

INVARIANTS = {invariant.id: invariant for invariant in CATALOGUE}
RULE, LAYERS = MaskRule("global", "largest"), MaskRule("layer", "largest")
CHANCE = MaskRule("layer", "random")
RAMP = PenaltySchedule(1.0, 100)
FINDER = TicketFinder(True, "largest", "global", frozenset({"tied"}))

FOUR = {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5}
NEAR_ONE = math.nextafter(1.0, 0.0)
MANY = {"shapes": {"a": [64]}, "sparsity": 0.5}
RUN = {"problem": "mlp", "sparsity": 0.5, "seed": 0}

LATER = {"shapes": {"a": [8]}, "sparsity": 0.5, "within": {"a": [1, 0, 1, 0, 1, 1, 1, 1]}}
LATER_TWO = {"shapes": {"a": [4], "b": [4]}, "sparsity": 0.5, "within": {"a": [0, 0, 1, 1], "b": [1] * 4}}
LATER_THREE = {  # two thirds of what is left are kept: 2 of 3, 2 of 3, 4 of 6
    "shapes": {"a": [3], "b": [3], "c": [8]},
    "sparsity": 0.5,
    "within": {"a": [1] * 3, "b": [1] * 3, "c": [0, 0] + [1] * 6},
}

TAKEN = [
    ("mask-order", RULE, {**FOUR, "sparsity": 0}),
    ("mask-order", RULE, {**FOUR, "sparsity": NEAR_ONE}),
    ("mask-order", RULE, {**FOUR, "seed": 0}),
    ("mask-order", RULE, {**FOUR, "seed": 2**63 - 1}),
    ("mask-order", RULE, {**FOUR, "within": {"a": [0, 0, 1, 1]}}),
    ("mask-within", RULE, {**FOUR, "within": {"a": [0, 0, 0, 1]}}),
    ("mask-nested", RULE, {"scores": {"a": [1, 2]}, "sparsities": [0, 0.5]}),
    ("mask-nested", RULE, {"scores": {"a": [1, 2, 3, 4]}, "sparsities": [0.75, 0.5], "within": {"a": [0, 0, 1, 1]}}),
    *(
        ("mask-rejects-sparsity", RULE, {**FOUR, "sparsity": value})
        for value in (1, 1.0, -1e-300, 1e300, "nan", "inf", "-inf")
    ),
    ("mask-rejects-nan", RULE, {**FOUR, "nan_at": ["a", 0]}),
    ("mask-rejects-nan", RULE, {**FOUR, "nan_at": ["a", 3]}),
    ("mask-infinite-scores", RULE, {**FOUR, "infinite_at": [["a", 0], ["a", 3]], "pruned": 2}),
    ("mask-scale", RULE, {**FOUR, "scale": 1e-30}),
    ("mask-dtype", RULE, {**FOUR, "dtype": "float16", "shrink": 0.5}),
    ("mask-dtype", LAYERS, {"scores": {"a": [1, 2], "b": [1, 2]}, "sparsity": 0.5, "dtype": "float16", "shrink": 0.5}),
    ("mask-permutation", RULE, {**FOUR, "shuffle": 0}),
    ("mask-permutation", RULE, {**FOUR, "shuffle": 2**63 - 1}),
    ("mask-seeds-differ", CHANCE, {**MANY, "seeds": [0, 2**63 - 1]}),
    ("mask-random-is-random", CHANCE, {**MANY, "draws": 1}),
    ("mask-random-later", CHANCE, {**LATER, "draws": 9}),
    ("mask-random-later", MaskRule("global", "random"), {**LATER_TWO, "draws": 9}),
    ("mask-seeds-differ", CHANCE, {**MANY, "seeds": [1, 2**32 + 2]}),
    ("mask-seeds-differ", CHANCE, {**MANY, "seeds": [1, 2**31 + 1]}),
    ("mask-random-later", CHANCE, {**LATER_THREE, "draws": 9}),
    ("mask-random-is-random", CHANCE, {**MANY, "draws": 100_000}),
    ("mask-random-is-random", CHANCE, {"shapes": {"a": [4], "b": [8]}, "sparsity": 0.5, "draws": 9}),
    (
        "mask-random-is-random",
        MaskRule("global", "random"),
        {"shapes": {"a": [3], "b": [5]}, "sparsity": 0.5, "draws": 9},
    ),
    ("schedule-number", RAMP, {"first": 0, "last": 0}),
    ("schedule-number", RAMP, {"first": 7, "last": 10_000_006}),
    ("schedule-number", RAMP, {"steps": [10**18]}),
    ("schedule-monotone", RAMP, {"first": 7, "last": 100}),
    ("schedule-monotone", RAMP, {"steps": [3, 3, 100]}),
    ("schedule-stays", RAMP, {"steps": [101, 100]}),
    ("schedule-reaches", RAMP, {"step": 100}),
    ("schedule-pure", RAMP, {"steps": [4, 2, 4]}),
    ("finder-form", FINDER, {**RUN, "problem": "tied"}),
    ("finder-form", FINDER, {**RUN, "seed": 2**32 - 1, "network_seed": 2**63 - 1}),
    ("finder-form", FINDER, {**RUN, "sparsity": NEAR_ONE}),
    ("finder-tied", FINDER, {**RUN, "problem": "tied"}),
    ("finder-seeds-differ", FINDER, {**RUN, "sparsity": 0.1}),
    ("finder-seeds-differ", FINDER, {**RUN, "sparsity": 0.98}),
    ("finder-no-empty-layer", FINDER, {**RUN, "sparsity": 0.98}),
    ("finder-no-empty-layer", FINDER, {**RUN, "sparsity": 0.0}),
    ("finder-sparsity-zero", FINDER, {**RUN, "sparsity": 0}),
]

X, Y = "x" * 200, "0" * 200
REFUSED = [
    ("mask-order", RULE, {**FOUR, "seed": 2**63}, f"seed {2**63} is no whole number from 0 to {2**63 - 1}"),
    ("mask-order", RULE, {**FOUR, "seed": 1.0}, "seed 1.0 is no whole number"),
    ("mask-order", RULE, {**FOUR, "sparsity": 10**400}, f"the sparsity 1{Y[:39]} lies outside [0, 1)"),
    ("mask-order", RULE, {**FOUR, "sparsity": X}, f"the sparsity {X[:40]} lies outside"),
    ("mask-order", RULE, {**FOUR, "seed": X}, f"seed {X[:40]} is no whole number"),
    ("mask-order", RULE, {"scores": {"a": [1]}, "within": {"a": [0]}}, "(sparsity is missing)"),
    ("mask-nested", RULE, {"scores": {"a": [1, 2]}, "sparsity": 0.5}, "(sparsities is missing)"),
    (
        "mask-nested",
        RULE,
        {"scores": {"a": [1, 2, 3, 4]}, "sparsities": [0.75, 0.25], "within": {"a": [0, 0, 1, 1]}},
        "its within prunes 2 weights where sparsity 0.25 asks for 1",
    ),
    ("mask-rejects-sparsity", RULE, {**FOUR, "sparsity": X}, f"the sparsity {X[:40]} is no number"),
    ("mask-rejects-sparsity", RULE, {**FOUR, "sparsity": 0.0}, "the sparsity 0.0 is no number outside"),
    ("mask-rejects-sparsity", RULE, {**FOUR, "sparsity": NEAR_ONE}, "is no number outside"),
    *(
        ("mask-rejects-nan", RULE, {**FOUR, "nan_at": place}, f"({place} is no layer with a position")
        for place in ([], ["a"], ["a", 0, 0], ["a", 4], ["a", 5])
    ),
    ("mask-rejects-nan", RULE, {**FOUR, "nan_at": ["a", True]}, "is no layer with a position"),
    ("mask-rejects-nan", RULE, {**FOUR, "nan_at": ["a", -1]}, "is no layer with a position"),
    ("mask-rejects-nan", RULE, {**FOUR, "nan_at": ["a", 0.0]}, "is no layer with a position"),
    ("mask-rejects-nan", RULE, {**FOUR, "nan_at": ("a", 0)}, "is no layer with a position"),
    ("mask-rejects-nan", RULE, {**FOUR, "nan_at": [["a"], 0]}, "is no layer with a position"),
    ("mask-rejects-nan", RULE, {**FOUR, "nan_at": X}, f"({X[:40]} is no layer with a position"),
    ("mask-rejects-nan", RULE, FOUR, "(nan_at is missing)"),
    ("mask-infinite-scores", RULE, {**FOUR, "infinite_at": [], "pruned": 2}, "infinite_at names no position"),
    ("mask-infinite-scores", RULE, {**FOUR, "infinite_at": "a", "pruned": 2}, "infinite_at names no position"),
    (
        "mask-infinite-scores",
        LAYERS,
        {"scores": {"a": [1, 2], "b": [1, 2]}, "sparsity": 0.5, "infinite_at": [["b", 0], ["b", 1]], "pruned": 2},
        "layer 'b' would keep 1 weights and has 2 infinite scores",
    ),
    (
        "mask-infinite-scores",
        LAYERS,
        {"scores": {"a": [1, 2, 3], "b": [1, 2, 3]}, "sparsity": 0.5, "infinite_at": [["b", 0]], "pruned": 3},
        "pruned is 3 where it must be 2",
    ),
    (
        "mask-infinite-scores",
        RULE,
        {**FOUR, "infinite_at": [["a", 0]], "pruned": X},
        f"pruned is {X[:40]} where it must be 2",
    ),
    ("mask-scale", RULE, {**FOUR, "scale": X}, f"scale {X[:40]} is no number above 0"),
    ("mask-scale", RULE, {**FOUR, "scale": 10**400}, "is no number above 0"),
    *(
        ("mask-dtype", RULE, {**FOUR, "shrink": value}, f"shrink {value} is no number above 0")
        for value in (0, -0.5, True)
    ),
    ("mask-dtype", RULE, {**FOUR, "shrink": X}, f"shrink {X[:40]} is no number above 0"),
    (
        "mask-dtype",
        RULE,
        {"scores": {"a": [1, 2], "b": [1, 2]}, "sparsity": 0.5, "dtype": "float16", "shrink": 0.5},
        "float16 with shrink 0.5 leaves scores of all layers together equal or infinite",
    ),
    ("mask-dtype", RULE, {**FOUR, "dtype": "float16", "shrink": 1e-30}, "float16 with shrink 1e-30 leaves"),
    ("mask-dtype", RULE, {"scores": {"a": [1, 7e4]}, "sparsity": 0.5, "shrink": 1e38}, "float32 with shrink 1e+38"),
    (
        "mask-dict-order",
        MaskRule("other", "largest", True),
        {"scores": {"a": [1, 2], "b": [1, 2]}, "sparsity": 0.5},
        "scores of all layers together are equal",
    ),
    ("mask-permutation", RULE, {**FOUR, "shuffle": -1}, "shuffle -1 is no whole number"),
    ("mask-permutation", RULE, {**FOUR, "shuffle": 2**63}, "is no whole number"),
    ("mask-seeds-differ", CHANCE, {**MANY, "seeds": [0, 2**63]}, "seeds is no list of whole numbers from 0"),
    ("mask-seeds-differ", CHANCE, {**MANY, "seeds": [0, 2**63 + 1]}, "seeds is no list of whole numbers from 0"),
    ("mask-seeds-differ", CHANCE, {**MANY, "seeds": (0, 1)}, "seeds is no list of whole numbers from 0"),
    ("mask-seeds-differ", CHANCE, MANY, "(seeds is missing)"),
    ("mask-seeds-differ", CHANCE, {**MANY, "seeds": [1, 2**32 + 1]}, "each once in their last 32 bits"),
    *(
        ("mask-random-later", CHANCE, {**LATER, "draws": draws}, f"draws {draws} is no whole number from 1 to 100000")
        for draws in (-3, 0, 10**12, "x")
    ),
    ("mask-random-later", CHANCE, {**LATER, "draws": 9, "within": None}, "(within is missing)"),
    ("mask-random-later", CHANCE, {**LATER, "draws": 9, "within": {"a": [1] * 7 + [0]}}, "number of weights is odd"),
    (
        "mask-random-later",
        CHANCE,
        {**LATER_TWO, "draws": 9},
        "its weights do not all have the same chance",
    ),
    *(
        (id, RULE, case, "(within is missing)")
        for id in ("mask-within", "mask-within-count", "mask-within-order")
        for case in (FOUR, {**FOUR, "within": None})
    ),
    ("mask-order", RULE, {**FOUR, "shapes": {"a": [4]}}, "it has both scores and shapes"),
    ("mask-order", RULE, {**FOUR, "sparsty": 3}, "'sparsty' is unknown beside scores, shapes, draw, draw_seed, dtype"),
    ("mask-order", RULE, {**FOUR, "sparsities": [0.5]}, "'sparsities' is unknown"),
    ("mask-nested", RULE, {**FOUR, "sparsities": [0.5, 0.75]}, "'sparsity' is unknown"),
    ("finder-form", FINDER, {**RUN, "x": 1}, "'x' is unknown beside problem, sparsity, seed and network_seed"),
    ("mask-random-is-random", CHANCE, {**MANY, "draws": 0}, "draws 0 is no whole number from 1 to 100000"),
    ("mask-random-is-random", CHANCE, {**MANY, "draws": 100_001}, "draws 100001 is no whole number"),
    (
        "mask-random-is-random",
        MaskRule("other", "random", True),
        {"shapes": {"a": [4], "b": [8]}, "sparsity": 0.5, "draws": 9},
        "its weights do not all have the same chance",
    ),
    ("schedule-number", RAMP, {"first": 1, "last": 0}, "first 1 comes after last 0"),
    ("schedule-number", RAMP, {"first": 7, "last": 10_000_007}, "its 10,000,001 steps are more than 10,000,000"),
    ("schedule-number", RAMP, {"steps": [X]}, f"the step {X[:40]} is no whole number"),
    ("schedule-number", RAMP, {"steps": [0], X: 0}, f"('{X[:79]} is unknown beside steps)"),
    ("schedule-number", RAMP, {"first": 0, "last": 0, "x": 0}, "'x' is unknown beside first and last"),
    ("schedule-reaches", RAMP, {"step": 100, "steps": [100]}, "'steps' is unknown beside step"),
    ("schedule-monotone", RAMP, {"first": 7, "last": 101}, "step 101 comes after the declared number"),
    ("schedule-monotone", RAMP, {"steps": [1, 2, 101]}, "step 101 comes after the declared number"),
    ("schedule-stays", RAMP, {"first": 99, "last": 101}, "step 99 comes before the declared number"),
    ("schedule-stays", RAMP, {"steps": [100, 99]}, "step 99 comes before the declared number"),
    ("schedule-reaches", RAMP, {"step": 101}, "step 101 is not the declared number"),
    *(("finder-tied", FINDER, {**RUN, "problem": name}, "its problem is not 'tied'") for name in ("mlp", "zebra", "a")),
    ("finder-form", FINDER, {**RUN, "problem": "dropout"}, "the problem 'dropout' is none of mlp, conv, residual"),
    ("finder-form", FINDER, {**RUN, "problem": X}, f"the problem '{X[:40]}' is none of"),
    ("finder-form", FINDER, {**RUN, "seed": 2**32}, f"seed {2**32} is no whole number from 0 to {2**32 - 1}"),
    ("finder-form", FINDER, {**RUN, "network_seed": -1}, "network_seed -1 is no whole number"),
    ("finder-form", FINDER, {"problem": "mlp", "sparsity": 0.5}, "(seed is missing)"),
    ("finder-seeds-differ", FINDER, {**RUN, "sparsity": 0.09}, "0.09 does not lie between 0.1 and 0.98"),
    ("finder-seeds-differ", FINDER, {**RUN, "sparsity": 0.981}, "0.981 does not lie between 0.1 and 0.98"),
    ("finder-no-empty-layer", FINDER, {**RUN, "sparsity": 0.981}, "0.981 does not lie between 0.0 and 0.98"),
    ("finder-sparsity-zero", FINDER, {**RUN, "sparsity": 0.01}, "0.01 does not lie between 0.0 and 0.0"),
]


@pytest.mark.parametrize(("id", "claims", "case"), TAKEN)
def test_what_lies_within_every_limit_is_taken(id, claims, case):
    assert refuse_odd(INVARIANTS[id], claims, case) is None


@pytest.mark.parametrize(("id", "claims", "case", "words"), REFUSED)
def test_what_lies_beyond_a_limit_is_refused_with_what_is_wrong(id, claims, case, words):
    with pytest.raises(UserError, match=re.escape(words)) as caught:
        refuse_odd(INVARIANTS[id], claims, case)
    assert str(caught.value).startswith(f"the case {str(case)[:80]} is none of {id} (")


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"scores": {"a": [10**400]}}, "cannot be read"),
        ({"scores": {"a": [1]}, "dtype": ["float32"]}, r"dtype \['float32'\] is not known"),
        ({"scores": {"a": [1]}, "dtype": {}}, "dtype {} is not known"),
        ({"shapes": {"a": [10**400]}}, "cannot be read"),
        ({"shapes": {"a": [4]}, "draw_seed": [1]}, r"draw_seed \[1\] is no whole number"),
        ({"shapes": {"a": [4]}, "draw": ["few"]}, "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_sentence(wrong, words):
    with pytest.raises(UserError, match=words) as caught:
        check(global_magnitude, only="mask-order", case={"sparsity": 0.5, **wrong})
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(("without", "more"), [("mask-permutation", {"shuffle": 1}), ("mask-dict-order", {})])
def test_no_earlier_mask_where_scores_are_exchanged_under_it(without, more):
    case = {**FOUR, **more, "within": {"a": [1, 1, 1, 1]}}
    with pytest.raises(UserError, match=f"{without} has no within"):
        refuse_odd(INVARIANTS[without], RULE, case)


@pytest.mark.parametrize(
    ("id", "more"),
    [
        ("mask-permutation", {"shuffle": 1}),
        ("mask-scale", {"scale": 2.0}),
        ("mask-dict-order", {}),
        ("mask-layout", {}),
        ("mask-device", {}),
    ],
)
def test_equal_scores_are_refused_where_either_may_go(id, more):
    case = {"scores": {"a": [1, 1, 3, 4]}, "sparsity": 0.5, **more}
    with pytest.raises(UserError, match="scores of all layers together are equal, and either may go"):
        refuse_odd(INVARIANTS[id], RULE, case)


def test_seeds_may_agree_only_where_masks_are_few():
    """Against the binomial coefficient, counted in whole numbers."""
    for n in range(2, 65):
        for pruned in range(n):
            case = {"shapes": {"a": [n]}, "sparsity": (pruned + 0.5) / n, "seeds": [1, 2]}
            if math.comb(n, pruned) > 10**9:
                assert refuse_odd(INVARIANTS["mask-seeds-differ"], CHANCE, case) is None
            else:
                with pytest.raises(UserError, match="the layer 'a' has so few masks that seeds may agree"):
                    refuse_odd(INVARIANTS["mask-seeds-differ"], CHANCE, case)
