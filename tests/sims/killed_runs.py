"""Runs that are killed in the middle."""

from __future__ import annotations

from pathlib import Path

import pytest

from unilth.sims import checkpoints
from unilth.sims.one_run import find_into
from unilth.sims.spec import RunSpec


class Killed(BaseException):
    """A kill, as far as a process can do that to itself."""


SPEC = RunSpec("unilth", epochs=6, batch=256, patience=1, rounds=2)


def interrupted(folder: Path, epoch: int = 4) -> Path:
    """A folder in which the run of `SPEC` was killed after ``epoch``."""

    def progress(done: int, total: int, what: str) -> None:
        if done == epoch:
            raise Killed

    with pytest.raises(Killed):
        find_into(SPEC, folder, progress=progress, every=0)
    return folder / checkpoints.FILE
