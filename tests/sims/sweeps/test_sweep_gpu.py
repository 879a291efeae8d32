"""Sweeps on a GPU with faults end with every run but the one at fault, all on one kind of device."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sims.sweeps.sweeping import of, run_fake
from unilth.errors import UserError
from unilth.sims import pool, shared_gpu
from unilth.sims.campaign import Campaign
from unilth.sims.records import read_record
from unilth.sims.results import run_name
from unilth.sims.sweep import Summary

RUN = "fake_gpu_runs:execute"


@pytest.fixture(autouse=True)
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "gpu"
    (folder / "clients").mkdir(parents=True)
    monkeypatch.setenv("FAKE_GPU", str(folder))
    monkeypatch.setattr(shared_gpu, "COUNT", "print(1)")
    monkeypatch.setenv(shared_gpu.PIPES, "/dev/null")
    monkeypatch.setattr(pool, "PAUSES", (0.1, 0.2, 0.4, 0.8, 1.6, 1.6))
    shared_gpu.gpus.cache_clear()
    return folder


def swept(campaign: Campaign, tmp_path: Path, data_dir: Path, **more: object) -> Summary:
    return run_fake(campaign, tmp_path / "out", data_dir, run=RUN, **{"device": "cuda"} | more)


def records(tmp_path: Path) -> dict[str, dict]:
    found = [read_record(path) for path in (tmp_path / "out").glob("*-seed*/record.json")]
    return {record["spec"]["recipe"]: record for record in found}


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_a_gpu_that_is_away_after_a_fault_is_waited_for(tmp_path: Path, data_dir: Path, device: str) -> None:
    campaign = of("faults-once", "on-the-host", "lth", "omp")
    summary = swept(campaign, tmp_path, data_dir, device=device)
    assert summary.ok, summary.failed
    found = records(tmp_path)
    assert {record["device"] for record in found.values()} == {"cuda:0"}
    processes = [record["timing"]["process"] for record in found.values()]
    assert processes.count(found["on-the-host"]["timing"]["process"]) == 1, "it kept the fault and went on"


def test_a_gpu_that_stays_away_ends_the_sweep(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "PAUSES", (0.01, 0.01))
    with pytest.raises(UserError) as caught:
        swept(of("omp", "lth", "breaks-it", "dense"), tmp_path, data_dir, device="auto")
    assert str(caught.value) == (
        "no worker can begin any more (device 'cuda': torch sees no GPU here); once one can, the same sweep goes on"
    )
    assert {"omp", "lth"} <= records(tmp_path).keys(), "what was finished is kept"


def test_one_run_that_always_faults_is_the_only_one_that_fails(tmp_path: Path, data_dir: Path) -> None:
    campaign = of("faults", "lth", "omp", "l2")
    summary = swept(campaign, tmp_path, data_dir, workers=4)
    assert [name for name, _ in summary.failed] == [run_name(campaign.specs[0])] and summary.done == 3
    reason = "its worker process died 3 times: it lost its GPU, AcceleratorError: CUDA error: an illegal"
    assert summary.failed[0][1].startswith(reason)
    assert len((data_dir / "faults").read_text().split()) == pool.ATTEMPTS


def test_a_last_attempt_is_made_when_nobody_else_works(tmp_path: Path, data_dir: Path) -> None:
    """On the CPU too, where a run that takes all memory may end its neighbours."""
    summary = run_fake(of("dies", "lth", "omp"), tmp_path / "out", data_dir, run="fake_runs:noted", workers=3)
    assert summary.done == 2 and len(summary.failed) == 1
    attempts, [end] = ([*map(float, (data_dir / f"{name}.times").read_text().split())] for name in ("dies", "lth"))
    assert len(attempts) == pool.ATTEMPTS and attempts[-2] < end < attempts[-1]


def test_a_worker_that_can_no_longer_import_the_run_ends_a_sweep_only_if_all_others_do(
    tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vanishing.py").write_text(
        "import os\nfrom pathlib import Path\ndef execute(spec, **_):\n    Path(__file__).unlink()\n    os._exit(1)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(pool, "PAUSES", (0.01, 0.01))
    with pytest.raises(
        UserError, match=r"no worker can begin any more .*vanishing.*; once one can, the same sweep goes on"
    ):
        run_fake(of("omp"), tmp_path / "out", data_dir, run="vanishing:execute")


def test_how_the_gpu_is_shared_is_said(tmp_path: Path, data_dir: Path) -> None:
    said: list[str] = []
    assert swept(of("lth", "omp"), tmp_path, data_dir, say=said.append).ok
    assert said == ["2 workers on 1 GPU, those on one GPU as CUDA_MPS_PIPE_DIRECTORY says"]
