"""docs/check_your_ticket.md, executed from its own text: files written, commands run, exit codes and lines compared."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[3] / "docs" / "check_your_ticket.md"
BLOCK = re.compile(r"(?:<!-- (file|exit): (\S+) -->\n)?```(\w+)\n(.*?)```", re.S)


def run(line, folder):
    words = shlex.split(line)
    words = [sys.executable, "-m", "unilth", *words[1:]] if words[0] == "unilth" else [sys.executable, *words[1:]]
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": "", "PYTEST_ADDOPTS": "-p no:cacheprovider"}
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, env=environment)


@pytest.fixture(scope="module")
def blocks():
    found = BLOCK.findall(PAGE.read_text())
    assert sum(kind == "exit" for kind, *_ in found) == 6 and sum(kind == "file" for kind, *_ in found) == 5
    return found


def test_the_page_is_true(blocks, tmp_path):
    ran = 0
    for kind, value, language, text in blocks:
        if kind == "file":
            old = tmp_path / value
            kept = old.read_text() if value == "my_rule.py" and old.exists() else ""
            old.write_text(kept + text)
        elif kind == "exit":
            line, *expected = text.splitlines()
            done = run(line.removeprefix("$ "), tmp_path)
            assert done.returncode == int(value), f"{line}\n{done.stdout}{done.stderr}"
            shown = [part for part in expected if part not in done.stdout]
            assert not shown, f"{line} does not print {shown}\n{done.stdout}"
            violated = {part for part in done.stdout.splitlines() if part.startswith("violated ")}
            listed = {part for part in expected if part.startswith("violated ")}
            assert not listed or violated == listed, "the page lists every violation"
            ran += 1
        elif language == "python":
            (tmp_path / "python_door.py").write_text(text.replace('budget="thorough"', 'budget="quick"'))
            done = run("python python_door.py", tmp_path)
            assert done.returncode == 0 and "mask-order passed" in done.stdout, done.stderr
    assert ran == 6


def test_the_cure_that_the_page_names_works(blocks, tmp_path):
    for kind, value, _, text in blocks:
        if kind == "file" and value in ("my_rule.py", "my_ticket.py"):
            cured = text.replace("initial = model.state_dict()", "initial = copy.deepcopy(model.state_dict())")
            (tmp_path / value).write_text(cured)
    done = run("unilth check my_ticket.py:find --budget quick", tmp_path)
    assert done.returncode == 0 and "violated" not in done.stdout, done.stdout
