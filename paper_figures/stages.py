"""A reproduction as stages: each is skipped where its result is there and what it depends on is the same."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.paper_figures import manifest


@dataclass(frozen=True)
class Outcome:
    """What a stage did, in words, and what is wrong with the result ("" if nothing is)."""

    what: str
    problem: str = ""


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


def run_stages(out: Path, stages: Sequence[Stage], facts: dict[str, Any], say: Say) -> bool:
    """Run the stages in order, keeping `out`'s manifest up to date; True if no stage has a problem.

    A stage that raises is recorded as failed and the next one runs: the report must be written whatever happens.
    Interrupts and missing libraries are not the stage's fault and end the reproduction.
    """
    whole = {**manifest.read(out), **facts}
    entries: dict[str, Any] = whole["stages"]
    for stage in stages:
        wanted, before = stage.inputs(), entries.get(stage.name, {})
        if before.get("status") == "done" and before.get("inputs") == wanted and unchanged(out, stage, before):
            say(stage.name, "skipped", before)
            continue
        entries[stage.name] = {"status": "interrupted", "inputs": wanted, "started": manifest.now()}
        manifest.write(out, whole)
        say(stage.name, "started", entries[stage.name])
        began = time.monotonic()
        outcome = attempt(stage)
        entries[stage.name] |= {
            "status": "failed" if outcome.problem else "done",
            "what": outcome.what,
            "problem": outcome.problem,
            "seconds": round(time.monotonic() - began, 3),
            "finished": manifest.now(),
            "outputs": {path.relative_to(out).as_posix(): sha256(path) for path in stage.outputs() if path.is_file()},
        }
        manifest.write(out, whole)
        say(stage.name, "finished", entries[stage.name])
    return all(entries[stage.name].get("status") == "done" for stage in stages)


def attempt(stage: Stage) -> Outcome:
    """Run one stage; an exception becomes its problem."""
    try:
        return stage.run()
    except ModuleNotFoundError:
        raise  # the front door says which extra to install
    except (UserError, OSError) as error:
        return Outcome("", str(error))
    except Exception as error:
        return Outcome("", f"{type(error).__name__}: {error}")


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
