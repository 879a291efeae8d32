"""Cases that somebody gives: every case of the kit's own is taken, and one that would blame a right target is not."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import hypothesis
import pytest
from hypothesis import HealthCheck

from unilth.cli import main
from unilth.errors import UserError
from unilth.sims.invariants import check, mask_rule, penalty_schedule, ticket_finder
from unilth.sims.invariants.catalogue import CATALOGUE
from unilth.sims.invariants.declarations import MaskRule, PenaltySchedule, TicketFinder
from unilth.sims.invariants.invariant import Plan
from unilth.sims.invariants.ours import global_magnitude, global_random, layer_magnitude, layer_random
from unilth.sims.invariants.replayed import refuse_odd

CLAIMS = {
    "mask-rule": tuple(
        MaskRule(scope, keeps, scope == "other")
        for scope in ("global", "layer", "other")
        for keeps in ("largest", "random")
    ),
    "penalty-schedule": (PenaltySchedule(1.0, 1), PenaltySchedule(1.0, 5000), PenaltySchedule(0.5, 10**12)),
    "ticket-finder": (
        TicketFinder(True, "largest", "global", nested=True, penalty=float, no_empty_layer=True),
        TicketFinder(
            False, "random", "layer", frozenset({"dropout", "tied", "frozen", "bfloat16", "optimizer-state"}), 2
        ),
    ),
    "saved-ticket": (SimpleNamespace(kind="saved-ticket", path=Path("x/ticket.safetensors")),),
}


@pytest.mark.parametrize("invariant", CATALOGUE, ids=lambda invariant: invariant.id)
def test_every_case_of_the_kit_is_taken(invariant):
    for claims in CLAIMS[invariant.kind]:
        if invariant.excuse(claims):
            continue
        for plan in (Plan("quick", 3), Plan("standard")):
            for case in invariant.cases(claims, plan):
                refuse_odd(invariant, claims, json.loads(json.dumps(case)))
        if invariant.small is not None:
            small_cases_are_taken(invariant, claims)


def small_cases_are_taken(invariant, claims):
    @hypothesis.settings(
        max_examples=150, database=None, deadline=None, derandomize=True, suppress_health_check=tuple(HealthCheck)
    )
    @hypothesis.given(invariant.small(claims))
    def taken(case):
        refuse_odd(invariant, claims, json.loads(json.dumps(case)))

    taken()


A, AB = {"a": [1, 2, 3, 4]}, {"a": [1, 2], "b": [3, 4]}
HALF = {"scores": A, "sparsity": 0.5}
MANY = {"shapes": {"a": [64]}, "sparsity": 0.5}

ODD = [
    *(
        ("mask-order", {**HALF, "sparsity": value}, "outside \\[0, 1\\)")
        for value in (1, 1.5, -0.1, True, "0.5", None, [1])
    ),
    ("mask-order", {"scores": A}, "sparsity is missing"),
    ("mask-names", {"scores": {}, "sparsity": 0.5}, "no scores"),
    ("mask-names", {"shapes": {}, "sparsity": 0.5}, "no scores"),
    ("mask-names", {"scores": {"a": []}, "sparsity": 0.5}, "'a' has no weights"),
    ("mask-names", {"shapes": {"a": [2, 0]}, "sparsity": 0.5}, "'a' has no weights"),
    ("mask-names", {"scores": {"a": 3}, "sparsity": 0.5}, "'a' is a single number"),
    ("mask-names", {"shapes": {"a": []}, "sparsity": 0.5}, "'a' is a single number"),
    *(
        ("mask-names", {"shapes": {"a": value}, "sparsity": 0.5}, "of 'a' is no list of whole numbers")
        for value in ("44", [4.9], {"3": 1}, 3, [True])
    ),
    ("mask-names", {**MANY, "draw_seed": "7"}, "draw_seed 7 is no whole number"),
    ("mask-names", {**MANY, "draw_seed": -1}, "draw_seed -1 is no whole number"),
    ("mask-order", {"scores": {"a": [1e300, 1]}, "sparsity": 0.5}, "not finite in float32"),
    ("mask-order", {"scores": {"a": [70000, 1]}, "sparsity": 0.5, "dtype": "float16"}, "not finite in float16"),
    ("mask-order", {**HALF, "seed": -1}, "seed -1 is no whole number"),
    *(
        ("mask-rejects-sparsity", {**HALF, "sparsity": value}, "is no number outside")
        for value in (0, 0.5, True, "x", None)
    ),
    ("mask-rejects-sparsity", {"scores": A}, "sparsity is missing"),
    (
        "mask-exact-count-global",
        {**HALF, "within": {"a": [0, 0, 0, 1]}},
        "prunes 3 weights where sparsity 0.5 asks for 2",
    ),
    ("mask-within-count", {"scores": AB, "sparsity": 0.5, "within": {"a": [0, 0], "b": [1, 1]}}, "prunes 2 .* for 1"),
    ("mask-sparsity-zero", {"scores": A, "sparsity": 0, "within": {"a": [0, 1, 1, 1]}}, "prunes 1 .* for 0"),
    ("mask-sparsity-zero", HALF, "0.5 is not 0"),
    *(("mask-scale", {**HALF, "scale": value}, "scale .* is no number above 0") for value in (0, -1.0, True, "2")),
    ("mask-scale", HALF, "scale is missing"),
    ("mask-scale", {**HALF, "scale": 1e39}, "equal or infinite"),
    ("mask-scale", {**HALF, "scale": 1e-46}, "equal or infinite"),
    *(
        ("mask-nested", {"scores": A, "sparsities": value}, words)
        for value, words in (([0.5, 1.0], "1.0 lies outside"), ([0.5], "compares two"), (0.5, "no list"))
    ),
    ("mask-nested", HALF, "sparsities is missing"),
    ("mask-two-steps", {"scores": A, "sparsities": [-0.5, 0.5]}, "-0.5 lies outside"),
    ("mask-infinite-scores", {**HALF, "infinite_at": [["a", 0]], "pruned": 3}, "pruned is 3 where it must be 2"),
    ("mask-infinite-scores", {**HALF, "infinite_at": [["a", 0]]}, "pruned is missing"),
    ("mask-infinite-scores", {**HALF, "infinite_at": [["a", i] for i in range(3)], "pruned": 2}, "has 3 infinite"),
    ("mask-infinite-scores", {**HALF, "infinite_at": [["a", 0], ["a", 0]], "pruned": 2}, "twice"),
    ("mask-infinite-scores", {**HALF, "infinite_at": [["a", -1]], "pruned": 2}, "no layer with a position"),
    *(
        ("mask-rejects-nan", {**HALF, "nan_at": place}, "no layer with a position")
        for place in (["b", 0], ["a", 4], "a")
    ),
    ("mask-permutation", {"scores": {"a": [1, 1]}, "sparsity": 0.5, "shuffle": 1}, "are equal"),
    ("mask-permutation", {**HALF, "shuffle": 1, "within": {"a": [0, 1, 1, 1]}}, "has no within"),
    ("mask-permutation", HALF, "shuffle is missing"),
    ("mask-dict-order", {"scores": {"a": [1], "b": [1]}, "sparsity": 0.5}, "are equal"),
    (
        "mask-dtype",
        {"scores": {"a": [257, 256]}, "sparsity": 0.5, "dtype": "bfloat16", "shrink": 1},
        "equal or infinite",
    ),
]
ODD_RANDOM = [
    ("mask-seeds-differ", {**MANY, "seeds": [1, 1]}, "each once"),
    ("mask-seeds-differ", {**MANY, "seeds": [1]}, "two or more"),
    ("mask-seeds-differ", {**MANY, "seeds": [1, 2, 2]}, "each once"),
    ("mask-seeds-differ", {**MANY, "seeds": [1.5, 2]}, "no list of whole numbers"),
    ("mask-seeds-differ", {**MANY, "seeds": [-1, 2]}, "no list of whole numbers"),
    ("mask-seeds-differ", {**HALF, "seeds": [1, 2]}, "so few masks"),
    ("mask-random-is-random", {**MANY, "draws": 10**9}, "draws 1000000000 is no whole number from 1 to 100000"),
    ("mask-random-is-random", {"shapes": {"a": [3]}, "sparsity": 0.5, "draws": 2000}, "is odd"),
]
ODD_STEPS = [
    ("schedule-number", {}, "steps is missing, or first and last"),
    ("schedule-number", {"first": 1}, "last is missing"),
    ("schedule-number", {"steps": []}, "no list of steps"),
    ("schedule-number", {"steps": 3}, "no list of steps"),
    *(("schedule-number", {"steps": [value]}, "no whole number from 0") for value in (-1, 1.0, True, "1", None)),
    *(
        (id, {"steps": [10**18 + 1]}, "the step 1000000000000000001 is no whole number from 0 to 1000000000000000000")
        for id in ("schedule-number", "schedule-stays", "schedule-pure")
    ),
    ("schedule-stays", {"steps": [10**400]}, "is no whole number from 0 to"),
    ("schedule-number", {"steps": [1], "stpes": [2]}, "'stpes' is unknown beside steps"),
    ("schedule-number", {"steps": [1], "first": 0, "last": 3}, "'first', 'last' is unknown beside steps"),
    ("schedule-number", {"first": 0, "last": 10**12}, "1,000,000,000,001 steps are more than 10,000,000"),
    ("schedule-nonnegative", {"first": 5, "last": 2}, "first 5 comes after last 2"),
    ("schedule-monotone", {"steps": [3, 2]}, "do not ascend"),
    ("schedule-monotone", {"steps": [3, 101]}, "step 101 comes after the declared number of steps, 100"),
    ("schedule-stays", {"steps": [99, 200]}, "step 99 comes before the declared number of steps, 100"),
    ("schedule-reaches", {"step": 10}, "step 10 is not the declared number of steps, 100"),
    ("schedule-reaches", {}, "step is missing"),
    ("schedule-pure", {"first": 1, "last": 3}, "'first', 'last' is unknown"),
]
MLP = {"problem": "mlp", "sparsity": 0.5, "seed": 0}
ODD_RUNS = [
    ("finder-form", {**MLP, "sparsity": 1.0}, "outside"),
    ("finder-form", {**MLP, "seed": True}, "seed True is no whole number"),
    ("finder-form", {**MLP, "seed": -1}, "seed -1 is no whole number"),
    ("finder-form", {**MLP, "problem": "tied"}, "'tied' is none of mlp, conv"),
    ("finder-form", {"sparsity": 0.5, "seed": 0}, "problem is missing"),
    ("finder-form", {"problem": "mlp", "seed": 0}, "sparsity is missing"),
    ("finder-sparsity-zero", MLP, "0.5 does not lie between 0.0 and 0.0"),
]


@penalty_schedule(ceiling=1.0, steps=100)
def ramp(step):
    return min(1.0, step / 100)


@ticket_finder()
def never(network, data, sparsity, *, seed):
    raise AssertionError("called")


@pytest.mark.parametrize(
    ("target", "id", "case", "words"),
    [
        (target, *row)
        for target, rows in (
            (global_magnitude, ODD),
            (global_random, ODD_RANDOM),
            (ramp, ODD_STEPS),
            (never, ODD_RUNS),
        )
        for row in rows
    ],
)
def test_a_case_that_would_blame_a_right_target_is_refused(target, id, case, words):
    started = time.monotonic()
    with pytest.raises(UserError, match=f"is none of {id} \\(.*{words}.*: copy it from a replay line") as caught:
        check(target, only=id, case=case)
    assert "\n" not in str(caught.value) and time.monotonic() - started < 5


def test_a_count_over_layers_is_asked_layer_by_layer():
    shared = {"scores": {"a": [1, 2], "b": [1, 2]}, "sparsity": 0.5, "shuffle": 3}
    assert check(layer_magnitude, only="mask-permutation", case=shared).ok
    with pytest.raises(UserError, match="are equal"):
        check(global_magnitude, only="mask-permutation", case=shared)
    unlike = {"shapes": {"a": [3], "b": [5]}, "sparsity": 0.5, "draws": 2000}
    with pytest.raises(UserError, match="do not all have the same chance"):
        check(layer_random, only="mask-random-is-random", case=unlike)


def test_what_is_not_claimed_is_not_judged_by_a_case_either(capsys):
    @mask_rule(scope="other", keeps="other")
    def smallest(scores, sparsity, *, within=None, generator=None):
        return global_magnitude({name: -score for name, score in scores.items()}, sparsity, within=within)

    (alone,) = check(smallest, only="mask-order", budget="quick").invariants
    (row,) = check(smallest, only="mask-order", case=HALF).invariants
    assert (row.status, row.note, row.cases) == ("not-applicable", alone.note, 0) and row.note
    argv = ["unilth.sims.invariants.ours:layer_magnitude", "--only", "mask-exact-count-global", "--case"]
    assert main(["check", *argv, json.dumps(HALF)]) == 0
    assert "not-applicable" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[]", "[1]", "7", "null", '"x"', "{"])
def test_a_case_on_the_command_line_is_an_object(text, capsys):
    argv = ["check", "unilth.sims.invariants.ours:global_magnitude", "--only", "mask-names", "--case", text]
    assert main(argv) == 2
    error = capsys.readouterr().err
    assert "is no JSON object" in error and error.count("\n") == 1


def test_one_step_is_a_range_too():
    assert check(ramp, only="schedule-nonnegative", case={"first": 5, "last": 5}).ok
