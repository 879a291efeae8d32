"""A target that forks: the child must not go on with the check, and write a report of its own."""

from __future__ import annotations

import os
import subprocess
import sys

TARGET = """
import os, sys
from unilth.sims.invariants import mask_rule

@mask_rule(scope="other", keeps="other")
def forks(scores, sparsity, *, within=None, generator=None):
    if os.fork() == 0:
        HOW
    code = os.waitstatus_to_exitcode(os.wait()[1])
    assert code == CODE, code
    return {name: score.abs() >= 0 for name, score in scores.items()}
"""


def test_a_forked_child_ends_with_its_call(tmp_path):
    ends = {"sys.exit(0)": 0, "sys.exit(7)": 7, "sys.exit('why')": 1, "sys.exit()": 0}
    for how, code in (ends | {"raise ValueError('x')": 1, "return {}": 0}).items():
        (tmp_path / "mine.py").write_text(TARGET.replace("HOW", how).replace("CODE", str(code)))
        command = [sys.executable, "-m", "unilth", "check", "mine.py:forks", "--only", "mask-names"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.count("ok: 1 passed"), done.stdout.lower().count("violated")) == (
            0,
            1,
            0,
        ), done


SAYS = """
import os, sys
from unilth.sims.invariants import mask_rule

@mask_rule(scope="other", keeps="other")
def says(scores, sparsity, *, within=None, generator=None):
    if os.fork() == 0:
        print("said on stdout")
        print("said on stderr", end="", file=sys.stderr)
        HOW
    os.wait()
    return {name: score.abs() >= 0 for name, score in scores.items()}
"""


def test_what_a_child_says_is_not_lost(tmp_path):
    for how in ("sys.exit(0)", "return {}", "sys.stdout.close()"):
        (tmp_path / "mine.py").write_text(SAYS.replace("HOW", how + "\n        return {}"))
        command = [sys.executable, "-m", "unilth", "check", "mine.py:says", "--only", "mask-names"]
        buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=buffered)
        assert done.returncode == 0 and done.stdout.count("ok: 1 passed") == 1, done
        assert "said on stdout" in done.stdout and "said on stderr" in done.stderr, done
