"""docs/own_network.md, run from its own text: the files are written, the command is run, its output compared."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own_network.md"
BLOCK = re.compile(r"(?:<!-- file: (\S+) -->\n)?```(\w+)\n(.*?)```", re.S)


def test_the_page_is_true(tmp_path):
    ran = 0
    for name, language, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
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


def test_the_network_has_ten_lines():
    (text,) = [text for name, _, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")) if name == "my_network.py"]
    assert len([line for line in text.splitlines() if line.strip()]) <= 10
