"""A reproduction as stages: each is skipped where its result is there and what it depends on is the same."""

from __future__ import annotations

import hashlib
import multiprocessing
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.paper_figures import manifest


@dataclass(frozen=True)
class Outcome:
    """What a stage did, in words, and what is wrong with the result ("" if nothing is); a defect has a traceback."""

    what: str
    problem: str = ""
    traceback: str = ""


@dataclass(frozen=True)
class Stage:
    """One step. ``inputs`` gives the digest of everything that its result depends on.

    ``run`` does the work and must itself go on where it was killed.
    ``outputs`` are the files to compare before skipping; ``complete`` is a further condition on skipping.
    """

    name: str
    inputs: Callable[[], str]
    run: Callable[[], Outcome]
    outputs: Callable[[], Sequence[Path]] = field(default=tuple)
    complete: Callable[[], bool] = field(default=lambda: True)


Say = Callable[[str, str, dict[str, Any]], None]  # stage, event (skipped, started, finished), the manifest's entry


def run_stages(out: Path, groups: Sequence[Sequence[Stage]], facts: dict[str, Any], say: Say) -> bool:
    """Run the groups in order, the stages of a group at the same time; True if no stage has a problem.

    `out`'s manifest is kept up to date. A stage that raises is recorded as failed and the next one runs: the report
    must be written whatever happens. Interrupts and missing libraries are not the stage's fault and end everything.
    """
    book = Book(out, {**manifest.read(out), **facts}, say)
    for group in groups:
        if len(group) == 1:  # in this thread, which is the one that an interrupt reaches
            book.settle(group[0])
            continue
        with ThreadPoolExecutor(len(group)) as threads:
            running = [threads.submit(book.settle, stage) for stage in group]
            try:
                for done in running:
                    done.result()
            except KeyboardInterrupt:
                book.interrupted = True
                for child in multiprocessing.active_children():  # else the pools would finish what they have queued
                    child.terminate()
                raise
    return all(book.entries[stage.name].get("status") == "done" for group in groups for stage in group)


class Book:
    """The manifest while stages run, perhaps several at a time; only one of them writes at once."""

    def __init__(self, out: Path, whole: dict[str, Any], say: Say) -> None:
        self.out, self.whole, self.say = out, whole, say
        self.entries: dict[str, Any] = whole["stages"]
        self.lock = threading.Lock()
        self.interrupted = False  # set from another thread: what ends from then on did not end by itself

    def note(self, stage: str, event: str, entry: dict[str, Any]) -> None:
        """Put an entry into the manifest on disk and say so."""
        with self.lock:
            if event != "skipped":
                self.entries[stage] = entry
                manifest.write(self.out, self.whole)
            self.say(stage, event, entry)

    def settle(self, stage: Stage) -> None:
        """Skip or run one stage."""
        wanted, before = stage.inputs(), self.entries.get(stage.name, {})
        if before.get("status") == "done" and before.get("inputs") == wanted and unchanged(self.out, stage, before):
            self.note(stage.name, "skipped", before)
            return
        entry: dict[str, Any] = {"status": "interrupted", "inputs": wanted, "started": manifest.now()}
        self.note(stage.name, "started", entry)
        began = time.monotonic()
        outcome = attempt(stage)
        if self.interrupted:
            return
        written: dict[str, str] = {
            path.relative_to(self.out).as_posix(): sha256(path) for path in stage.outputs() if path.is_file()
        }
        entry = {
            **entry,
            "status": "failed" if outcome.problem else "done",
            "what": outcome.what,
            "problem": outcome.problem,
            "traceback": outcome.traceback.splitlines(),
            "seconds": round(time.monotonic() - began, 3),
            "finished": manifest.now(),
            "outputs": written,
        }
        self.note(stage.name, "finished", entry)


def attempt(stage: Stage) -> Outcome:
    """Run one stage; an exception becomes its problem."""
    try:
        return stage.run()
    except ModuleNotFoundError:
        raise  # the front door says which extra to install
    except (UserError, OSError) as error:
        return Outcome("", str(error))
    except Exception as error:
        return Outcome("", f"{type(error).__name__}: {error}", traceback.format_exc())


def unchanged(out: Path, stage: Stage, before: dict[str, Any]) -> bool:
    """Whether every file that the stage wrote is as it left it."""
    outputs = before.get("outputs")
    if not isinstance(outputs, dict):
        return False
    expected = {path.relative_to(out).as_posix() for path in stage.outputs()}
    same = all((out / name).is_file() and sha256(out / name) == digest for name, digest in outputs.items())
    return same and expected == set(outputs) and stage.complete()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
