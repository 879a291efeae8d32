"""Worker processes that may die: each does one run at a time, and a death costs that run's work and nothing else."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import IO, Any, Literal

from unilth.errors import UserError
from unilth.sims.shared_gpu import MOST, crowd, sharing, side_by_side
from unilth.sims.spec import RunSpec

ATTEMPTS = 3  # a run whose worker dies is given to a fresh worker until this many have died of it
EARLY_DEATHS = 3  # so many workers in a row that die before the check has passed mean that none will work
# Seconds before the next worker after one, two, ... in a row that could not begin to work, once the check has passed:
# after a fault on a GPU its service takes nobody for a while. One more in a row means that none will.
PAUSES = (1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0)
ENDING = 2.0  # seconds that a worker which closed its output has to end by itself
TICK = 0.5  # seconds between signs of life
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Event:
    """What happened: a run ``started``, ``said`` something (``reason``; without a run it is about all), is to be done
    ``again`` later, is ``done`` (``seconds``) or ``failed`` (``reason``), or time went by."""

    kind: Literal["started", "said", "again", "done", "failed", "tick"]
    spec: RunSpec | None = None
    seconds: float = 0.0
    reason: str = ""
    traceback: str = ""


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    number: int
    device: str = ""  # "" before it is ready
    faulty: bool = False  # there was a fault on its GPU: it ends with its run
    spec: RunSpec | None = None
    unread: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Pool:
    """How runs are done: ``run`` and ``check`` are ``module:callable`` (see `worker.serve`), ``out`` is the store.

    ``device`` is auto, cpu, cuda, cuda:N or mps; with several GPUs the workers take them in turn, and those on one
    GPU work side by side where that is possible (`shared_gpu`). What auto means is what it means to the first worker,
    for all. ``known`` are the data of finished runs (see `preflight.usable`), for the check; ``own`` is what the user's
    own networks and scores must be, by default what the check finds.
    """

    run: str
    check: str | None
    out: Path
    data_dir: Path | None
    workers: int
    device: str = "cpu"
    known: Sequence[tuple[str, int | None, str]] = ()
    own: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def work(self, specs: Sequence[RunSpec]) -> Generator[Event, None, None]:
        """Do all runs, yielding what happens; close the iterator (or raise inside it) and every worker is killed.

        Raises ``UserError`` if the check refuses the specs or no worker can start, ``ModuleNotFoundError`` if what the
        runs need is not installed, both before any run begins; ``UserError`` also where no worker can start any more.
        """
        with side_by_side(1 < crowd(self.workers, self.device) <= MOST) as settings:
            state = _Shift(self, deque(specs), settings)
            try:
                if words := sharing(self.workers, self.device, settings):
                    yield Event("said", reason=words)
                yield from state.events()
            finally:
                state.end()


class _Shift:
    """The workers and jobs of one call of `Pool.work`."""

    def __init__(self, pool: Pool, pending: deque[RunSpec], settings: dict[str, str]) -> None:
        self.pool, self.pending, self.settings = pool, pending, settings
        self.specs = tuple(pending)
        self.last: deque[RunSpec] = deque()  # one attempt is left to each of these
        self.device = pool.device
        self.workers: list[_Worker] = []
        self.selector = selectors.DefaultSelector()
        self.deaths: dict[RunSpec, int] = {}
        self.early = 0
        self.hire_from = 0.0
        self.checking: _Worker | None = None
        self.checked = False
        self.own = pool.own

    def events(self) -> Iterator[Event]:
        while self.pending or self.last or self._busy():
            self._fill()
            yield from self._assign()
            until = monotonic() + TICK
            for key, _ in self.selector.select(TICK):
                if key.data in self.workers:  # another one's fault may just have ended it
                    yield from self._hear(key.data)
            if monotonic() >= until:
                yield Event("tick")

    def end(self) -> None:
        """Kill whoever is left: an idle worker has nothing to lose, and a busy one only its current run."""
        self._dismiss(list(self.workers))
        self.selector.close()

    def _busy(self) -> int:
        return sum(worker.spec is not None for worker in self.workers)

    def _fill(self) -> None:
        """Hire whoever is missing; after the check one at a time, so that those who cannot work fail one by one."""
        while len(self.workers) < min(self.pool.workers, max(1, self._busy() + len(self.pending))):
            if self.checked and (monotonic() < self.hire_from or not all(worker.device for worker in self.workers)):
                return
            self._hire()

    def _hire(self) -> None:
        log = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the worker)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "unilth.sims.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            env=os.environ | ONE_THREAD | self.settings,
            process_group=0,  # Ctrl-C in the terminal is for the parent, which ends the workers itself
        )  # fmt: skip
        taken = {worker.number for worker in self.workers}
        free = [number for number in range(self.pool.workers) if number not in taken]
        worker = _Worker(process, log, free[self.early % len(free)])  # a number is a GPU, and one may be gone for good
        self.workers.append(worker)
        assert process.stdout is not None
        self.selector.register(process.stdout, selectors.EVENT_READ, worker)
        pool = self.pool
        setup = {"run": pool.run, "check": pool.check, "out": str(pool.out.absolute()), "path": sys.path}
        data_dir = str(pool.data_dir.absolute()) if pool.data_dir else None
        self._send(worker, setup | {"data_dir": data_dir, "device": self.device, "number": worker.number})

    def _assign(self) -> Iterator[Event]:
        for worker in self.workers:
            if not worker.device or worker.spec or worker is self.checking:
                continue
            if not self.checked:
                if self.checking is None:
                    self.checking = worker
                    self._send(worker, {"check": [asdict(spec) for spec in self.specs], "known": self.pool.known})
            elif spec := self._next():
                worker.spec = spec
                self._send(worker, {"spec": asdict(spec), "own": self.own})
                yield Event("started", spec)

    def _next(self) -> RunSpec | None:
        """The next run; a last attempt is made while nobody else works: no other run's fault is held against it."""
        if self.pending:
            return self.pending.popleft()
        return self.last.popleft() if self.last and not self._busy() else None

    def _send(self, worker: _Worker, message: dict[str, Any]) -> None:
        assert worker.process.stdin is not None
        with suppress(BrokenPipeError):  # it died; the end of its output says so to the loop
            worker.process.stdin.write(json.dumps(message).encode() + b"\n")
            worker.process.stdin.flush()

    def _hear(self, worker: _Worker) -> Iterator[Event]:
        assert worker.process.stdout is not None
        heard = os.read(worker.process.stdout.fileno(), 1 << 16)
        if not heard:
            yield from self._died(worker)
            return
        *lines, worker.unread = (worker.unread + heard).split(b"\n")
        for line in lines:
            yield from self._answer(worker, json.loads(line))

    def _answer(self, worker: _Worker, answer: dict[str, Any]) -> Iterator[Event]:
        kind = answer["event"]
        if kind == "unusable" and not self.checked:
            raise ModuleNotFoundError(f"the runs cannot be done: {answer['reason']}", name=answer["module"])
        if kind == "refused" and not self.checked:
            raise UserError(answer["reason"])
        if kind in ("refused", "unusable"):
            self._unable(worker, answer["reason"])
        elif kind == "ready":
            self._ready(worker, answer["device"])
        elif kind == "checked":
            self.checking, self.checked, self.early, self.own = None, True, 0, self.own or answer["own"]
        elif kind == "said":
            yield Event("said", worker.spec, reason=answer["sentence"])
        elif kind == "lost":
            for other in self.workers:
                other.faulty |= other.device in ("", worker.device)
            yield from self._died(worker, f"it lost its GPU, {answer['reason']}", answer["traceback"])
            self._dismiss([other for other in self.workers if other.faulty and not other.spec])
        else:
            spec, worker.spec = worker.spec, None
            if worker.faulty:  # its context would keep the fault on the GPU
                self._dismiss([worker])
            self.early = 0
            if kind == "done":
                yield Event("done", spec, seconds=answer["seconds"])
            else:
                yield Event("failed", spec, reason=answer["reason"], traceback=answer["traceback"])

    def _ready(self, worker: _Worker, device: str) -> None:
        kind = device.partition(":")[0]
        if self.device == "auto":
            self.device = kind
        if kind != self.device.partition(":")[0]:  # it was hired before that was settled
            self._unable(worker, f"one would train on {device}, the others on {self.device}")
            return
        worker.device = device
        if self.checked:
            self.early = 0

    def _died(self, worker: _Worker, reason: str = "", traceback: str = "") -> Iterator[Event]:
        """What follows from the death of a worker, for the ``reason`` that it gave or else for how it ended."""
        if not reason:
            with suppress(subprocess.TimeoutExpired):  # it closed its output: how it ends by itself is the reason
                worker.process.wait(ENDING)
        if worker is self.checking:
            self.checking = None
        spec = worker.spec
        if spec is None:
            self._unable(worker)
            return
        [how] = self._dismiss([worker])
        reason = reason or how
        self.early = 0  # it was able to work
        self.deaths[spec] = self.deaths.get(spec, 0) + 1
        if self.deaths[spec] == ATTEMPTS:
            reason = f"its worker process died {ATTEMPTS} times: {reason}"
            yield Event("failed", spec, reason=reason, traceback=traceback)
        else:
            (self.last if self.deaths[spec] == ATTEMPTS - 1 else self.pending).append(spec)
            yield Event("again", spec)

    def _unable(self, worker: _Worker, reason: str = "") -> None:
        """End a worker that cannot begin to work; UserError where that means that nobody will."""
        [how] = self._dismiss([worker])
        self.early += 1
        if not self.checked:
            hopeless = self.early >= EARLY_DEATHS
        else:
            self.hire_from = monotonic() + PAUSES[min(self.early, len(PAUSES)) - 1]
            hopeless = self.early > len(PAUSES) and not any(other.device for other in self.workers)
        if hopeless and reason:
            reason = reason.partition(";")[0]  # not its advice on devices: a sweep does not change from one to another
            raise UserError(f"no worker can begin any more ({reason}); once one can, the same sweep goes on")
        if hopeless:
            raise UserError(f"the worker processes end before they can work ({how}); see that memory suffices")

    def _dismiss(self, workers: Sequence[_Worker]) -> list[str]:
        """Kill these; returns how each of them ended."""
        for worker in workers:
            worker.process.kill()
        return [self._bury(worker) for worker in workers]

    def _bury(self, worker: _Worker) -> str:
        """Collect a dead worker; returns how it ended, with the last line of its standard error."""
        process = worker.process
        assert process.stdin is not None and process.stdout is not None
        code = process.wait()
        self.selector.unregister(process.stdout)
        process.stdout.close()
        with suppress(BrokenPipeError):
            process.stdin.close()
        self.workers.remove(worker)
        worker.log.seek(max(0, worker.log.seek(0, os.SEEK_END) - 2000))
        said = worker.log.read().decode("utf-8", "replace").split("\n")
        worker.log.close()
        last = next((line.strip()[:200] for line in reversed(said) if line.strip()), "")
        how = f"killed by signal {-code}, {signal.strsignal(-code)}" if code < 0 else f"exit code {code}"
        return f"{how}; its last words: {last}" if last else how
