"""A network or score of the user's that is edited while a sweep runs: its runs are not those of this sweep."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import pytest

from unilth.sims import cluster, worker
from unilth.sims.campaign import Campaign, parse
from unilth.sims.preflight import own_files
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import sweep

NETWORK = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self, shape, classes):
        super().__init__(nn.Flatten(), nn.Linear(64, 20), nn.ReLU(), nn.Linear(20, classes))
"""
SCORE = "def score(sight):\n    return {name: weight.detach().abs() * 1 for name, weight in sight.weights.items()}\n"


def campaign(tmp_path: Path) -> Campaign:
    (tmp_path / "net.py").write_text(NETWORK)
    (tmp_path / "score.py").write_text(SCORE)
    return parse(
        f'claim = "c"\n[grid]\nrecipes = ["omp"]\nnetworks = ["{tmp_path}/net.py:Net"]\nsparsities = [0.5]\nseeds = 4\n'
        f'[run]\nepochs = 1\nbatch = 512\nscore = "{tmp_path}/score.py:score"\n', name="own", where="own.toml"
    )  # fmt: skip


@pytest.mark.parametrize(("file", "old", "new"), [("net.py", "20", "30"), ("score.py", "* 1", "* 2")])
def test_runs_of_an_edited_file_fail_and_can_be_done_when_it_is_back(
    tmp_path: Path, file: str, old: str, new: str
) -> None:
    wanted, path = campaign(tmp_path), tmp_path / file
    text = path.read_text()

    def edit(progress) -> None:
        if progress.done == 1:
            (tmp_path / "new").write_text(text.replace(old, new))
            (tmp_path / "new").replace(path)  # at once: half a file has no score

    summary = sweep(wanted, tmp_path / "out", workers=1, progress=edit)
    part = "network" if file == "net.py" else "score"
    assert summary.done in (1, 2) and len(summary.failed) == 4 - summary.done  # one may have begun before the edit
    assert all(f"the {part} '{path}:" in why and "was edited after the sweep began" in why for _, why in summary.failed)
    path.write_text(text)
    assert sweep(wanted, tmp_path / "out", workers=1).ok
    assert len({record[part]["sha256"] for record in Store(tmp_path / "out").records()}) == 1


def test_a_run_of_another_file_is_not_begun(tmp_path: Path, data_dir: Path) -> None:
    wanted, heard = campaign(tmp_path), []
    setup = {"run": "fake_runs:execute", "check": None, "out": str(tmp_path), "data_dir": str(data_dir)}
    setup |= {"device": "cpu", "number": 0, "path": list(sys.path)}
    for part, name in (("network", "net.py:Net"), ("score", "score.py:score")):
        own = {"network": {}, "score": {}} | {part: {f"{tmp_path}/{name}": "0" * 64}}
        worker.serve([setup, {"spec": asdict(wanted.specs[0]), "own": own}], heard.append)
        assert heard[-1]["event"] == "failed" and f"the {part} '{tmp_path}/{name}' was edited" in heard[-1]["reason"]
    assert not (data_dir / "pids").exists()
    worker.serve([setup, {"spec": asdict(wanted.specs[0]), "own": own_files(wanted.specs)}], heard.append)
    assert heard[-1]["event"] == "done"


def test_a_task_on_a_cluster_does_the_runs_of_the_files_that_were_submitted(tmp_path: Path) -> None:
    wanted = campaign(tmp_path)
    own = cluster._own(wanted.specs)
    assert own == own_files(wanted.specs) and cluster._own([RunSpec("omp")]) == {}
    (tmp_path / "net.py").write_text(NETWORK.replace("20", "30"))
    store = Store(tmp_path / "out")
    store.create()
    rest = (1, "unilth.sims.execute:execute", "unilth.sims.preflight:usable", tuple(sys.path), "cpu", (), own)
    cluster.Share(wanted.specs[:2], tmp_path / "out", None, *rest)()
    notes = [json.loads(path.read_text())["reason"] for path in (tmp_path / "out" / "failed").iterdir()]
    assert len(notes) == 2 and all("was edited after the sweep began" in why for why in notes)
