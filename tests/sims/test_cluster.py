"""What is asked of SLURM, and when a run counts as lost; scripts stand in for SLURM, whose queue is a file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import submitit

from unilth.sims import cluster
from unilth.sims.campaign import Campaign
from unilth.sims.cluster import Cluster, Share, sweep_on_slurm
from unilth.sims.results import Store, run_name
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import Summary
from unilth.sims.tally import Progress
from unilth.sims.work import failure, note_failure

SBATCH = """#!/bin/sh
number=$(ls "$SLURM_HERE" | grep -c batch)
cp "$1" "$SLURM_HERE/batch-$number"
name=$(sed -n "s/^#SBATCH --job-name=//p" "$1")
last=$(sed -n "s/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p" "$1")
for task in $(seq 0 ${last:-0}); do
    echo "7${number}${last:+_$task}|$name|PENDING|Priority" >> "$SLURM_HERE/queue"
done
echo "Submitted batch job 7$number"
"""
SQUEUE = """#!/bin/sh
cat "$SLURM_HERE/queue"
"""
CAMPAIGN = Campaign("some", "a claim", tuple(RunSpec("omp", seed=seed) for seed in range(3)), "")


class Slurm:
    """The queue, and what was submitted."""

    def __init__(self, here: Path) -> None:
        self.here, self.queue = here, here / "queue"

    def batches(self) -> list[str]:
        return [path.read_text() for path in sorted(self.here.glob("batch-*"))]

    def asked(self, name: str) -> list[str]:
        """A parameter of every submission."""
        return [value for batch in self.batches() for value in re.findall(rf"^#SBATCH --{name}=(\S+)$", batch, re.M)]


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Slurm:
    made = Slurm(tmp_path / "slurm")
    (made.here / "bin").mkdir(parents=True)
    made.queue.touch()
    for name, script in {"sbatch": SBATCH, "squeue": SQUEUE, "scontrol": "", "srun": ""}.items():
        (made.here / "bin" / name).write_text(script)
        (made.here / "bin" / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{made.here / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_HERE", str(made.here))
    return made


def leave(_: object) -> None:
    raise KeyboardInterrupt


def swept(out: Path, asked: Cluster, progress: Callable[[Progress], None] = leave, **options: object) -> Summary | None:
    """None for a sweep that was left."""
    try:
        return sweep_on_slurm(CAMPAIGN, out, asked, progress=progress, check=None, **options)  # type: ignore[arg-type]
    except KeyboardInterrupt:
        return None


def shares(out: Path) -> list[Share]:
    """What the tasks that were submitted will do."""
    return [
        submitit.core.utils.DelayedSubmission.load(path).function for path in (out / "slurm").glob("*submitted.pkl")
    ]


@pytest.mark.parametrize(
    ("device", "gpus", "trains_on"), [("auto", 0, "cpu"), ("auto", 1, "cuda"), ("cpu", 1, "cpu"), ("cuda", 0, "cuda")]
)
def test_auto_is_what_was_asked_of_slurm(slurm: Slurm, tmp_path: Path, device: str, gpus: int, trains_on: str) -> None:
    swept(tmp_path / "out", Cluster(gpus=gpus), device=device)
    assert {share.device for share in shares(tmp_path / "out")} == {trains_on}


@pytest.mark.parametrize(
    ("asked", "workers", "cpus", "memory"),
    [
        (Cluster(), 1, "1", "4GB"),
        (Cluster(), 4, "4", "12GB"),
        (Cluster(cpus=2), 4, "2", "12GB"),
        (Cluster(memory=1), 4, "4", "1GB"),
    ],
)
def test_cores_and_memory_follow_the_workers(
    slurm: Slurm, tmp_path: Path, asked: Cluster, workers: int, cpus: str, memory: str
) -> None:
    swept(tmp_path / "out", asked, workers=workers)
    assert slurm.asked("cpus-per-task") == [cpus] and slurm.asked("mem") == [memory]


def test_what_was_submitted_before_it_could_be_noted_is_found_again(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = submitit.AutoExecutor.submit_array

    def interrupted(*given: object) -> None:
        submit(*given)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(submitit.AutoExecutor, "submit_array", interrupted)
        assert swept(tmp_path / "out", Cluster(tasks=2)) is None
    assert len(slurm.batches()) == 1
    assert swept(tmp_path / "out", Cluster(tasks=2)) is None
    assert len(slurm.batches()) == 1, "the same runs are in the queue twice"


@pytest.mark.parametrize("tasks", [1, 2])
def test_only_the_runs_of_tasks_that_are_gone_are_submitted_again(slurm: Slurm, tmp_path: Path, tasks: int) -> None:
    swept(tmp_path / "out", Cluster(tasks=tasks))
    kept = slurm.queue.read_text().splitlines(keepends=True)[1:]
    slurm.queue.write_text("".join(kept))
    swept(tmp_path / "out", Cluster())
    names = [[run_name(spec) for spec in share.specs] for share in shares(tmp_path / "out")]
    again = {run_name(spec) for spec in CAMPAIGN.specs[::tasks]}  # what the first task had
    twice = [name for share in names for name in share]
    assert {name for name in twice if twice.count(name) == 2} == again and len(set(slurm.asked("job-name"))) == 2


def test_a_result_that_shows_late_is_no_failure(slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "GRACE", 30.0)
    store, looks = Store(tmp_path / "out"), list[Progress]()

    def look(progress: Progress) -> None:
        looks.append(progress)
        slurm.queue.write_text("")
        if len(looks) == 3:  # the jobs were gone when it looked before
            for spec in CAMPAIGN.specs:
                store.write(spec, {})

    summary = swept(tmp_path / "out", Cluster(poll=0.05), look)
    assert summary is not None and summary.ok and summary.done == 3
    assert looks[0].current == ("3 pending (Priority)",) and "3 runs whose job ended" in looks[2].current[0]
    assert not any(failure(store, spec).exists() for spec in CAMPAIGN.specs)


def test_a_lost_run_is_noted_until_its_result_is_seen(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "GRACE", 0.2)
    store, lost = Store(tmp_path / "out"), CAMPAIGN.specs[0]

    def end(_: Progress) -> None:
        slurm.queue.write_text("")
        for spec in CAMPAIGN.specs[1:]:
            store.write(spec, {})

    summary = swept(tmp_path / "out", Cluster(poll=0.05), end)
    assert summary is not None and [name for name, _ in summary.failed] == [run_name(lost)]
    assert "its job ended without a result" in failure(store, lost).read_text()
    store.write(lost, {})
    summary = swept(tmp_path / "out", Cluster(poll=0.05), end)
    assert summary is not None and summary.skipped == 3 and not failure(store, lost).exists()


def test_a_note_from_before_does_not_outlive_the_result(slurm: Slurm, tmp_path: Path) -> None:
    store = Store(tmp_path / "out")

    def end(now: Progress) -> None:
        for spec in CAMPAIGN.specs if now.done == 0 else ():
            note_failure(store, spec, "its job ended without a result")
            store.write(spec, {})

    summary = swept(tmp_path / "out", Cluster(poll=0.05), end)
    assert summary is not None and summary.ok
    assert not any(failure(store, spec).exists() for spec in CAMPAIGN.specs)
