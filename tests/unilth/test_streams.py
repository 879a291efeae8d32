"""`unilth check` of code that replaces, closes or redirects standard output and error: the report is shown anyway."""

from __future__ import annotations

import io
import json
import os
import pty
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from unilth.cli import main
from unilth.streams import put_back

RULE = """
import codecs, io, os, sys
from unilth.sims.invariants import mask_rule
class Logger:
    def __init__(self): self.terminal, self.log = sys.stdout, open("log", "a")
    def write(self, text): self.terminal.write(text); self.log.write(text)
    def flush(self): pass
def act():
{body}
{early}
@mask_rule(scope="global", keeps="largest")
def everything(scores, sparsity, *, within=None, generator=None):
    {late}
    return {{name: value == value for name, value in scores.items()}}
"""

LINE = "check mine.py:everything --only mask-names --budget quick"
OK = "\nok: 1 passed\n"

ACTS = {
    "a logger without closed": "sys.stdout = Logger()",
    "a logger for both": "sys.stdout = sys.stderr = Logger()",
    "closed": "sys.stdout.close()",
    "both closed": "sys.stdout.close(); sys.stderr.close()",
    "the buffer closed": "sys.stdout.buffer.close()",
    "to nowhere": "sys.stdout = sys.stderr = open(os.devnull, 'w')",
    "none": "sys.stdout = sys.stderr = None",
    "no stream": "sys.stdout = sys.__stdout__ = 3",
    "detached": "sys.stdout.detach()",
    "wrapped": "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, 'ascii')",
    "wrapped by codecs": "sys.stdout = codecs.getwriter('ascii')(sys.stdout.buffer)",
    "another encoding": "sys.stdout.reconfigure(encoding='ascii', errors='strict')",
    "write replaced": "sys.stdout.write = lambda text: len(text)",
    "descriptors redirected": "null = os.open(os.devnull, os.O_WRONLY); os.dup2(null, 1); os.dup2(null, 2)",
    "descriptors closed": "os.closerange(1, 3)",
}


def write(folder: Path, act: str, *, when: str = "late", then: str = "") -> None:
    """A rule that acts on the streams at its import or when it is first called."""
    body = textwrap.indent("if hasattr(act, 'done'): return\nact.done = True\n" + act, "    ")
    calls = {"early": "", "late": "", when: "act()" + (f"; {then}" if then else "")}
    (folder / "mine.py").write_text(RULE.format(body=body, **calls))


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """A line of bash, with `unilth` as it is installed here."""
    line = line.replace("unilth ", f"{sys.executable} -m unilth ", 1)
    return subprocess.run(
        ["/bin/bash", "-c", line], capture_output=True, text=True, encoding="utf-8", timeout=120, cwd=folder,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )  # fmt: skip


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS.keys())
def test_the_report_is_shown(act: str, tmp_path: Path) -> None:
    write(tmp_path, act)
    done = shell(f"unilth {LINE} --json /dev/stdout", tmp_path)
    assert done.returncode == 0 and not done.stderr, done.stderr
    assert OK in done.stdout and json.loads(done.stdout[done.stdout.index("\n{") :])["ok"]


@pytest.mark.parametrize("name", ["a logger without closed", "both closed", "to nowhere", "descriptors closed"])
def test_so_it_is_after_an_import(name: str, tmp_path: Path) -> None:
    write(tmp_path, ACTS[name], when="early")
    done = shell(f"unilth {LINE}", tmp_path)
    assert done.returncode == 0 and not done.stderr and done.stdout.endswith(OK), done.stderr


def test_so_is_what_keeps_a_target_from_being_used(tmp_path: Path) -> None:
    write(tmp_path, "sys.stdout.close(); sys.stderr.close(); sys.stderr = None", when="early", then="nothing")
    done = shell(f"unilth {LINE}", tmp_path)
    assert done.returncode == 2 and "NameError" in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_what_the_target_prints_goes_where_it_wants(tmp_path: Path) -> None:
    write(tmp_path, "sys.stdout = Logger()", then="print('seen')")
    done = shell(f"unilth {LINE}", tmp_path)
    assert "seen" in done.stdout and done.stdout.endswith(OK)
    log = (tmp_path / "log").read_text()
    assert "seen" in log and "passed" not in log
    write(tmp_path, "sys.stdout = open('own', 'w')", then="print('seen')")
    done = shell(f"unilth {LINE}", tmp_path)
    assert "seen" not in done.stdout and set((tmp_path / "own").read_text().split()) == {"seen"}
    write(tmp_path, "os.dup2(os.open('low', os.O_WRONLY | os.O_CREAT), 1)", then="print('seen')")
    done = shell(f"unilth {LINE}", tmp_path)
    assert "seen" not in done.stdout and set((tmp_path / "low").read_text().split()) == {"seen"}


def test_what_it_still_holds_comes_before_the_report(tmp_path: Path) -> None:
    write(tmp_path, "sys.stdout = io.TextIOWrapper(sys.stdout.buffer)", then="print('seen')")
    done = shell(f"unilth {LINE}", tmp_path)
    assert done.stdout.startswith("seen\n") and done.stdout.endswith(OK) and not done.stderr


@pytest.mark.parametrize("name", ["a logger without closed", "closed", "to nowhere", "descriptors redirected"])
def test_a_pipe_without_a_reader_and_a_full_disk_end_as_ever(name: str, tmp_path: Path) -> None:
    write(tmp_path, ACTS[name])
    done = shell(f"unilth {LINE} --json r.json | true; echo ${{PIPESTATUS[0]}}", tmp_path)
    assert done.stdout == "141\n" and not done.stderr
    assert json.loads((tmp_path / "r.json").read_text())["ok"]
    done = shell(f"unilth {LINE} > /dev/full", tmp_path)
    assert done.returncode == 2 and "No space left on device" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_were_closed_before_stay_so(closed: str, tmp_path: Path) -> None:
    write(tmp_path, ACTS["to nowhere"])
    done = shell(f"unilth {LINE} --markdown m.md {closed}", tmp_path)
    assert done.returncode == 0 and not done.stderr and done.stdout.endswith("" if ">&-" in closed[:8] else OK)
    assert "mask-names" in (tmp_path / "m.md").read_text()


def test_the_progress_bar_outlives_standard_error(tmp_path: Path) -> None:
    write(tmp_path, "sys.stderr.close(); os.close(2)")
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "unilth", *LINE.split(), "--only", "mask-shapes"]
    environment = {**os.environ, "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        argv, stdout=subprocess.PIPE, stderr=theirs, timeout=120, cwd=tmp_path, env=environment, check=False
    )
    os.close(theirs)
    seen = os.read(ours, 100_000).decode()
    os.close(ours)
    assert done.returncode == 0 and b"ok: 2 passed" in done.stdout
    assert "checking" in seen and "Traceback" not in seen and "\x1b[?25h" in seen  # the cursor is back


def test_a_stream_that_nothing_opens_again_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "sys.stdout.close()", when="early")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    assert main(LINE.split()) == 2
    error = capsys.readouterr().err
    assert "closed standard output" in error and error.count("\n") == 1
    write(tmp_path, "sys.stderr.close(); sys.stdout.close()", when="early")
    monkeypatch.setattr(sys, "stdout", io.StringIO())
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert main(LINE.split()) == 2


def test_a_callers_own_stream_need_only_write_and_flush(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own:
        def __init__(self) -> None:
            self.text = ""

        def write(self, text: str) -> None:
            self.text += text

        def flush(self) -> None:
            pass

    own = Own()
    monkeypatch.setattr(sys, "stdout", own)
    assert main(["check", "unilth.sims.invariants.ours:layer_magnitude", "--only", "mask-names"]) == 0
    assert own.text.endswith(OK) and sys.stdout is own


def test_streams_that_nothing_happened_to_are_the_same_objects_and_no_descriptor_stays_open() -> None:
    before, number = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__), os.open(os.devnull, os.O_RDONLY)
    os.close(number)
    with put_back():
        pass
    assert (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__) == before
    again = os.open(os.devnull, os.O_RDONLY)
    os.close(again)
    assert again == number
