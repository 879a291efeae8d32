"""What the tests of sweeps share: a campaign of thirty fake runs, started here or as a process to be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from unilth.sims.campaign import Campaign, parse
from unilth.sims.records import dump, read_record
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import Summary, sweep

HERE = Path(__file__).parents[1]  # where fake_runs.py is
TOML = """
claim = "killing a sweep changes no record"
[grid]
recipes = ["dense", "lth", "unilth"]
sparsities = [0.5, 0.9]
seeds = 6
"""
CAMPAIGN = parse(TOML, name="thirty", where="thirty.toml")
# The command line with the fake run in place of training, as a process of its own that can be killed.
DRIVER = """
import functools, sys
from unilth import cli
from unilth.commands import sweep
sweep.sweep = functools.partial(sweep.sweep, run="fake_runs:execute", check=None)
sys.exit(cli.main(sys.argv[1:]))
"""


def contents(out: Path) -> dict[str, bytes]:
    """Every file of every run, byte for byte, records without what stands under ``timing``."""
    files = {}
    for path in sorted(out.rglob("*")):
        if not path.is_file() or path.name == ".lock":
            continue
        content = path.read_bytes()
        if path.name == "record.json":
            record = read_record(path)
            assert dump(record).encode() == content  # so that leaving out one key hides nothing else
            del record["timing"]
            content = dump(record).encode()
        files[str(path.relative_to(out))] = content
    return files


def run_fake(campaign: Campaign, out: Path, data_dir: Path, **more: object) -> Summary:
    usual = {"run": "fake_runs:execute", "check": None, "data_dir": data_dir, "workers": 2}
    return sweep(campaign, out, **usual | more)


def of(*recipes: str) -> Campaign:
    return Campaign("some", "a claim", tuple(RunSpec(recipe, seed=seed) for seed, recipe in enumerate(recipes)), "")


def _interruptible() -> None:
    """A shell lets its background jobs ignore Ctrl-C, and what they start inherits that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def start(tmp_path: Path, data_dir: Path, out: Path, text: str = TOML) -> subprocess.Popen[str]:
    path = tmp_path / "thirty.toml"
    path.write_text(text)
    paths = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    command = ["sweep", str(path), "--out", str(out), "--workers", "2", "--data-dir", str(data_dir)]
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *command], env=os.environ | {"PYTHONPATH": paths}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_interruptible, start_new_session=True,
    )  # fmt: skip


def wait_for(true, seconds: float = 30.0) -> None:
    until = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < until, "waited too long"
        time.sleep(0.002)


def finished(out: Path) -> int:
    return len(list(out.glob("*-seed*/record.json")))


def pids(data_dir: Path) -> list[int]:
    return [int(path.name) for path in (data_dir / "pids").iterdir()] if (data_dir / "pids").is_dir() else []


def alive(pid: int) -> bool:
    """Whether a process exists and is no zombie waiting for whoever adopted it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
