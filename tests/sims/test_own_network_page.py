"""docs/own_network.md and docs/own_score.md, run from their own texts: files written, commands run, output compared.

A line "..." in an output stands for any lines, and at the end of a line for its rest; runs of blanks count as one.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = [("own_network.md", "my_network.py"), ("own_score.md", "my_score.py"), ("own_score.md", "my_ticket.py")]
BLOCK = re.compile(r"(?:<!-- file: (\S+) -->\n)?```(\w+)\n(.*?)```", re.S)


def matches(output: str, expected: str) -> bool:
    def squeezed(text: str) -> str:
        return "\n".join(" ".join(line.split()) for line in text.splitlines())

    pattern = re.escape(squeezed(expected)).replace(r"\.\.\.", ".*")
    return re.fullmatch(pattern, squeezed(output), re.S) is not None


def test_outputs_are_compared():
    assert matches("a  b\nc\nd 1.5 s\n", "a b\n...\nd ...\n") and matches("a\n", "a\n")
    assert not matches("a\nb\n", "a\n") and not matches("a\nd 1\n", "a\n...\ne ...\n")


@pytest.mark.parametrize(("page", "commands"), [("own_network.md", 1), ("own_score.md", 3)])
def test_the_page_is_true(tmp_path, page, commands):
    ran = 0
    for name, language, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if name:
            (tmp_path / name).write_text(text, encoding="utf-8")
            continue
        assert language == "console"
        line, expected = text.removeprefix("$ ").split("\n", 1)
        words = shlex.split(line)
        command = {"python": [sys.executable], "unilth": [sys.executable, "-m", "unilth"]}[words[0]] + words[1:]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0 and matches(done.stdout, expected), (done.stdout, done.stderr)
        ran += 1
    assert ran == commands


@pytest.mark.parametrize(("page", "file"), PAGES)
def test_it_takes_ten_lines(page, file):
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    (text,) = [text for name, _, text in blocks if name == file]
    assert len([line for line in text.splitlines() if line.strip()]) <= 10
