"""The Python door: reports, statuses, replay, expected failures, and what cannot be used."""

import copy
import dataclasses
import functools
import json
import operator
import random
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib import resources

import hypothesis
import jsonschema
import numpy as np
import pytest
import torch

from unilth.errors import UserError
from unilth.sims.invariants import check, mask_rule, penalty_schedule, ticket_finder
from unilth.sims.invariants.catalogue import catalogue
from unilth.sims.invariants.declarations import claims_of
from unilth.sims.invariants.ours import global_magnitude, global_random, rst_schedule
from unilth.sims.invariants.twins_chance import redraws_on_resume
from unilth.sims.invariants.twins_mask import (
    keeps_strictly_above,
    kth_value_of_nothing,
    prunes_all_ties,
    ranked,
    revives,
    squares_in_float32,
)
from unilth.sims.invariants.twins_schedule import counts_epochs

SCHEMA = json.loads((resources.files("unilth.sims.invariants") / "report.schema.json").read_text())


@functools.cache
def quick(target):
    """The quick check of a target, once for all tests that look at it."""
    return check(target, budget="quick")


def row(report, id):
    return next(row for row in report.invariants if row.id == id)


@pytest.mark.parametrize("target", [global_magnitude, keeps_strictly_above, counts_epochs, rst_schedule])
def test_json_follows_the_schema_and_counts_add_up(target):
    report = quick(target)
    data = json.loads(report.to_json())
    jsonschema.validate(data, SCHEMA)
    assert sum(data["counts"].values()) == len(data["invariants"]) == len(catalogue(report.kind))
    assert data["ok"] is report.ok is (target in (global_magnitude, rst_schedule))


def test_the_schema_refuses_a_violation_without_a_case():
    data = quick(keeps_strictly_above).to_dict()
    next(r for r in data["invariants"] if r["status"] == "violated")["case"] = None
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA)


def test_the_case_shown_is_the_smallest():
    found = row(check(keeps_strictly_above, only="mask-exact-count-global"), "mask-exact-count-global")
    assert found.status == "violated" and found.case == {"scores": {"a": [1]}, "sparsity": 0.5}
    assert found.got == "1 of 1 pruned in all layers together"
    ties = row(check(prunes_all_ties, only="mask-ties-count"), "mask-ties-count")
    assert sum(map(len, ties.case["scores"].values())) == 2
    alive = row(check(revives, only="mask-within"), "mask-within")
    assert sum(len(values) for values in alive.case["within"].values()) <= 4


def test_a_case_replays_exactly():
    for target in (keeps_strictly_above, prunes_all_ties, revives, counts_epochs):
        for found in quick(target).violations:
            again = check(target, only=found.id, case=json.loads(json.dumps(found.case)))
            assert [(r.status, r.got, r.expected) for r in again.invariants] == [
                ("violated", found.got, found.expected)
            ]
            assert check(target, only=found.id, case=json.dumps(found.case), seed=9).violations
    assert check(global_magnitude, only="mask-order", case={"scores": {"a": [1, 2]}, "sparsity": 0.5}).ok


def test_a_target_that_reads_global_generators_replays_too():
    @mask_rule(scope="layer", keeps="random")
    def careless(scores, sparsity, *, within=None, generator=None):
        return {name: torch.rand_like(score) > sparsity for name, score in scores.items()}

    found = check(careless, budget="quick").violations
    assert len(found) >= 4
    for each in found:
        again = check(careless, only=each.id, case=each.case, seed=7).invariants[0]
        assert (again.status, again.got) == ("violated", each.got)


def test_hypothesis_keeps_its_folder_where_it_was(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = hypothesis.configuration.storage_directory("x").path
    assert check(keeps_strictly_above, budget="quick", only="mask-exact-count-global").violations
    assert hypothesis.configuration.storage_directory("x").path == before and not list(tmp_path.iterdir())


def test_a_blocked_invariant_names_its_prerequisite():
    report = quick(keeps_strictly_above)
    blocked = row(report, "mask-decimal-count")
    assert blocked.status == "blocked" and "mask-exact-count-global" in blocked.note and blocked.cases == 0


def test_what_is_not_claimed_is_not_judged():
    @mask_rule(scope="other", keeps="other")
    def nearly_nothing(scores, sparsity, *, within=None, generator=None):
        return ranked(scores, min(sparsity, 0.5) if sparsity < 1 else sparsity, within)

    report = check(nearly_nothing, budget="quick")
    assert report.ok, str(report)
    assert row(report, "mask-order").status == "not-applicable" and row(report, "mask-order").note


def test_an_exception_of_the_target_is_a_violation_with_its_text():
    found = row(check(kth_value_of_nothing, budget="quick"), "mask-names")
    assert found.status == "violated" and "raised" in found.got and found.replay


def test_the_kits_own_failure_is_an_error_and_not_ok(monkeypatch):
    broken = operator.truediv  # of a subject by a case: raised where no code of the target was running
    rows = tuple(dataclasses.replace(i, check=broken) if i.id == "mask-order" else i for i in catalogue("mask-rule"))
    monkeypatch.setattr(sys.modules[catalogue.__module__], "CATALOGUE", rows)
    report = check(global_magnitude, budget="quick", only=["mask-order", "mask-two-steps"])
    assert row(report, "mask-order").status == "error" and row(report, "mask-two-steps").status == "blocked"
    assert "TypeError: unsupported operand" in row(report, "mask-order").got and not report.ok


def test_ctrl_c_keeps_what_was_judged():
    @mask_rule(scope="global", keeps="largest")
    def stopped(scores, sparsity, *, within=None, generator=None):
        if any(value.isnan().any() for value in scores.values()):
            raise KeyboardInterrupt
        return ranked(scores, sparsity, within)

    told = []
    with pytest.raises(KeyboardInterrupt) as caught:
        check(stopped, budget="quick", done=lambda *row: told.append(row))
    report = caught.value.report
    rows = catalogue("mask-rule")
    before = [invariant.id for invariant in rows].index("mask-rejects-nan")
    assert [row.status for row in report.invariants[:before]] == ["passed"] * before and before >= 3
    left = [row.id for row in report.invariants if row.note == "interrupted before it was judged"]
    assert {row.status for row in report.invariants} == {"passed", "blocked"} and not report.ok
    assert report.counts["blocked"] == report.unjudged == len(left) > 20 and left[0] == "mask-rejects-nan"
    assert [(row.id, number, of) for row, number, of in told] == [
        (invariant.id, number, len(rows)) for number, invariant in enumerate(rows[:before], start=1)
    ]
    jsonschema.validate(report.to_dict(), SCHEMA)
    assert sum(report.counts.values()) == len(report.invariants) == len(rows)


@pytest.fixture
def interruptible():
    """Python's own handler, also where these tests run in a shell's background, in which Ctrl-C is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_that_the_target_catches_ends_the_check_and_accuses_nobody(interruptible):
    @mask_rule(scope="global", keeps="largest")
    def swallows(scores, sparsity, *, within=None, generator=None):
        if any(value.isnan().any() for value in scores.values()):
            try:
                signal.raise_signal(signal.SIGINT)
            except BaseException as error:
                raise TypeError("x") from error
        return ranked(scores, sparsity, within)

    with pytest.raises(KeyboardInterrupt) as caught:
        check(swallows, budget="quick")
    report = caught.value.report
    assert row(report, "mask-rejects-nan").status == "blocked" and not report.violations and report.unjudged > 20
    assert report.invariants[0].status == report.invariants[1].status == "passed"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_inside_a_callback_of_garbage_collection_comes_after_it(interruptible):
    """Python prints what such a callback raises and goes on; Hypothesis has one of this name."""
    reached = []

    def gc_callback():
        signal.raise_signal(signal.SIGINT)
        reached.append("after")

    @mask_rule(scope="global", keeps="largest")
    def collects(scores, sparsity, *, within=None, generator=None):
        gc_callback()
        time.sleep(5)
        reached.append("too late")

    with pytest.raises(KeyboardInterrupt) as caught:
        check(collects, budget="quick")
    assert reached == ["after"] and not caught.value.report.violations
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("target", [lambda scores, *_, **__: {}, functools.partial(lambda scores, *_, **__: {})])
def test_a_target_without_a_name_is_replayed_as_target(target):
    rule = mask_rule(scope="global", keeps="largest")(target)
    assert row(check(rule, only="mask-names"), "mask-names").replay.startswith("check(target, only='mask-names', case=")


@pytest.mark.parametrize("name", ["a_rule", "z_rule"])
def test_a_function_is_replayed_under_its_name(name):
    def rule(scores, sparsity, *, within=None, generator=None):
        return {}

    rule.__qualname__ = rule.__name__ = name
    found = row(check(mask_rule(scope="other", keeps="other")(rule), only="mask-names"), "mask-names").replay
    assert found.startswith(f"check({name}, only='mask-names', case=")


def test_a_handler_of_the_users_own_and_other_threads_are_left_alone(interruptible):
    def mine(number, frame):
        raise AssertionError

    def names():
        return check(global_magnitude, budget="quick", only="mask-names").ok

    signal.signal(signal.SIGINT, mine)
    assert names() and signal.getsignal(signal.SIGINT) is mine
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(names).result()


def test_expected_failures():
    reasons = {"mask-exact-count-global": "one too many, known", "mask-sparsity-zero": "the same"}
    report = check(keeps_strictly_above, budget="quick", expected_failures=reasons)
    assert report.ok and report.counts["expected"] == 2 and report.counts["violated"] == 0
    assert row(report, "mask-sparsity-zero").note == "the same" and row(report, "mask-sparsity-zero").got
    report = check(global_magnitude, budget="quick", expected_failures=reasons, only=list(reasons))
    assert not report.ok and report.counts["unexpected-pass"] == 2
    jsonschema.validate(report.to_dict(), SCHEMA)


def test_an_inconstant_target_gets_a_verdict():
    report = check(redraws_on_resume, budget="quick")
    assert row(report, "mask-deterministic").status == "violated" and report.counts["error"] == 0


def test_check_is_deterministic_and_leaves_global_generators_alone():
    def outcome(seed):
        ids = ("mask-scale", "mask-leaves-global-state", "mask-random-is-random")
        report = check(squares_in_float32, budget="quick", seed=seed, only=ids)
        return [(r.id, r.status, r.cases, r.case) for r in report.invariants]

    before = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    first = outcome(5)
    assert torch.equal(before[0], torch.get_rng_state()) and random.getstate() == before[2]
    assert np.array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
    assert outcome(5) == first != outcome(6)


def test_check_works_inside_a_hypothesis_test():
    @hypothesis.settings(max_examples=2, deadline=None, database=None)
    @hypothesis.given(hypothesis.strategies.integers(0, 9))
    def inner(seed):
        assert check(global_magnitude, budget="quick", seed=seed, only="mask-exact-count-global").ok
        assert check(keeps_strictly_above, budget="quick", seed=seed, only="mask-exact-count-global").violations

    inner()


def test_decorators_attach_a_frozen_declaration_and_nothing_else():
    assert global_random({"a": torch.ones(4)}, 0.5, generator=torch.Generator())["a"].sum() == 2
    assert copy.copy(global_random) is global_random and global_random.__name__ == "global_random"
    claims = claims_of(global_random)
    assert (claims.kind, claims.scope, claims.keeps) == ("mask-rule", "global", "random")
    with pytest.raises(AttributeError):
        claims.scope = "layer"


@pytest.mark.parametrize(
    ("declare", "words"),
    [
        (lambda: mask_rule(scope="net", keeps="largest"), "scope='net'"),
        (lambda: mask_rule(scope="global", keeps="big"), "keeps='big'"),
        (lambda: penalty_schedule(ceiling=float("nan"), steps=3), "ceiling=nan"),
        (lambda: penalty_schedule(ceiling=-1.0, steps=3), "ceiling=-1.0"),
        (lambda: penalty_schedule(ceiling=1.0, steps=0), "steps=0"),
        (lambda: penalty_schedule(ceiling=1.0, steps=2.5), "steps=2.5"),
        (lambda: penalty_schedule(ceiling=1.0, steps=10**30), "at most 10"),
        (lambda: penalty_schedule(ceiling=10**400, steps=3), "ceiling=1000"),
        (lambda: ticket_finder(keeps="best"), "keeps='best'"),
        (lambda: ticket_finder(handles={"quantum"}), "handles='quantum'"),
        (lambda: ticket_finder(stops_early=0), "stops_early=0"),
        (lambda: mask_rule(scope="global", keeps="largest")(3), "cannot be called"),
        (lambda: mask_rule(scope="global", keeps="largest")(len), "takes no declaration"),
    ],
)
def test_an_impossible_declaration_is_one_sentence(declare, words):
    with pytest.raises(UserError, match=words.replace("[", r"\[")):
        declare()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"budget": "huge"}, "budget='huge'"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": True}, "seed=True"),
        ({"only": "mask-ordr"}, "mask-order"),
        ({"case": {}}, "only"),
        ({"only": "mask-order", "case": "{"}, "no JSON object"),
        ({"only": "mask-order", "case": '{"seed": 1, "scores": {"a": [1, 2], "a": [1]}}'}, "it has 'a' twice"),
        ({"only": "mask-order", "case": '{"sparsity": 0.5, "seed": 1, "seed": 2}'}, "it has 'seed' twice"),
        ({"only": "mask-order", "case": [1]}, "JSON object"),
        ({"only": "mask-order", "case": {"shapes": 3}}, "cannot be read"),
        ({"only": "mask-order", "case": {"scores": {"a": [1]}, "dtype": "int8"}}, "int8"),
        (
            {"only": "mask-within", "case": {"scores": {"a": [1, 2]}, "sparsity": 0.5, "within": {"a": [1]}}},
            "within does not fit",
        ),
        ({"only": "mask-scale", "case": {"scores": {"a": [1, 2]}, "sparsity": 0.5}}, "none of mask-scale"),
        ({"expected_failures": {"mask-ordr": "x"}}, "mask-order"),
        ({"expected_failures": {"mask-order": " "}}, "needs a reason"),
        ({"expected_failures": {"mask-order": None}}, "needs a reason"),
        ({"expected_failures": ["mask-order"]}, r"expected_failures=\['mask-order'\] must be a dict"),
        ({"expected_failures": "mask-order:x"}, "expected_failures='mask-order:x' must be a dict"),
        ({"expected_failures": {5: "x"}}, "expected failure '5' is no"),
        ({"only": []}, r"only=\[\] names no invariant"),
        ({"only": ()}, r"only=\(\) names no invariant"),
        ({"only": 5}, "only=5 must be an id"),
        ({"only": [5]}, r"only=\[5\] must be an id"),
        ({"only": "mask-order", "case": []}, "is no JSON object"),
        ({"only": "mask-order", "case": 5}, "is no JSON object"),
    ],
)
def test_an_argument_that_cannot_be_used_is_one_sentence(arguments, words):
    with pytest.raises(UserError, match=words):
        check(global_magnitude, **arguments)


def test_only_takes_several():
    report = check(global_magnitude, only=["mask-order", "mask-names"], budget="quick")
    assert [r.id for r in report.invariants] == ["mask-order", "mask-names"]
    twice = check(global_magnitude, only=["mask-names", "mask-names"], budget="quick")
    assert [r.id for r in twice.invariants] == ["mask-names"]


def test_text_forms():
    announced = row(
        check(keeps_strictly_above, expected_failures={"mask-sparsity-zero": "known"}, only="mask-sparsity-zero"),
        "mask-sparsity-zero",
    )
    report = quick(keeps_strictly_above)
    report = dataclasses.replace(
        report, invariants=tuple(announced if each.id == announced.id else each for each in report.invariants)
    )
    assert "NOT ok" in str(report) and "unilth check" in str(report)
    table = report.to_markdown()
    assert table.count("| mask-") == len(catalogue("mask-rule")) and "expected (known)" in table
