"""Workers end with the process that started them: on Ctrl-C at once and without a word, and if it is killed."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from unilth.theory.workers import spread

JOB = """
import sys, time
from pathlib import Path
from unilth.theory.workers import spread

def nap(name):
    Path(name).touch()
    time.sleep(60)

if __name__ == "__main__":
    try:
        spread(nap, [(f"{sys.argv[1]}/{n}",) for n in range(6)], 2, print)
    except KeyboardInterrupt:
        sys.exit(130)
"""


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def _interruptible() -> None:
    """A shell lets its background jobs ignore Ctrl-C, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("stop", "code"),
    [
        (lambda process: os.killpg(process.pid, signal.SIGINT), 130),  # the terminal's Ctrl-C
        (lambda process: process.send_signal(signal.SIGINT), 130),
        (lambda process: process.kill(), -signal.SIGKILL),
    ],
    ids=["ctrl-c", "interrupted alone", "killed"],
)
def test_nothing_is_left_running(stop: Callable, code: int, tmp_path: Path) -> None:
    (tmp_path / "job.py").write_text(JOB)
    process = subprocess.Popen(
        [sys.executable, str(tmp_path / "job.py"), str(tmp_path)],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, preexec_fn=_interruptible, start_new_session=True,
    )  # fmt: skip
    try:
        assert within(60, lambda: (tmp_path / "0").exists() and (tmp_path / "1").exists())
        stop(process)
        said = process.communicate(timeout=20)[1]  # ends when nobody is left to write; the naps take 60 seconds
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.stderr.close()
    assert process.returncode == code
    assert code != 130 or said == b""
    assert not (tmp_path / "5").exists(), "what was waiting is dropped"


def test_every_result_comes_back_to_its_place() -> None:
    found: dict[int, int] = {}
    spread(divmod, [(n, 3) for n in range(5)], 2, found.__setitem__)
    assert found == {n: divmod(n, 3) for n in range(5)}


def test_an_exception_of_a_call_or_of_keep_is_passed_on() -> None:
    with pytest.raises(ZeroDivisionError):
        spread(divmod, [(1, 0)], 1, lambda place, result: None)
    with pytest.raises(KeyError):
        spread(divmod, [(1, 1)], 1, lambda place, result: {}[place])
