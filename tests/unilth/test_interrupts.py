"""Ctrl-C: at once and in a sentence while modules load, in order while something is computed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from unilth import cli
from unilth.commands import find as command
from unilth.interrupts import end_at_once, raise_again

# Imports that catch whatever comes, as numpy's and SciPy's do in places; each says that it has begun.
SWALLOWING = """
import sys, time
module = sys.argv.pop(1)
class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            print("loading", flush=True)
            try:
                time.sleep(20)
            except BaseException:
                pass
sys.meta_path.insert(0, Slow())
from unilth.cli import run
run()
"""


def interruptible() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background jobs and their children ignore it


def started(tmp_path: Path, *argv: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible,
    )  # fmt: skip


@pytest.mark.parametrize("module", ["unilth.commands.find", "numpy", "torch", "sklearn.datasets"])
def test_ctrl_c_while_modules_load_ends_at_once(tmp_path: Path, module: str) -> None:
    argv = ["find", "omp", "--epochs", "4", "--batch", "256", "--out", str(tmp_path / "a")]
    process = started(tmp_path, "-c", SWALLOWING, module, *argv)
    assert process.stdout is not None and process.stdout.readline() == "loading\n"
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130 and error == "unilth: interrupted\n" and time.monotonic() - began < 10


@pytest.mark.parametrize("epochs", [5000])
def test_ctrl_c_during_training_goes_the_usual_way(tmp_path: Path, epochs: int) -> None:
    code = (
        "import sys\nfrom unilth.sims import one_run\nold = one_run.find_into\n"
        "def told(spec, out, data_dir, progress, **options):\n"
        "    def tell(*args):\n        progress(*args)\n        print('epoch', flush=True)\n"
        "    return old(spec, out, data_dir, tell, **options)\n"
        "one_run.find_into = told\nfrom unilth.cli import run\nrun()"
    )
    argv = ["find", "omp", "--epochs", str(epochs), "--batch", "256", "--out", str(tmp_path / "a")]
    process = started(tmp_path, "-c", code, *argv)
    assert process.stdout is not None and process.stdout.readline() == "epoch\n"
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    said = "unilth: interrupted; what was finished is kept, the same command goes on\n"
    assert process.returncode == 130 and error == said


def test_a_library_leaves_signals_alone(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    assert cli.main(["find", "omp", "--epochs", "2", "--batch", "512", "--out", str(tmp_path)]) == 0
    assert cli.main(["table", str(tmp_path.parent / "none")]) == 2
    assert signal.getsignal(signal.SIGINT) is before


def test_only_pythons_own_handler_is_replaced() -> None:
    before = signal.getsignal(signal.SIGINT)
    try:
        for other in (signal.SIG_IGN, lambda *args: None):
            signal.signal(signal.SIGINT, other)
            end_at_once()
            assert signal.getsignal(signal.SIGINT) is other
            raise_again()
            assert signal.getsignal(signal.SIGINT) is other
        signal.signal(signal.SIGINT, signal.default_int_handler)
        end_at_once()
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
        raise_again()
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_other_commands_have_their_interrupts_when_they_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(sys, "argv", ["unilth", "table", os.curdir])
    monkeypatch.setattr("unilth.commands.table.main", lambda argv: seen.append(signal.getsignal(signal.SIGINT)) or 0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(SystemExit) as stopped:
            cli.run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert stopped.value.code == 0 and seen == [signal.default_int_handler]
    assert next(entry for entry in cli.COMMANDS if entry.loads).module == command.__name__
