"""Runs done by a pool of workers, with a note beside the results for every run that failed."""

from __future__ import annotations

import json
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path

from unilth.sims.pool import Event, Pool
from unilth.sims.results import Store, run_name
from unilth.sims.spec import RunSpec
from unilth.sims.whole import write


def worked(pool: Pool, store: Store, specs: Sequence[RunSpec]) -> Generator[Event, None, None]:
    """Do all runs, yielding what happens; a failed run is noted under ``failed/``, a later success removes the note.

    Close the iterator and every worker is killed.
    """
    with closing(pool.work(specs)) as events:
        for event in events:
            if event.spec is not None and event.kind == "failed":
                note_failure(store, event.spec, event.reason, event.traceback)
            elif event.spec is not None and event.kind == "done":
                failure(store, event.spec).unlink(missing_ok=True)
            yield event


def failure(store: Store, spec: RunSpec) -> Path:
    """Where the note of a failed run is or would be."""
    return store.root / "failed" / f"{run_name(spec)}.json"


def note_failure(store: Store, spec: RunSpec, reason: str, traceback: str = "") -> None:
    """Write down why the run of ``spec`` failed, where there is room: whoever looks on is told it in any case."""
    note = {"spec": asdict(spec), "reason": reason, "traceback": traceback.splitlines()}
    with suppress(OSError):
        write_whole(failure(store, spec), json.dumps(note, indent=2, sort_keys=True) + "\n")


def write_whole(path: Path, text: str) -> None:
    """Put ``text`` at ``path`` all at once, in a folder that is made if need be; the OSError of a failure names it."""
    path.parent.mkdir(exist_ok=True)
    write(path, text.encode())
