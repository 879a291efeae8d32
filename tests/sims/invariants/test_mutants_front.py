"""The kit's front (claims, addresses, reports): what mutation testing found untested."""

from __future__ import annotations

import io
import itertools
import sys
import time
from importlib.machinery import ModuleSpec
from types import ModuleType

import hypothesis
import pytest
from rich.console import Console

from unilth.errors import UserError
from unilth.sims.invariants import (
    check,
    mask_rule,
    parametrize_with_invariants,
    penalty_schedule,
    search,
    ticket_finder,
)
from unilth.sims.invariants.catalogue import find_invariant
from unilth.sims.invariants.declarations import PenaltySchedule, TicketFinder, claims_of
from unilth.sims.invariants.invariant import Plan, Subject
from unilth.sims.invariants.ours import global_magnitude
from unilth.sims.invariants.report import INTERRUPTED, Report, Row, show
from unilth.sims.invariants.targets import _address, _finds, load


def nothing_claimed(network, data, sparsity, *, seed):
    """A finder that is never called."""


def test_nothing_is_claimed_unless_it_is_said():
    for claims in (TicketFinder(), claims_of(ticket_finder()(nothing_claimed))):
        assert not (claims.rewinds or claims.nested or claims.no_empty_layer or claims.handles)
        assert claims.stops_early is None and claims.penalty is None and claims.keeps == claims.scope == "other"


def test_the_least_that_can_be_claimed():
    assert PenaltySchedule(ceiling=0, steps=1).steps == 1
    assert TicketFinder(stops_early=1).stops_early == 1
    for ceiling in ("1", True, None):
        with pytest.raises(UserError, match="ceiling"):
            penalty_schedule(ceiling=ceiling, steps=3)


def test_a_test_takes_two_arguments():
    decorate = parametrize_with_invariants([global_magnitude])
    for test in (lambda target: None, lambda target, invariant, more: None):
        with pytest.raises(UserError, match="two arguments"):
            decorate(test)


def placed(monkeypatch, tmp_path, name, *, spec=True, file="there.py"):
    """A module of that name with a decorated function in it, and the file that it says it comes from."""
    module = ModuleType(name)
    module.__file__ = None if file is None else str(tmp_path / file)
    if file is not None:
        (tmp_path / file).write_text("")
    module.__spec__ = ModuleSpec(name, None, origin=module.__file__) if spec else None

    def rule(scores, sparsity, *, within=None, generator=None): ...

    rule.__module__, rule.__qualname__ = name, "rule"
    module.rule = mask_rule(scope="global", keeps="largest")(rule)
    monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.chdir(tmp_path)
    return module.rule


@pytest.mark.parametrize(
    ("name", "options", "address"),
    [
        ("there", {}, "there:rule"),
        ("there", {"spec": False}, "there.py:rule"),
        ("invented.by_pytest", {}, "there.py:rule"),
        ("json", {}, "there.py:rule"),  # another module has that name
        ("_unilth_target_there", {}, "there.py:rule"),
        ("there", {"file": None, "spec": False}, None),
        ("there", {"file": "there.ipynb", "spec": False}, None),
    ],
)
def test_where_an_object_can_be_loaded_again(monkeypatch, tmp_path, name, options, address):
    rule = placed(monkeypatch, tmp_path, name, **options)
    assert _address(rule) == address
    if options.get("file", "") == "there.py":
        (tmp_path / "there.py").unlink()
        assert _address(rule) is None


def test_a_folder_that_only_this_run_has_on_its_path_is_no_help(monkeypatch, tmp_path):
    """As in pytest, which puts the folder of a test file on the import path."""
    (tmp_path / "tests").mkdir()
    rule = placed(monkeypatch, tmp_path, "test_mine", file="tests/test_mine.py")
    monkeypatch.syspath_prepend(tmp_path / "tests")
    before = sys.path[:]
    assert _address(rule) == "tests/test_mine.py:rule" and sys.path == before
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "tests"))
    assert _address(rule) == "test_mine:rule"


def test_a_script_is_named_by_its_file(monkeypatch, tmp_path):
    assert _address(placed(monkeypatch, tmp_path, "__main__")) == "there.py:rule"


def test_a_module_is_found_where_its_file_is(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("")
    monkeypatch.chdir(tmp_path)
    assert _finds("mine", str(tmp_path / "mine.py")) and _finds("mine", None)
    for other in ("elsewhere", "zzz"):
        assert not _finds("mine", str(tmp_path / other / "mine.py"))
    (tmp_path / "several").mkdir()
    assert _finds("several", str(tmp_path / "mine.py")), "a folder of modules has no file of its own"


def test_a_name_that_is_not_there_is_answered_with_the_nearest(tmp_path):
    declared = (
        '@mask_rule(scope="global", keeps="largest")\ndef {}(scores, sparsity, *, within=None, generator=None): ...\n'
    )
    text = "from unilth.sims.invariants import mask_rule\n" + declared.format("alpha") + declared.format("threshold")
    (tmp_path / "two.py").write_text(text)
    with pytest.raises(UserError, match=r"it declares threshold$"):
        load(f"{tmp_path / 'two.py'}:treshold")
    with pytest.raises(UserError, match=r"it declares alpha, threshold$"):
        load(f"{tmp_path / 'two.py'}:zzz")


def report(**row) -> Report:
    filled = {"id": "mask-order", "statement": "Said.", "status": "violated", "cases": 1, "seconds": 0.0, "got": "this"}
    return Report("t", "mask-rule", "quick", 0, (Row(**filled | {"expected": "that", "replay": "replay me"} | row),))


def test_the_appendix_has_the_violations_and_only_expected_rows_have_their_reason():
    assert "**mask-order**: got this; expected that." in report().to_markdown()
    assert "    replay me\n" in report().to_markdown()
    assert "expected (by design) |" in report(status="expected", note="by design").to_markdown()
    assert r"expected (a \| b) |" in report(status="expected", note="a | b").to_markdown()
    for status in ("not-applicable", "passed", "violated", "blocked", "error", "unexpected-pass"):
        assert "by design" not in report(status=status, note="by design").to_markdown()


def test_what_is_blocked_is_counted_apart_from_what_an_interruption_left():
    rows = [Row("a", "Said.", "blocked", 0, 0.0, note=note) for note in ("needs b", INTERRUPTED, INTERRUPTED)]
    console = Console(file=io.StringIO(), width=200)
    show(Report("t", "mask-rule", "quick", 0, tuple(rows)), console)
    shown = console.file.getvalue()
    assert "interrupted: 2 of 3 were not judged" in shown and "1 blocked: not judged" in shown and "NOT ok" in shown


def test_the_table_has_its_columns_and_long_lines_stay_whole():
    console = Console(file=io.StringIO(), width=60)
    show(report(got="g " * 60, replay="r " * 60), console)
    shown = console.file.getvalue()
    assert all(word in shown for word in ("invariant", "status", "cases", "statement"))
    assert "g " * 60 in shown and "r " * 60 in shown, "a line to paste is one line"


def test_a_number_that_json_does_not_know_is_an_error():
    with pytest.raises(ValueError, match="JSON"):
        report(case={"value": float("nan")}).to_json()


@mask_rule(scope="layer", keeps="largest")
def prunes_nothing(scores, sparsity, *, within=None, generator=None):
    return {name: score == score for name, score in scores.items()}


def test_every_case_tried_is_counted_and_none_after_the_time_is_up(monkeypatch):
    tried = []

    def counted(scores, sparsity, *, within=None, generator=None):
        tried.append(1)
        return prunes_nothing(scores, sparsity)

    invariant, claims = find_invariant("mask-exact-count-layer", "mask-rule", "only"), claims_of(prunes_nothing)
    case, count = search.smallest(invariant, Subject(counted, claims, Plan("quick")))
    assert case is not None and count == len(tried) > 1
    clock = itertools.count(step=0.4)  # the third look at the clock is past the second that quick has
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    tried.clear()
    _, count = search.smallest(invariant, Subject(counted, claims, Plan("quick")))
    assert count == len(tried) == 2


def test_what_cannot_be_searched_was_not_tried():
    invariant = find_invariant("finder-deterministic", "ticket-finder", "only")
    assert search.smallest(invariant, Subject(nothing_claimed, TicketFinder(), Plan("quick"))) == (None, 0)

    @hypothesis.settings(max_examples=1, database=None)
    @hypothesis.given(hypothesis.strategies.just(find_invariant("mask-exact-count-layer", "mask-rule", "only")))
    def inside_another_search(invariant):
        subject = Subject(prunes_nothing, claims_of(prunes_nothing), Plan("quick"))
        assert search.smallest(invariant, subject) == (None, 0)

    inside_another_search()


def test_a_right_rule_for_which_there_was_no_time_is_not_accused(monkeypatch):
    monkeypatch.setattr(search, "PATIENCE_SECONDS", {"quick": -1.0})
    invariant = find_invariant("mask-exact-count-global", "mask-rule", "only")
    (row,) = check(global_magnitude, budget="quick", only=invariant.id).invariants
    listed = list(invariant.cases(claims_of(global_magnitude), Plan("quick")))
    assert (row.status, row.cases) == ("passed", len(listed))


def test_the_whole_check_says_the_same_case_again():
    first, again = (check(prunes_nothing, only="mask-exact-count-layer").violations[0] for _ in range(2))
    assert first.case == again.case and first.cases == again.cases


def test_a_running_state_is_noticed_though_it_stands_at_the_ceiling_by_then():
    lam = 0.0

    @penalty_schedule(ceiling=1.0, steps=1000)
    def runs(step):
        nonlocal lam
        lam = min(1.0, lam + 1e-3)
        return lam

    (found,) = check(runs, budget="quick").violations
    assert found.id == "schedule-pure" and found.got == "0.001 and later 1.0 at step 0"


def test_a_layer_that_was_emptied_stays_empty():
    @mask_rule(scope="global", keeps="largest")
    def keeps_one(scores, sparsity, *, within=None, generator=None):
        masks = global_magnitude(scores, sparsity, within=within)
        for name, mask in masks.items():
            if within is not None and not within[name].any():
                mask.view(-1)[scores[name].argmax()] = True
        return masks

    (found,) = check(keeps_one, budget="quick").violations
    assert found.id == "mask-within" and found.got == "1 weights of 'a' revived"
