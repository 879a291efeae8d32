"""docs/check_your_ticket.md, executed from its own text: files written, commands run, exit codes and lines compared."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from unilth.cli import main
from unilth.sims.invariants import cases

PAGE = Path(__file__).resolve().parents[3] / "docs" / "check_your_ticket.md"
BLOCK = re.compile(r"(?:<!-- (file|exit): (\S+) -->\n)?```(\w+)\n(.*?)```", re.S)


def forget(folder):
    """Drop what was imported from a folder, so that the next command reads its files as they are now."""
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Run a line of the page: `unilth` through its own entry point in this process, anything else in a fresh one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(cases, "second_device", lambda: None)  # the page was written on a machine without one

    def run(line):
        words = shlex.split(line)
        if words[0] == "unilth":
            capsys.readouterr()
            code = main(words[1:])
            forget(tmp_path)
            return code, capsys.readouterr().out
        nothing = {"PYTHONPATH": "", "PYTEST_ADDOPTS": "-p no:cacheprovider", "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, *words[1:]]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, env={**os.environ, **nothing})
        return done.returncode, done.stdout + done.stderr

    yield run
    forget(tmp_path)


@pytest.fixture(scope="module")
def blocks():
    found = BLOCK.findall(PAGE.read_text())
    assert sum(kind == "exit" for kind, *_ in found) == 6 and sum(kind == "file" for kind, *_ in found) == 5
    return found


def test_the_page_is_true(blocks, tmp_path, run, capsys):
    ran = 0
    for kind, value, language, text in blocks:
        if kind == "file":
            old = tmp_path / value
            kept = old.read_text() if value == "my_rule.py" and old.exists() else ""
            old.write_text(kept + text)
        elif kind == "exit":
            line, *expected = text.splitlines()
            code, printed = run(line.removeprefix("$ "))
            assert code == int(value), f"{line}\n{printed}"
            shown = [part for part in expected if part not in printed]
            assert not shown, f"{line} does not print {shown}\n{printed}"
            violated = {part for part in printed.splitlines() if part.startswith("violated ")}
            listed = {part for part in expected if part.startswith("violated ")}
            assert not listed or violated == listed, "the page lists every violation"
            ran += 1
        elif language == "python":
            exec(compile(text.replace('budget="thorough"', 'budget="quick"'), str(PAGE), "exec"), {})
            assert "mask-order passed" in capsys.readouterr().out
    assert ran == 6


def test_the_cure_that_the_page_names_works(blocks, tmp_path, run):
    for kind, value, _, text in blocks:
        if kind == "file" and value in ("my_rule.py", "my_ticket.py"):
            cured = text.replace("initial = model.state_dict()", "initial = copy.deepcopy(model.state_dict())")
            (tmp_path / value).write_text(cured)
    code, printed = run("unilth check my_ticket.py:find --budget quick")
    assert code == 0 and "violated" not in printed, printed
