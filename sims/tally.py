"""How far a sweep is: counts runs and estimates the time left from measured times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from unilth.sims.pool import Event
from unilth.sims.records import Record
from unilth.sims.results import run_name
from unilth.sims.spec import RunSpec

NEWEST = 20  # a time left is estimated from so many of the newest run times of each kind


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


class Tally:
    """Counts runs and estimates the time left from measured times: by kind of run, of this sweep or an earlier one."""

    def __init__(self, finished: Mapping[RunSpec, Record], left: Sequence[RunSpec], workers: int) -> None:
        self.total, self.skipped, self.workers = len(finished) + len(left), len(finished), workers
        self.done = 0
        self.failed: list[tuple[str, str]] = []
        self.left = dict.fromkeys(left)
        self.running: dict[RunSpec, float] = {}
        self.times: dict[tuple[str, str, str], list[float]] = {}
        for spec, record in finished.items():
            seconds = record["timing"].get("seconds")
            if isinstance(seconds, int | float):
                self.times.setdefault(_kind(spec), []).append(float(seconds))

    def take(self, event: Event) -> None:
        """Count what happened."""
        spec = event.spec
        if spec is None or event.kind == "said":
            return
        if event.kind == "started":
            self.running[spec] = monotonic()
            return
        self.running.pop(spec, None)
        if event.kind == "again":
            return
        self.left.pop(spec, None)
        if event.kind == "done":
            self.done += 1
            self.times.setdefault(_kind(spec), []).append(event.seconds)
        else:
            self.failed.append((run_name(spec), event.reason))

    def progress(self) -> Progress:
        """How far the sweep is now."""
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
