"""docs/own_network.md and docs/own_score.md, run from their own texts: files written, commands run, output compared."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"
BLOCK = re.compile(r"(?:<!-- file: (\S+) -->\n)?```(\w+)\n(.*?)```", re.S)


@pytest.mark.parametrize("page", ["own_network.md", "own_score.md"])
def test_the_page_is_true(tmp_path, page):
    ran = 0
    for name, language, text in BLOCK.findall((DOCS / page).read_text(encoding="utf-8")):
        if name:
            (tmp_path / name).write_text(text, encoding="utf-8")
            continue
        assert language == "console"
        line, expected = text.removeprefix("$ ").split("\n", 1)
        words = shlex.split(line)
        assert words[0] == "python"
        done = subprocess.run(
            [sys.executable, *words[1:]], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
        )
        assert (done.returncode, done.stdout) == (0, expected), done.stderr
        ran += 1
    assert ran == 1


@pytest.mark.parametrize(("page", "file"), [("own_network.md", "my_network.py"), ("own_score.md", "my_ticket.py")])
def test_it_takes_ten_lines(page, file):
    blocks = BLOCK.findall((DOCS / page).read_text(encoding="utf-8"))
    (text,) = [text for name, _, text in blocks if name == file]
    assert len([line for line in text.splitlines() if line.strip()]) <= 10
