"""Targets, cases and files that would end the check, hide what it found, or judge something else than was asked."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import sys
from types import SimpleNamespace

import pytest
import torch

from unilth.errors import UserError
from unilth.sims import masks
from unilth.sims.invariants import check, mask_rule, parametrize_with_invariants, penalty_schedule, ticket_finder
from unilth.sims.invariants.invariant import Invariant, NotJudged, Plan, fail
from unilth.sims.invariants.ours import global_magnitude
from unilth.sims.invariants.runner import Session
from unilth.sims.invariants.saved import SAVED, SavedTicket
from unilth.sims.tickets import Ticket

CASE = {"scores": {"a": [1, 2, 3, 4]}, "sparsity": 0.5}
RULE = """
import os
from unilth.sims.invariants import mask_rule
from unilth.sims.invariants.ours import global_magnitude

@mask_rule(scope="global", keeps="largest")
def rule(scores, sparsity, *, within=None, generator=None):
    {line}
    return global_magnitude(scores, sparsity, within=within)
"""


@mask_rule(scope="global", keeps="largest")
def leaves(scores, sparsity, *, within=None, generator=None):
    sys.exit(0)


def test_a_target_that_leaves_python_is_violated():
    report = check(leaves, budget="quick", only=["mask-names", "mask-rejects-nan"])
    assert not report.ok and [row.status for row in report.invariants] == ["violated", "violated"]
    assert "SystemExit" in report.invariants[0].got


class Own(BaseException):
    """As a library's own that must not be caught by mistake."""


class Wordless(Exception):
    """One whose text cannot be had."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


RAISES = {
    "pytest.fail": (lambda: pytest.fail("no good"), "raised Failed: no good"),
    "pytest.skip": (lambda: pytest.skip("not here"), "raised Skipped: not here"),
    "a cancelled task": (asyncio.CancelledError, "raised CancelledError: CancelledError"),
    "a BaseException": (lambda: Own("mine"), "raised Own: mine"),
    "an exception without a text": (Wordless, "raised Wordless: Wordless"),
}


@pytest.mark.parametrize("name", RAISES)
def test_whatever_a_target_raises_is_its_answer(name):
    make, got = RAISES[name]

    @mask_rule(scope="global", keeps="largest")
    def raises(scores, sparsity, *, within=None, generator=None):
        raise make()

    report = check(raises, budget="quick", only=["mask-names", "mask-rejects-nan", "mask-within"])
    rows = {row.id: row for row in report.invariants}
    assert rows["mask-names"].status == rows["mask-rejects-nan"].status == "violated"
    assert rows["mask-names"].got == rows["mask-rejects-nan"].got == got and rows["mask-within"].status == "blocked"
    full = {"scores": {"a": [1, 2]}, "sparsity": 0.0, "within": {"a": [0, 1]}}
    assert check(raises, only="mask-within", case=full).invariants[0].got == got


def raises_late(*args, **kwargs):
    raise Own("looked at")


def test_whose_code_raised_is_told_by_the_module_it_is_of():
    for name, status in (("zebra", "violated"), ("a_module", "violated"), ("torch.late", "error")):
        late = {"__name__": name}
        exec("def raises(self): raise ZeroDivisionError('late')", late)
        number = type("Late", (), {"__float__": late["raises"]})()
        row = check(penalty_schedule(ceiling=1.0, steps=10)(lambda step, number=number: number), budget="quick")
        assert row.invariants[0].status == status, name


def an_answer(**methods):
    """What raises as late as when it is looked at."""
    return type("Late", (), methods)()


@pytest.mark.parametrize("method", ["__float__", "__getattr__"])
def test_a_number_that_raises_when_it_is_read_is_a_violation(method):
    @penalty_schedule(ceiling=1.0, steps=10)
    def late(step):
        return an_answer(**{method: raises_late})

    report = check(late, budget="quick")
    found = report.invariants[0]
    assert (found.id, found.status) == ("schedule-number", "violated") and not report.counts["error"]
    if method == "__float__":
        assert found.got == "an answer that raised Own: looked at when it is read"
        (again,) = check(late, only="schedule-number", case=found.case).invariants
        assert (again.status, again.got) == (found.status, found.got)


class LateMasks(dict):
    __iter__ = raises_late


class LateShape(torch.Tensor):
    @property
    def shape(self):
        raise Own("looked at")


@pytest.mark.parametrize(
    ("answer", "id"),
    [
        (lambda masks: LateMasks(masks), "mask-names"),
        (lambda masks: {name: mask.as_subclass(LateShape) for name, mask in masks.items()}, "mask-shapes"),
    ],
)
def test_masks_that_raise_when_they_are_read_are_violations(answer, id):
    @mask_rule(scope="global", keeps="largest")
    def late(scores, sparsity, *, within=None, generator=None):
        return answer(global_magnitude(scores, sparsity, within=within))

    report = check(late, budget="quick")
    found = next(row for row in report.invariants if row.id == id)
    assert found.status == "violated" and "raised Own: looked at" in found.got and not report.counts["error"]


@pytest.mark.parametrize("ends", [KeyboardInterrupt, GeneratorExit])
def test_ctrl_c_is_not_the_targets_answer(ends):
    @penalty_schedule(ceiling=1.0, steps=10)
    def stopped(step):
        raise ends

    with pytest.raises(ends):
        check(stopped, budget="quick")


def test_a_blocked_row_never_stands_alone():
    @mask_rule(scope="global", keeps="largest")
    def unnamed(scores, sparsity, *, within=None, generator=None):
        return {f"{name}_": kept for name, kept in global_magnitude(scores, sparsity).items()}

    report = check(unnamed, budget="quick", only="mask-order")
    assert {row.id: row.status for row in report.invariants} == {"mask-order": "blocked", "mask-names": "violated"}
    assert not report.ok and sum(report.counts.values()) == 2
    alone = check(unnamed, budget="quick", only="mask-names")
    assert [row.id for row in alone.invariants] == ["mask-names"]


@pytest.mark.parametrize(
    "case",
    [
        '{"scores": {"a": [NaN, 1]}, "sparsity": 0.5}', '{"scores": {"a": [1e999, 1]}, "sparsity": 0.5}',
        '{"scores": {"a": [1, 2]}, "sparsity": -Infinity}', "[" * 100_000, "[1]", "7",
        {"scores": {"a": [float("nan")]}, "sparsity": 0.5}, {"scores": torch.ones(2), "sparsity": 0.5},
    ],
    ids=lambda case: str(case)[:40],
)  # fmt: skip
def test_a_case_that_is_no_plain_json_is_refused(case):
    with pytest.raises(UserError, match=r"case .* is no JSON object"):
        check(global_magnitude, only="mask-order", case=case)


def test_a_file_that_was_edited_is_judged_anew(tmp_path):
    path = tmp_path / "mine.py"
    for line, ok in (("pass", True), ("sparsity = 0.0", False), ("pass", True)):
        path.write_text(RULE.format(line=line))
        assert check(f"{path}:rule", only="mask-exact-count-global", case=CASE).ok == ok


def test_a_right_case_is_not_blamed_for_a_wrong_answer():
    @ticket_finder()
    def finder(network, data, sparsity, *, seed):
        mask = masks.global_magnitude({n: p.detach().abs() for n, p in masks.prunable(network).items()}, sparsity)
        return SimpleNamespace(mask=mask, initial=network.state_dict())

    right = {"problem": "mlp", "sparsity": 0.73, "seed": 0}
    report = check(finder, only="finder-zero-in-result", case=right)
    assert {row.id: row.status for row in report.invariants} == {
        "finder-zero-in-result": "blocked", "finder-form": "violated",
    }  # fmt: skip
    assert ".weights" in report.invariants[1].got and not report.ok
    with pytest.raises(UserError, match="is none of finder-zero-in-result"):
        check(finder, only="finder-zero-in-result", case={"problem": "mlp"})


def front(argv):
    from unilth.commands.check import main

    return main(argv)


def test_a_target_that_changes_the_folder_moves_no_report(tmp_path, monkeypatch, capsys):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "mine.py").write_text(RULE.format(line=f"os.chdir({str(tmp_path / 'elsewhere')!r})"))
    monkeypatch.chdir(tmp_path)
    assert front(["mine.py:rule", "--only", "mask-order", "--case", json.dumps(CASE), "--json", "r.json"]) == 0
    assert json.loads((tmp_path / "r.json").read_text())["ok"] and os.listdir(tmp_path / "elsewhere") == []


def test_one_file_cannot_hold_two_reports(tmp_path):
    with pytest.raises(UserError, match="both name"):
        front(["x:y", "--json", str(tmp_path / "r"), "--markdown", str(tmp_path / "." / "r")])


def test_nothing_to_check_is_no_success():
    with pytest.raises(UserError, match="nothing would be checked"):
        parametrize_with_invariants([])


def test_what_was_not_judged_is_said(capsys):
    assert front(["unilth.sims.invariants.ours:global_magnitude", "--budget", "quick"]) == 0
    assert "not judged" not in capsys.readouterr().out
    arguments = ["tests.sims.invariants.test_hostile_targets:leaves", "--budget", "quick"]
    assert front([*arguments, "--expect-fail", "mask-names:it leaves"]) == 1
    assert "blocked: not judged, as what they need does not hold" in capsys.readouterr().out


def ticket(tmp_path, recipe="omp", **tensors) -> SavedTicket:
    values = torch.arange(1.0, 5.0)
    mask = {"a.weight": torch.tensor([True, True, False, False])}
    path = Ticket(mask, {"a.weight": values * mask["a.weight"]}, {"a.weight": values}, 0.5, recipe, "tiny").save(
        tmp_path
    )
    target = Session(str(path), Plan()).loaded.claims
    return dataclasses.replace(target, tensors={**target.tensors, **tensors})


def judged(saved: SavedTicket, id: str) -> str | None:
    session = Session.__new__(Session)
    session.__dict__.update(search=False, kind=saved.kind, expected={}, rows={})
    session.loaded = SimpleNamespace(claims=saved, address="t", name="t", folder=None)
    session.subject = SimpleNamespace(claims=saved, plan=Plan())
    row = session.row(next(row for row in SAVED if row.id == id))
    return row.got if row.status == "violated" else row.status


def test_a_dense_ticket_that_is_pruned_is_violated(tmp_path):
    assert judged(ticket(tmp_path / "a"), "ticket-sparsity") == "passed"
    assert judged(ticket(tmp_path / "b", "dense"), "ticket-sparsity") == "2 of 4 pruned"


@pytest.mark.parametrize(
    "dtype", [torch.complex64, torch.float8_e5m2, torch.float8_e4m3fn, torch.float16, torch.float64]
)
def test_every_dtype_is_judged_for_finiteness(dtype, tmp_path):
    good, bad = (torch.tensor([1.0, last]).to(dtype) for last in (2.0, float("nan")))
    for value, found in ((good, "passed"), (bad, "NaN or infinity in 'weights/b'")):
        both = {"weights/b": value, "initial/b": good}
        assert judged(ticket(tmp_path / f"{found[:3]}", **both), "ticket-finite") == found


def test_a_case_of_another_ticket_is_refused(tmp_path):
    path = tmp_path / "t" / "ticket.safetensors"
    ticket(tmp_path / "t")
    assert check(str(path), only="ticket-zeros", case={"file": path.name}).ok
    with pytest.raises(UserError, match=r"none of ticket-zeros \(the file is ticket\.safetensors\)"):
        check(str(path), only="ticket-zeros", case={"file": "other"})


def counted(*answers) -> tuple[str, int]:
    """Status and cases of a row whose cases answer so: True (holds), False (violated), None (not judged)."""
    session = Session(global_magnitude, Plan("quick"), search=False)

    def judge(subject, case):
        if case["answer"] is None:
            raise NotJudged("nothing was seen")
        if not case["answer"]:
            fail(got="this", expected="that")

    row = session.row(
        Invariant("x", "mask-rule", "s", "w", judge, lambda claims, plan: [{"answer": a} for a in answers])
    )
    assert 0 <= row.seconds < 5
    return row.status, row.cases


def test_cases_are_counted_up_to_the_first_violation():
    assert counted(True, True, True) == ("passed", 3) and counted(True, False, True) == ("violated", 2)
    assert counted(None, None) == ("not-applicable", 0) and counted(None, True) == ("passed", 1)
    assert counted(True, None, False) == ("violated", 2) and counted(False) == ("violated", 1)
    (row,) = check(global_magnitude, only="mask-order", case=CASE).invariants
    assert (row.status, row.cases) == ("passed", 1)
