"""Stages: skipped where nothing changed, run again where anything did, and a failure never stops the report."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from unilth.errors import UserError
from unilth.paper_figures import manifest
from unilth.paper_figures.stages import Outcome, Stage, run_stages


class Lab:
    """Two stages over a folder: the second depends on what the first wrote."""

    def __init__(self, out: Path) -> None:
        self.out, self.source, self.calls, self.fault = out, "a", [], None

    def first(self) -> Outcome:
        self.calls.append("first")
        if self.fault:
            raise self.fault
        (self.out / "one.txt").write_text(self.source)
        return Outcome("wrote one.txt")

    def second(self) -> Outcome:
        self.calls.append("second")
        (self.out / "two.txt").write_text("2")
        return Outcome("wrote two.txt")

    def run(self) -> tuple[bool, list[str]]:
        self.calls.clear()
        one, two = self.out / "one.txt", self.out / "two.txt"
        stages = (
            [Stage("first", lambda: self.source, self.first, lambda: [one])],
            [Stage("second", lambda: one.read_text() if one.exists() else "", self.second, lambda: [two])],
        )
        good = run_stages(self.out, stages, {"command": "test"}, lambda stage, event, entry: None)
        return good, list(self.calls)


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    return Lab(tmp_path)


def test_finished_stages_are_skipped(lab: Lab) -> None:
    assert lab.run() == (True, ["first", "second"])
    kept = manifest.read(lab.out)["stages"]
    assert lab.run() == (True, [])
    assert manifest.read(lab.out)["stages"] == kept  # when and how long stay those of the work


def test_a_changed_input_runs_the_stage_and_what_depends_on_it(lab: Lab) -> None:
    lab.run()
    lab.source = "b"
    assert lab.run() == (True, ["first", "second"])


def test_a_changed_or_lost_output_is_made_again(lab: Lab) -> None:
    lab.run()
    (lab.out / "two.txt").write_text("tampered")
    assert lab.run() == (True, ["second"])
    (lab.out / "two.txt").unlink()
    assert lab.run() == (True, ["second"])


def test_a_stage_that_is_not_complete_is_run_again(tmp_path: Path) -> None:
    calls = []
    stage = Stage("sweep", lambda: "a", lambda: calls.append(1) or Outcome("ran"), complete=lambda: len(calls) > 1)
    for expected in (1, 2, 2):
        run_stages(tmp_path, [[stage]], {}, lambda *event: None)
        assert len(calls) == expected


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (UserError("no runs"), "no runs"),
        (RuntimeError("broken"), "RuntimeError: broken"),
        (OSError(28, "No space left"), "No space"),
    ],
)
def test_a_failure_is_recorded_the_next_stage_runs_and_the_next_time_tries_again(
    fault: Exception, says: str, lab: Lab
) -> None:
    lab.fault = fault
    assert lab.run() == (False, ["first", "second"])
    entry = manifest.read(lab.out)["stages"]["first"]
    assert entry["status"] == "failed" and says in entry["problem"]
    lab.fault = None
    assert lab.run() == (True, ["first", "second"])


def test_stages_of_a_group_run_at_the_same_time(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=10)  # passes only if the two meet

    def meet() -> Outcome:
        both.wait()
        return Outcome("met")

    group = [Stage(name, lambda: "", meet) for name in ("one", "other")]
    assert run_stages(tmp_path, [group], {}, lambda *event: None)
    assert {entry["what"] for entry in manifest.read(tmp_path)["stages"].values()} == {"met"}


def test_an_interrupt_in_a_group_is_not_taken_for_the_end_of_the_others(tmp_path: Path) -> None:
    raised = threading.Event()

    def interrupt() -> Outcome:
        raised.set()
        raise KeyboardInterrupt

    def slow() -> Outcome:
        raised.wait(10)
        time.sleep(0.5)
        return Outcome("ended because it was told to")

    group = [Stage("one", lambda: "", interrupt), Stage("other", lambda: "", slow)]
    with pytest.raises(KeyboardInterrupt):
        run_stages(tmp_path, [group], {}, lambda *event: None)
    assert {entry["status"] for entry in manifest.read(tmp_path)["stages"].values()} == {"interrupted"}


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), ModuleNotFoundError("No module named 'torch'", name="torch")])
def test_an_interrupt_ends_the_run_and_is_not_taken_for_finished(fault: BaseException, lab: Lab) -> None:
    lab.fault = fault
    with pytest.raises(type(fault)):
        lab.run()
    assert manifest.read(lab.out)["stages"]["first"]["status"] == "interrupted"
    lab.fault = None
    assert lab.run() == (True, ["first", "second"])


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"schema": 1, "stages": [1]}', '{"schema": 1, "stages": {"first": 3}}']
)
def test_a_damaged_manifest_means_that_everything_runs(text: str, lab: Lab) -> None:
    lab.run()
    (lab.out / manifest.NAME).write_text(text)
    assert lab.run() == (True, ["first", "second"])


def test_the_manifest_says_where_and_with_what(lab: Lab) -> None:
    lab.run()
    content = json.loads((lab.out / manifest.NAME).read_text())
    assert content["schema"] == 1 and content["command"] == "test"
    assert int(content["machine"]["cores"]) >= 1 and content["machine"]["cpu"]
    assert content["versions"]["numpy"] and content["versions"]["python"]
    assert content["stages"]["second"]["seconds"] >= 0


def test_digests_see_names_contents_and_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one.py", tmp_path / "two.py"
    one.write_text("1")
    two.write_text("2")
    whole = manifest.digest_of("text", files=[one, two])
    assert whole == manifest.digest_of("text", files=[two, one])
    assert manifest.digest_of("a", "bc") != manifest.digest_of("ab", "c")
    one.write_text("3")
    assert whole != manifest.digest_of("text", files=[one, two])


def test_sources_leave_out_what_they_are_told_to(tmp_path: Path) -> None:
    for name in ("a.py", "b.toml", "c.txt", "part/d.py", "other/e.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("")
    found = manifest.sources(tmp_path, without=("other", "b.toml"))
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["a.py", "part/d.py"]
