"""A campaign on a SLURM cluster: the same runs, the same results directory, as array jobs through submitit.

Every array task is a small pool of workers that does its share of the runs and skips what is finished. A task that is
preempted or reaches its time limit is put back into the queue and goes on with what is missing. The directory must lie
on a file system that all nodes see, and the nodes must see the same Python environment. Whoever waits here only looks
on: interrupt it and the jobs go on; the same sweep again finds them and submits nothing twice.
"""

from __future__ import annotations

import json
import secrets
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.sims.campaign import Campaign
from unilth.sims.lock import locked
from unilth.sims.pool import Event, Pool
from unilth.sims.records import DamagedRecord
from unilth.sims.results import Store, run_name
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import CHECK, RUN, Summary, compare_data, keep_campaign, plan
from unilth.sims.tally import Progress, Tally
from unilth.sims.work import failure, note_failure, worked, write_whole

FOLDER = "slurm"
REQUEUES = 1000  # a task may reach its time limit so often: each time it has done some runs
GRACE = 90.0  # seconds: to who looked for it before, NFS may show a new folder of another node only after 60
MEMORY = 3  # GB for a worker; one on a GPU was seen to take 2
Jobs = dict[str, list[list[str]]]  # the name of an array, and the names of the runs of each of its tasks


@dataclass(frozen=True)
class Cluster:
    """What to ask SLURM for."""

    partition: str | None = None
    """partition; default SLURM's own"""
    account: str | None = None
    """account that pays; default SLURM's own"""
    tasks: int = 64
    """array tasks at most, among which the runs are dealt out"""
    cpus: int | None = None
    """cores of a task; default one for each of its workers"""
    gpus: int = 0
    """GPUs of a task; with --device auto it trains on them, and on the CPU where it asks for none"""
    memory: int | None = None
    """memory of a task, GB; default 3 for each of its workers, and 4 at least"""
    minutes: int = 240
    """time limit of a task; one that reaches it goes back into the queue and on with what is missing"""
    poll: float = 5.0
    """seconds between two looks at the queue"""

    def __post_init__(self) -> None:
        least = {"tasks": 1, "cpus": 1, "gpus": 0, "memory": 1, "minutes": 2}
        for name, value in least.items():
            given = getattr(self, name)
            if given is not None and given < value:
                raise UserError(f"{name} must be at least {value}, not {given}")
        if not self.poll > 0:
            raise UserError(f"poll must be positive, not {self.poll}: the seconds between two looks at the queue")

    def filled(self, workers: int) -> Cluster:
        """The same with what was left open, for tasks of so many workers."""
        return replace(self, cpus=self.cpus or workers, memory=self.memory or max(4, MEMORY * workers))


@dataclass(frozen=True)
class Share:
    """The runs of one array task; calling it does those that are missing."""

    specs: tuple[RunSpec, ...]
    out: Path
    data_dir: Path | None
    workers: int
    run: str
    check: str | None
    path: tuple[str, ...]
    device: str = "cpu"
    known: tuple[tuple[str, int | None, str], ...] = ()
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __call__(self) -> None:
        """Do the runs; failures are noted in the results directory."""
        sys.path[:] = self.path  # whatever the submitter can import, the task can
        store = Store(self.out)
        left = [spec for spec in self.specs if not _done(store, spec)]
        if left:
            for event in worked(self._pool(), store, left):
                if event.kind == "said":  # into the log of the task
                    print(f"{run_name(event.spec)}: {event.reason}" if event.spec else event.reason, flush=True)

    def _pool(self) -> Pool:
        return Pool(self.run, self.check, self.out, self.data_dir, self.workers, self.device, self.known, self.own)

    def checkpoint(self) -> Any:
        """Called by submitit on preemption or timeout: the same share again, which skips what is finished by then."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self)


def sweep_on_slurm(
    campaign: Campaign,
    out: Path | str,
    cluster: Cluster,
    *,
    workers: int = 1,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] | None = None,
    data_dir: Path | None = None,
    device: str = "cpu",
    run: str = RUN,
    check: str | None = CHECK,
) -> Summary:
    """Do every run of ``campaign`` that ``out`` does not hold yet as SLURM array jobs, and wait for them.

    ``workers`` runs go on at a time in each array task; ``run`` and ``check`` as in `sweep`, and so is ``device``, but
    for auto: a task trains on the GPUs that it asks for, and on the CPU where it asks for none, whatever its node has.
    ``say`` gets a sentence where finished runs cannot be compared with the data; what runs say is in the logs of their
    tasks. Raises ``UserError`` where there is no SLURM or the directory cannot be used, and with SLURM's own words
    where it refuses the job.
    """
    began = time.monotonic()
    if workers < 1:
        raise UserError(f"workers must be at least 1, not {workers}")
    for program in ("sbatch", "squeue", "scontrol"):
        if shutil.which(program) is None:
            raise UserError(
                f"there is no SLURM here ({program} is not found): leave --engine out, or log in to a cluster"
            )
    store = Store(Path(out).absolute())
    store.create()
    data_dir = data_dir.absolute() if data_dir else None
    if device == "auto":
        device = "cuda" if cluster.gpus else "cpu"
    with locked(store.root, name="the results directory"):
        todo = plan(campaign, store.root)
        for spec in todo.damaged:
            store.set_aside(spec)
        for spec in todo.finished:
            failure(store, spec).unlink(missing_ok=True)  # from before its result was seen here
        jobs = _jobs(store)
        queued = {name for _, names in _queue(jobs) for name in names}
        fresh = [spec for spec in todo.left if run_name(spec) not in queued]
        for spec in fresh:
            failure(store, spec).unlink(missing_ok=True)
        count = max(1, min(cluster.tasks, len(fresh)))
        if fresh:
            common = (store.root, data_dir, workers, run, check, tuple(sys.path), device, todo.known, _own(fresh))
            shares = [Share(tuple(fresh[first::count]), *common) for first in range(count)]
            # Noted before it is submitted: whoever is interrupted in between finds it in the queue by its name.
            name = f"unilth-{campaign.name}-{secrets.token_hex(4)}"
            jobs[name] = [[run_name(spec) for spec in share.specs] for share in shares]
            (store.root / FOLDER).mkdir(exist_ok=True)
            write_whole(store.root / FOLDER / "jobs.json", json.dumps(jobs, indent=2) + "\n")
            _submit(store, cluster.filled(workers), name, shares)
        elif check is not None and not todo.left:
            compare_data(todo, data_dir, say)
        keep_campaign(store, campaign)
        tally = Tally(todo.finished, todo.left, workers * count)
        waiting, gone = list(todo.left), dict[RunSpec, float]()
        while waiting:
            queue = _queue(jobs)  # before the results are looked at, so that what a job wrote last is seen
            waiting = [spec for spec in waiting if not _settled(store, spec, tally)]
            queued, now = {name for _, names in queue for name in names}, time.monotonic()
            gone = {spec: gone.get(spec, now) for spec in waiting if run_name(spec) not in queued}
            if progress:
                states = Counter(state for state, _ in queue)
                current = [f"{count} {state}" for state, count in states.items()]
                if gone:
                    current.append(f"{len(gone)} runs whose job ended, looking for their results")
                progress(replace(tally.progress(), current=tuple(current)))
            for spec in [spec for spec, since in gone.items() if now - since >= GRACE]:
                reason = f"its job ended without a result; see the logs in {store.root / FOLDER}"
                note_failure(store, spec, reason)
                tally.take(Event("failed", spec, reason=reason))
                waiting.remove(spec)
            if waiting:
                time.sleep(cluster.poll)
    return Summary(
        len(campaign.specs), len(todo.finished), tally.done, tuple(tally.failed),
        tuple(run_name(spec) for spec in todo.damaged), time.monotonic() - began, workers * count,
    )  # fmt: skip


def _submit(store: Store, cluster: Cluster, name: str, shares: Sequence[Share]) -> None:
    import submitit

    executor = submitit.AutoExecutor(store.root / FOLDER, cluster="slurm", slurm_max_num_timeout=REQUEUES)
    extra = {"gres": f"gpu:{cluster.gpus}"} if cluster.gpus else {}
    executor.update_parameters(
        name=name, timeout_min=cluster.minutes, cpus_per_task=cluster.cpus, mem_gb=cluster.memory,
        slurm_partition=cluster.partition, slurm_account=cluster.account, slurm_array_parallelism=cluster.tasks,
        slurm_additional_parameters={"requeue": True, **extra},
    )  # fmt: skip
    try:
        executor.submit_array(shares)
    except submitit.core.utils.FailedJobError as error:
        said = next((line for line in str(error).splitlines() if line.startswith("sbatch:")), str(error))
        raise UserError(f"SLURM refused the jobs: {' '.join(said.split())[:300]}") from None


def _own(specs: Iterable[RunSpec]) -> Mapping[str, Mapping[str, str]]:
    """The user's own networks and scores as they are now; a task that begins later must find the same."""
    if not any(":" in name for spec in specs for name in (spec.network, spec.score or "")):
        return {}
    from unilth.sims.preflight import own_files  # slow to import

    return own_files(specs)


def _jobs(store: Store) -> Jobs:
    """Every array that was ever to be submitted for this directory; UserError where it is not known which."""
    path = store.root / FOLDER / "jobs.json"
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError):
        known = None
    if isinstance(known, dict) and all(isinstance(tasks, list) for tasks in known.values()):
        runs = [names for tasks in known.values() for names in tasks]
        if all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in runs):
            return known
    raise UserError(
        f"{str(path)!r} cannot be read, so nobody knows which runs are in SLURM's queue: end them (scancel), and "
        "remove the file"
    )


def _queue(jobs: Mapping[str, list[list[str]]]) -> list[tuple[str, list[str]]]:
    """Every task that SLURM still has of these arrays: what it says of it, and the names of the task's runs."""
    if not jobs:
        return []
    command = ["squeue", "--noheader", "--array", "--format=%i|%j|%T|%r", f"--name={','.join(jobs)}"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode:
        said = " ".join(answer.stderr.split())[:300]
        raise UserError(f"SLURM does not answer ({said}): the jobs go on, the same command looks again")
    found = []
    for line in answer.stdout.splitlines():
        number, name, state, reason = line.strip().split("|", 3)
        task = int(number.partition("_")[2] or 0)  # 12_3 is the fourth of its array; a single task is no array
        found.append((state.lower() if reason == "None" else f"{state.lower()} ({reason})", jobs[name][task]))
    return found


def _done(store: Store, spec: RunSpec) -> bool:
    try:
        return store.finished(spec) is not None
    except DamagedRecord:
        return False


def _settled(store: Store, spec: RunSpec, tally: Tally) -> bool:
    """Whether this run has a record or a failure note now; counts it then. A note beside a record is removed."""
    try:
        record = store.finished(spec)
    except DamagedRecord:
        record = None
    note = failure(store, spec)
    if record is not None:
        note.unlink(missing_ok=True)
        tally.take(Event("done", spec, seconds=float(record["timing"].get("seconds", 0.0))))
        return True
    if not note.exists():
        return False
    tally.take(Event("failed", spec, reason=str(json.loads(note.read_text(encoding="utf-8"))["reason"])))
    return True
