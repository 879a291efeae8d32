"""``unilth reproduce``: exit codes, skipping, stale runs set aside; the whole of it in the slow test."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unilth import cli
from unilth.commands import reproduce
from unilth.paper_figures.stages import Outcome, Stage

RESULTS = Path(__file__).parents[2] / "results" / "endpoints"


def stub(problems: dict[str, str], calls: list[str]) -> object:
    """Work whose stages only write a file each."""

    def stages(self: reproduce.Work) -> tuple[tuple[Stage, ...], ...]:
        def stage(name: str) -> Stage:
            def run() -> Outcome:
                calls.append(name)
                (self.out / f"{name}.txt").write_text(name)
                return Outcome(f"did {name}", problems.get(name, ""))

            return Stage(name, lambda: self.campaign, run, lambda: [self.out / f"{name}.txt"])

        return (stage("prove"), stage("check")), (stage("report"),)

    return stages


@pytest.mark.parametrize(("problems", "code"), [({}, 0), ({"prove": "T1.4 fails"}, 1), ({"report": "disk"}, 1)])
def test_exit_codes_and_that_a_second_run_skips(
    problems: dict[str, str],
    code: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    calls: list[str] = []
    monkeypatch.setattr(reproduce.Work, "stages", stub(problems, calls))
    out = str(tmp_path / "new" / "out")
    assert cli.main(["reproduce", "--out", out]) == code
    assert sorted(calls[:2]) == ["check", "prove"] and calls[2:] == ["report"]  # the report is written whatever fails
    text = capsys.readouterr().out
    assert all(problem in text for problem in problems.values())
    calls.clear()
    assert cli.main(["reproduce", "--out", out]) == code
    assert calls == list(problems)  # what failed is tried again, the rest is skipped
    assert "skipped, nothing changed" in capsys.readouterr().out


def test_bad_input_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "file" / "below")
    for argv, says in (
        (["--out", str(tmp_path / "file")], "is not a folder"),
        (["--out", str(tmp_path / "file" / "below")], "below"),
        (["--out", "/proc/out"], "/proc/out"),
        (["--out", "/proc/self"], "cannot be written"),
        (["--workers", "0"], "--workers is 0"),
    ):
        assert cli.main(["reproduce", *argv]) == 2, argv
        error = capsys.readouterr().err
        assert says in error and error.count("\n") == 1, error


def test_two_reproductions_do_not_share_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unilth.sims.lock import locked

    monkeypatch.setattr(reproduce.Work, "stages", stub({}, []))
    with locked(tmp_path, name="the output folder"):
        assert cli.main(["reproduce", "--out", str(tmp_path)]) == 2
    assert "in use" in capsys.readouterr().err


def test_quick_and_full_runs_have_folders_of_their_own(tmp_path: Path) -> None:
    full, quick = (reproduce.Work(tmp_path, name, 1) for name in ("digits", "digits-quick"))
    assert full.runs == tmp_path / "runs" and quick.runs == tmp_path / "runs-quick"
    assert full.training() != quick.training() and full.theory() == quick.theory()
    assert full.records == tmp_path / "endpoints" and quick.records == tmp_path / "endpoints-quick"
    assert full.measuring() != quick.measuring() and full.measured() != quick.measured()


def test_end_points_are_measured_recorded_and_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unilth.sims.endpoints import run
    from unilth.sims.endpoints.records import read

    (record,) = (one for one in read(RESULTS) if one["plan"]["network"] == "lenet-300-100")

    def fake(plan: object, data_dir: object, tell: object, workers: int, keep: Path) -> dict[str, object]:
        keep.mkdir()
        return record

    monkeypatch.setattr(run, "study", fake)
    work = reproduce.Work(tmp_path, "digits", 1)
    outcome = work.endpoints()
    assert outcome.problem == "" and "confirmed" in outcome.what
    assert [path.name for path in tmp_path.iterdir()] == ["endpoints"] and work.measured()[0].is_file()
    record["ladder"][1]["rows"][0]["start"]["error"] = 1e-3
    assert "regression on diabetes" in work.endpoints().problem


def test_runs_that_other_code_made_are_set_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unilth.sims import sweep

    asked: list[Path] = []

    def fake(campaign: object, out: Path, **rest: object) -> sweep.Summary:
        asked.append(out)
        (out / "a-run").mkdir(exist_ok=True)
        return sweep.Summary(1, 0, 1, (), (), 0.0, 1)

    monkeypatch.setattr(sweep, "sweep", fake)
    work = reproduce.Work(tmp_path, "digits", 1)
    assert work.sweep().problem == ""
    assert work.sweep().problem == "" and not (tmp_path / "runs-before-1").exists()  # the same code: kept
    monkeypatch.setattr(reproduce.Work, "code", lambda self: "other")
    assert work.sweep().problem == ""
    assert (tmp_path / "runs-before-1" / "a-run").is_dir() and len(asked) == 3


def test_a_failed_run_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from unilth.sims import sweep

    summary = sweep.Summary(2, 0, 1, (("lth-seed3", "diverged"),), (), 0.0, 1)
    monkeypatch.setattr(sweep, "sweep", lambda campaign, out, **rest: summary)
    assert "lth-seed3" in reproduce.Work(tmp_path, "digits", 1).sweep().problem


def test_a_target_or_twin_that_is_not_as_it_should_be_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "schema": 1,
        "ok": False,
        "targets": [{"target": "m:good", "ok": True}, {"target": "m:bad", "ok": False}],
        "kill_matrix": {"killed": {"twin": []}, "declared": {"twin": ["mask-order"]}},
    }
    monkeypatch.setattr(reproduce.Work, "selfchecked", lambda self: found)
    outcome = reproduce.Work(tmp_path, "digits", 1).check()
    assert "m:bad, twin" in outcome.problem and "m:good" not in outcome.problem
    assert json.loads((tmp_path / "invariants.json").read_text()) == found


@pytest.mark.slow
def test_the_quick_reproduction_end_to_end(tmp_path: Path) -> None:
    out = tmp_path / "out"
    argv = [sys.executable, "-m", "unilth", "reproduce", "--quick", "--out", str(out), "--workers", "2"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    names = {
        "ledger.json",
        "invariants.json",
        "manifest.json",
        "report.html",
        "report.md",
        "figures",
        "runs-quick",
        "endpoints-quick",
    }
    assert names <= {path.name for path in out.iterdir()}
    changing = ("manifest.json", ".lock")  # times; the pid of the process that has the folder
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name not in changing}
    began = time.monotonic()
    again = subprocess.run(argv, capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert again.returncode == 0 and again.stdout.count("skipped, nothing changed") == 6
    assert time.monotonic() - began < 30
    assert all(path.read_bytes() == content for path, content in before.items())
    (out / "figures" / "risk.csv").write_text("tampered")
    third = subprocess.run(argv, capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert third.returncode == 0 and (out / "figures" / "risk.csv").read_bytes() == before[out / "figures" / "risk.csv"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]  # nothing is left in the working directory
