"""A campaign from start to end: what is finished is skipped, what is left goes to worker processes, nothing is lost.

However a sweep ends (finished, Ctrl-C, a killed worker, itself killed), the same sweep again does what is missing and
ends with the same records. A damaged record is set aside and its run repeated. A run that raised is not tried again by
this sweep, but by the next.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

from unilth.errors import UserError
from unilth.sims.campaign import Campaign
from unilth.sims.lock import locked
from unilth.sims.pool import Event, Pool
from unilth.sims.records import DamagedRecord, Record
from unilth.sims.results import Store, run_name
from unilth.sims.spec import RunSpec

RUN = "unilth.sims.find:execute"
CHECK = "unilth.sims.preflight:usable"
NEWEST = 20  # a time left is estimated from so many of the newest run times of each kind


@dataclass(frozen=True)
class Plan:
    """What is to do: the finished runs with their records, the specs left, and those whose record is damaged."""

    finished: Mapping[RunSpec, Record]
    left: tuple[RunSpec, ...]
    damaged: tuple[RunSpec, ...]


@dataclass(frozen=True)
class Progress:
    """How far a sweep is. ``seconds_left`` is None while no run was ever timed; ``untimed`` runs of kinds (recipe,
    network, data) that were never timed are counted in it as long as the mean of the others."""

    total: int
    skipped: int
    done: int
    failed: int
    current: tuple[str, ...]
    seconds_left: float | None
    untimed: int


@dataclass(frozen=True)
class Summary:
    """What a sweep did: runs in all, skipped as finished, done now, failed with reasons, repeated as damaged."""

    total: int
    skipped: int
    done: int
    failed: tuple[tuple[str, str], ...]
    repeated: tuple[str, ...]
    seconds: float
    workers: int

    @property
    def ok(self) -> bool:
        """Every run of the campaign is finished."""
        return not self.failed and self.skipped + self.done == self.total


def plan(campaign: Campaign, out: Path | str) -> Plan:
    """Look at what is there; changes nothing, and imports no torch."""
    store = Store(Path(out))
    finished: dict[RunSpec, Record] = {}
    damaged = []
    for spec in campaign.specs:
        try:
            record = store.finished(spec)
        except DamagedRecord:
            damaged.append(spec)
            continue
        if record is not None:
            finished[spec] = record
    return Plan(finished, tuple(spec for spec in campaign.specs if spec not in finished), tuple(damaged))


def sweep(
    campaign: Campaign,
    out: Path | str,
    *,
    workers: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    data_dir: Path | None = None,
    run: str = RUN,
    check: str | None = CHECK,
) -> Summary:
    """Do every run of ``campaign`` that ``out`` does not hold yet, in ``workers`` processes (default: one a core).

    ``run`` names (``module:callable``) what does one run: ``run(spec, data_dir=...)`` returns a ticket with
    ``save(folder)`` (or None) and a record that is the same every time but for its key ``timing``; ``check`` names what
    refuses impossible specs before the first run. Raises ``UserError`` for those, for a directory that cannot be used
    and for one that another sweep uses.
    """
    began = monotonic()
    if workers is not None and workers < 1:
        raise UserError(f"workers must be at least 1, not {workers}")
    store = Store(Path(out))
    store.create()
    with locked(store.root, name="the results directory"):
        store.clean()
        keep_campaign(store, campaign)
        todo = plan(campaign, store.root)
        for spec in todo.damaged:
            store.set_aside(spec)
        count = max(1, min(workers or cores(), len(todo.left)))
        watch = _Watch(len(campaign.specs), todo, count)
        if todo.left:
            try:
                with closing(Pool(run, check, store.root, data_dir, count).work(todo.left)) as events:
                    for event in events:
                        watch.take(event)
                        if event.kind == "failed":
                            _note_failure(store, event)
                        elif event.kind == "done" and event.spec is not None:
                            _failure(store, event.spec).unlink(missing_ok=True)
                        if progress:
                            progress(watch.progress())
            finally:
                store.clean()
    return Summary(
        len(campaign.specs), len(todo.finished), watch.done, tuple(watch.failed),
        tuple(run_name(spec) for spec in todo.damaged), monotonic() - began, count,
    )  # fmt: skip


def keep_campaign(store: Store, campaign: Campaign) -> None:
    """Keep the campaign's text beside its runs: readers then know which runs belong to it and which are missing."""
    folder = store.root / "campaigns"
    folder.mkdir(exist_ok=True)
    _write(folder / f"{campaign.name}.toml", campaign.text)


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Watch:
    """Counts runs and estimates the time left from measured times: by kind of run, of this sweep or an earlier one."""

    def __init__(self, total: int, todo: Plan, workers: int) -> None:
        self.total, self.skipped, self.workers = total, len(todo.finished), workers
        self.done = 0
        self.failed: list[tuple[str, str]] = []
        self.left = dict.fromkeys(todo.left)
        self.running: dict[RunSpec, float] = {}
        self.times: dict[tuple[str, str, str], list[float]] = {}
        for spec, record in todo.finished.items():
            seconds = record["timing"].get("seconds")
            if isinstance(seconds, int | float):
                self.times.setdefault(_kind(spec), []).append(float(seconds))

    def take(self, event: Event) -> None:
        spec = event.spec
        if spec is None:
            return
        if event.kind == "started":
            self.running[spec] = monotonic()
            return
        self.running.pop(spec, None)
        self.left.pop(spec, None)
        if event.kind == "done":
            self.done += 1
            self.times.setdefault(_kind(spec), []).append(event.seconds)
        else:
            self.failed.append((run_name(spec), event.reason))

    def progress(self) -> Progress:
        seconds, untimed = self._seconds_left()
        current = tuple(run_name(spec) for spec in self.running)
        return Progress(self.total, self.skipped, self.done, len(self.failed), current, seconds, untimed)

    def _seconds_left(self) -> tuple[float | None, int]:
        means = {kind: _mean(times[-NEWEST:]) for kind, times in self.times.items()}
        untimed = sum(_kind(spec) not in means for spec in self.left)
        if not means:
            return None, untimed
        typical, now = _mean(list(means.values())), monotonic()
        work = longest = 0.0
        for spec in self.left:
            expected = means.get(_kind(spec), typical)
            if spec in self.running:
                elapsed = now - self.running[spec]
                expected = max(expected - elapsed, elapsed / 10)  # overdue: nobody knows, but not nothing
                longest = max(longest, expected)
            work += expected
        return max(work / self.workers, longest), untimed


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _kind(spec: RunSpec) -> tuple[str, str, str]:
    return spec.recipe, spec.network, spec.data


def _failure(store: Store, spec: RunSpec) -> Path:
    return store.root / "failed" / f"{run_name(spec)}.json"


def _note_failure(store: Store, event: Event) -> None:
    assert event.spec is not None
    path = _failure(store, event.spec)
    path.parent.mkdir(exist_ok=True)
    note = {"spec": asdict(event.spec), "reason": event.reason, "traceback": event.traceback.splitlines()}
    _write(path, json.dumps(note, indent=2, sort_keys=True) + "\n")


def _write(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")  # the store is locked: nobody else writes this name
    part.write_text(text, encoding="utf-8")
    os.replace(part, path)
