"""A sweep on a real SLURM of one node, started here from Debian's packages (slurm-wlm, munge) as root.

Run by name: ``apt-get install slurm-wlm munge`` and ``pytest -m slurm``. The test starts its own munged,
slurmctld and slurmd in a temporary folder, on free ports, and ends them afterwards.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import submitit

from unilth.errors import UserError
from unilth.sims import cluster
from unilth.sims.campaign import Campaign, parse
from unilth.sims.cluster import Cluster, sweep_on_slurm
from unilth.sims.results import Store, run_name
from unilth.sims.sweep import plan, sweep

HERE = Path(__file__).parent
QUICK = Cluster(tasks=2, poll=0.5, memory=1)
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")
CONF = """
ClusterName=unilth
SlurmctldHost={host}(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,batch_sched_delay=0
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
MinJobAge=2
KillWait=5
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes={host} MaxTime=INFINITE State=UP PriorityTier=9
"""


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and slurm-wlm, munge (not found: {missing})")
    folder = tmp_path_factory.mktemp("slurm")
    for parent in (folder, *folder.parents[:2]):
        parent.chmod(0o755)  # munged wants nobody else to be able to write, and everybody to get in
    for name in ("state", "spool"):
        (folder / name).mkdir()
    host = socket.gethostname().split(".")[0]
    with socket.socket() as first, socket.socket() as second:
        first.bind(("127.0.0.1", 0))
        second.bind(("127.0.0.1", 0))
        ports = first.getsockname()[1], second.getsockname()[1]
    (folder / "key").write_bytes(os.urandom(1024))
    (folder / "key").chmod(0o400)
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=host, folder=folder, ports=ports, cpus=os.cpu_count(), memory=2048))
    before = os.environ.get("SLURM_CONF")
    os.environ["SLURM_CONF"] = str(conf)
    daemons = [
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={folder}/key",
         f"--pid-file={folder}/munge.pid", f"--log-file={folder}/munge.log", f"--seed-file={folder}/munge.seed"],
        ["slurmctld", "-D", "-f", str(conf)],
        ["slurmd", "-D", "-f", str(conf), "-N", host],
    ]  # fmt: skip
    running = []
    with (folder / "daemons.log").open("wb") as log:
        for command in daemons:
            running.append(subprocess.Popen(command, stdout=log, stderr=log))
            time.sleep(1)
    try:
        until = time.monotonic() + 30
        while "idle" not in _said("sinfo", "--noheader", "--format=%t"):
            assert time.monotonic() < until, (folder / "daemons.log").read_text() + _said("sinfo")
            time.sleep(0.5)
        yield folder
    finally:
        for daemon in reversed(running):
            daemon.terminate()
            daemon.wait(20)
        if before is None:
            del os.environ["SLURM_CONF"]
        else:
            os.environ["SLURM_CONF"] = before


def _said(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def _campaign(seeds: int, epochs: int = 1) -> Campaign:
    text = f'claim = "none"\n[grid]\nrecipes = ["omp"]\nsparsities = [0.5]\nseeds = {seeds}\n[run]\nepochs = {epochs}\n'
    return parse(text, name="queue", where="queue.toml")


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


@pytest.mark.slurm
def test_a_cluster_ends_with_the_records_of_this_machine(slurm: Path, tmp_path: Path) -> None:
    campaign = _campaign(5, epochs=2)
    here = sweep(campaign, tmp_path / "here", workers=1)
    seen = []
    there = sweep_on_slurm(campaign, tmp_path / "there", Cluster(tasks=2, poll=0.5, memory=1), progress=seen.append)
    assert here.ok and there.ok and there.done == 5 and seen[-1].done == 5
    for spec in campaign.specs:
        one, other = (Store(tmp_path / side).finished(spec) for side in ("here", "there"))
        assert one is not None and other is not None
        assert {k: v for k, v in one.items() if k != "timing"} == {k: v for k, v in other.items() if k != "timing"}
    again = sweep_on_slurm(campaign, tmp_path / "there", Cluster(poll=0.5, memory=1))
    assert again.skipped == 5 and again.done == 0


@pytest.mark.slurm
@pytest.mark.usefixtures("importable")
def test_preempted_tasks_come_back_and_lose_nothing(slurm: Path, tmp_path: Path) -> None:
    campaign, out = _campaign(6), tmp_path / "runs"
    with ThreadPoolExecutor(1) as beside:
        waiting = beside.submit(
            sweep_on_slurm, campaign, out, QUICK, run="fake_runs:slow", check=None, data_dir=tmp_path
        )  # fmt: skip
        _until(lambda: any(path.name.startswith("omp") for path in out.glob("*")))
        subprocess.run(  # takes the whole node at a higher priority: what runs there is put back into the queue
            ["sbatch", "--partition=high", "--exclusive", "--time=1", "--output=/dev/null", "--wrap=sleep 2"],
            capture_output=True, check=True,
        )  # fmt: skip
        summary = waiting.result(timeout=180)
    assert summary.ok and summary.done == 6
    assert "equeue" in (slurm / "slurmctld.log").read_text()
    assert len(plan(campaign, out).finished) == 6


@pytest.mark.slurm
@pytest.mark.usefixtures("importable")
def test_whoever_waits_may_go_and_come_back_and_submits_nothing_twice(slurm: Path, tmp_path: Path) -> None:
    campaign, out = _campaign(4), tmp_path / "runs"

    def leave(_: object) -> None:
        raise KeyboardInterrupt

    chosen = {"run": "fake_runs:slow", "check": None, "data_dir": tmp_path}
    with pytest.raises(KeyboardInterrupt):
        sweep_on_slurm(campaign, out, QUICK, progress=leave, **chosen)
    before = json.loads((out / "slurm" / "jobs.json").read_text())
    summary = sweep_on_slurm(campaign, out, QUICK, **chosen)
    assert summary.ok and summary.done + summary.skipped == 4
    assert json.loads((out / "slurm" / "jobs.json").read_text()) == before


@pytest.mark.slurm
@pytest.mark.usefixtures("importable")
def test_whoever_is_interrupted_while_submitting_submits_nothing_twice(
    slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, out, submit = _campaign(4), tmp_path / "runs", submitit.AutoExecutor.submit_array

    def interrupted(*given: object) -> None:
        submit(*given)
        raise KeyboardInterrupt

    chosen = {"run": "fake_runs:slow", "check": None, "data_dir": tmp_path}
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(submitit.AutoExecutor, "submit_array", interrupted)
        sweep_on_slurm(campaign, out, QUICK, **chosen)
    summary = sweep_on_slurm(campaign, out, QUICK, **chosen)
    assert summary.ok and summary.done + summary.skipped == 4
    assert len(list((out / "slurm").glob("*_submitted.pkl"))) == QUICK.tasks


@pytest.mark.slurm
@pytest.mark.usefixtures("importable")
def test_failures_are_told_with_their_reason(slurm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "GRACE", 1.0)
    raises = parse(_campaign(1).text.replace("omp", "raises"), name="queue", where="queue.toml")
    summary = sweep_on_slurm(raises, tmp_path / "a", QUICK, run="fake_runs:execute", check=None, data_dir=tmp_path)
    assert not summary.ok
    assert summary.failed == ((run_name(raises.specs[0]), "RuntimeError: the loss is no number"),)
    lost = sweep_on_slurm(_campaign(1), tmp_path / "b", QUICK, run="no_such_module:run", check=None)
    assert len(lost.failed) == 1 and "its job ended without a result" in lost.failed[0][1]
    with pytest.raises(UserError, match=r"SLURM refused the jobs.*nowhere"):
        sweep_on_slurm(_campaign(1), tmp_path / "c", Cluster(partition="nowhere", poll=0.5, memory=1))


def test_where_there_is_no_slurm_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match="there is no SLURM here"):
        sweep_on_slurm(_campaign(1), tmp_path / "runs", Cluster())


@pytest.mark.parametrize(("name", "value"), [("tasks", 0), ("cpus", 0), ("gpus", -1), ("memory", 0), ("poll", 0.0)])
def test_impossible_requests_are_refused(name: str, value: float) -> None:
    with pytest.raises(UserError, match=f"{name} must be"):
        Cluster(**{name: value})


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.1)
