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
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic
from typing import IO, Any, Literal

from unilth.errors import UserError
from unilth.sims.shared_gpu import MOST, side_by_side
from unilth.sims.spec import RunSpec

ATTEMPTS = 3  # a run whose worker dies is given to a fresh worker until this many have died of it
EARLY_DEATHS = 3  # so many workers in a row that die before they can work mean that none will
ENDING = 2.0  # seconds that a worker which closed its output has to end by itself
TICK = 0.5  # seconds between signs of life
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")


@dataclass(frozen=True)
class Event:
    """What happened: a run ``started``, ``said`` something (``reason``), is ``done`` (``seconds``) or ``failed``
    (``reason``), or time went by."""

    kind: Literal["started", "said", "done", "failed", "tick"]
    spec: RunSpec | None = None
    seconds: float = 0.0
    reason: str = ""
    traceback: str = ""


@dataclass(eq=False)
class _Worker:
    process: subprocess.Popen[bytes]
    log: IO[bytes]
    number: int
    ready: bool = False
    spec: RunSpec | None = None
    unread: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Pool:
    """How runs are done: ``run`` and ``check`` are ``module:callable`` (see `worker.serve`), ``out`` is the store.

    ``device`` is auto, cpu, cuda or cuda:N; with several GPUs the workers take them in turn, and those on one GPU work
    side by side where that is possible (`shared_gpu`). ``known`` are the data of finished runs (see
    `preflight.usable`), for the check.
    """

    run: str
    check: str | None
    out: Path
    data_dir: Path | None
    workers: int
    device: str = "cpu"
    known: Sequence[tuple[str, int | None, str]] = ()

    def work(self, specs: Sequence[RunSpec]) -> Generator[Event, None, None]:
        """Do all runs, yielding what happens; close the iterator (or raise inside it) and every worker is killed.

        Raises ``UserError`` if the check refuses the specs or no worker can start, ``ModuleNotFoundError`` if what the
        runs need is not installed; both before any run begins.
        """
        with side_by_side(self.device != "cpu" and 1 < self.workers <= MOST) as settings:
            state = _Shift(self, deque(specs), settings)
            try:
                yield from state.events()
            finally:
                state.end()


class _Shift:
    """The workers and jobs of one call of `Pool.work`."""

    def __init__(self, pool: Pool, pending: deque[RunSpec], settings: dict[str, str]) -> None:
        self.pool, self.pending, self.settings = pool, pending, settings
        self.specs = tuple(pending)
        self.workers: list[_Worker] = []
        self.selector = selectors.DefaultSelector()
        self.deaths: dict[RunSpec, int] = {}
        self.early = 0
        self.checking: _Worker | None = None
        self.checked = False

    def events(self) -> Iterator[Event]:
        while self.pending or any(worker.spec for worker in self.workers):
            busy = sum(worker.spec is not None for worker in self.workers)
            while len(self.workers) < min(self.pool.workers, busy + len(self.pending)):
                self._hire()
            yield from self._assign()
            until = monotonic() + TICK
            for key, _ in self.selector.select(TICK):
                yield from self._hear(key.data)
            if monotonic() >= until:
                yield Event("tick")

    def end(self) -> None:
        """Kill whoever is left: an idle worker has nothing to lose, and a busy one only its current run."""
        for worker in self.workers:
            worker.process.kill()
        for worker in list(self.workers):
            self._bury(worker)
        self.selector.close()

    def _hire(self) -> None:
        log = tempfile.TemporaryFile()  # noqa: SIM115  (lives as long as the worker)
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "unilth.sims.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log,
            env=os.environ | ONE_THREAD | self.settings,
            process_group=0,  # Ctrl-C in the terminal is for the parent, which ends the workers itself
        )  # fmt: skip
        taken = {worker.number for worker in self.workers}
        worker = _Worker(process, log, next(number for number in range(len(taken) + 1) if number not in taken))
        self.workers.append(worker)
        assert process.stdout is not None
        self.selector.register(process.stdout, selectors.EVENT_READ, worker)
        pool = self.pool
        setup = {"run": pool.run, "check": pool.check, "out": str(pool.out.absolute()), "path": sys.path}
        data_dir = str(pool.data_dir.absolute()) if pool.data_dir else None
        self._send(worker, setup | {"data_dir": data_dir, "device": pool.device, "number": worker.number})

    def _assign(self) -> Iterator[Event]:
        for worker in self.workers:
            if not worker.ready or worker.spec or worker is self.checking:
                continue
            if not self.checked:
                if self.checking is None:
                    self.checking = worker
                    self._send(worker, {"check": [asdict(spec) for spec in self.specs], "known": self.pool.known})
            elif self.pending:
                worker.spec = self.pending.popleft()
                self._send(worker, {"spec": asdict(worker.spec)})
                yield Event("started", worker.spec)

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
        if kind == "unusable":
            raise ModuleNotFoundError(f"the runs cannot be done: {answer['reason']}", name=answer["module"])
        if kind == "refused":
            raise UserError(answer["reason"])
        if kind == "ready":
            worker.ready = True
        elif kind == "checked":
            self.checking, self.checked, self.early = None, True, 0
        elif kind == "said":
            yield Event("said", worker.spec, reason=answer["sentence"])
        elif kind == "done":
            spec, worker.spec, self.early = worker.spec, None, 0
            yield Event("done", spec, seconds=answer["seconds"])
        else:
            spec, worker.spec = worker.spec, None
            yield Event("failed", spec, reason=answer["reason"], traceback=answer["traceback"])

    def _died(self, worker: _Worker) -> Iterator[Event]:
        with suppress(subprocess.TimeoutExpired):  # it closed its output: how it ends by itself is the reason
            worker.process.wait(ENDING)
        worker.process.kill()
        last = self._bury(worker)
        if worker is self.checking:
            self.checking = None
        spec = worker.spec
        if spec is None:
            self.early += 1
            if self.early >= EARLY_DEATHS:
                raise UserError(f"the worker processes end before they can work ({last}); see that memory suffices")
            return
        self.deaths[spec] = self.deaths.get(spec, 0) + 1
        if self.deaths[spec] < ATTEMPTS:
            self.pending.appendleft(spec)
        else:
            yield Event("failed", spec, reason=f"its worker process died {ATTEMPTS} times: {last}")

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
