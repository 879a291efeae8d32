"""docs/peers.md: the adapters on the page, measured again; violations and replay lines are those that it lists."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from unilth.cli import main
from unilth.sims.invariants import cases, check

PAGE = (Path(__file__).resolve().parents[3] / "docs" / "peers.md").read_text()
CODE = re.search(r"<!-- file: peers\.py -->\n```python\n(.*?)```", PAGE, re.S).group(1)
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^### |\Z)", PAGE, re.S | re.M))


@pytest.fixture
def peers(tmp_path, monkeypatch):
    (tmp_path / "peers.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(cases, "second_device", lambda: None)  # the page was measured on a CPU
    yield "peers.py"
    for name in [name for name in sys.modules if name.startswith("_unilth_target_peers")]:
        del sys.modules[name]


@pytest.mark.parametrize("name", SECTIONS)
def test_the_table_is_what_is_measured(peers, name):
    report = check(f"{peers}:{name}", budget="quick")
    listed = re.findall(r"^\| `([\w-]+)` \|", SECTIONS[name], re.M)
    assert [row.id for row in report.violations] == listed and listed
    counts = report.counts
    told = [f"{counts[status]} {status}" for status in ("passed", "violated", "blocked", "not-applicable")]
    assert ", ".join(told).replace("-", " ") + "." in SECTIONS[name]


@pytest.mark.parametrize("name", SECTIONS)
def test_replay_lines_reproduce_the_violations(peers, name):
    lines = re.findall(r"^\$ (unilth check .*)$", SECTIONS[name], re.M)
    assert len(lines) == len(re.findall(r"^\| `", SECTIONS[name], re.M))
    for line in lines:
        assert main(shlex.split(line)[1:]) == 1, line
