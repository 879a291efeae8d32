"""Finished runs on disk: one folder per run, written all at once or not at all, checked before it is believed.

A run's folder holds ``record.json`` and the ticket's files. It is written under a temporary name and renamed, so that a
folder with a readable name is a finished run. A folder that cannot be believed raises ``DamagedRecord`` in every
reader; a sweep moves it to ``damaged/`` and repeats the run. Nothing here imports torch.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.sims.records import REMEDY, SCHEMA, DamagedRecord, Record, distinct, dump, read_record, remove_parts
from unilth.sims.spec import RunSpec

RECORD = "record.json"
TEMPORARY = ".tmp-"
SMALL = {"checkpoints": "safetensors", "campaigns": "toml", "failed": "json", "slurm": "json"}  # folder: file type
A_DAY = 86_400.0  # seconds after which a temporary folder counts as dead where folders cannot be locked


@dataclass(frozen=True)
class Store:
    """The directory that holds finished runs; ``UserError`` at construction if ``root`` is something else."""

    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        if not self.root.is_dir() and (self.root.exists() or self.root.is_symlink()):
            raise UserError(f"{str(self.root)!r} is not a directory; name a new or existing directory for the results")

    def create(self) -> None:
        """Make the directory (and its parents); ``UserError`` where that is impossible."""
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"the results directory {str(self.root)!r} cannot be made ({error.strerror}); name a writable one"
            ) from None

    def folder(self, spec: RunSpec) -> Path:
        """Where the run of ``spec`` is or will be."""
        return self.root / run_name(spec)

    def checkpoint(self, spec: RunSpec) -> Path:
        """Where the run of ``spec`` keeps its checkpoint until it is finished."""
        return self.root / "checkpoints" / f"{run_name(spec)}.safetensors"

    def finished(self, spec: RunSpec) -> Record | None:
        """The record of ``spec`` if its run is finished, None if there is none; ``DamagedRecord`` if it is no use.

        Of the ticket's files only the sizes are compared; `unilth check` and `Ticket.load` read what is in them.
        """
        folder = self.folder(spec)
        if not folder.exists():
            return None
        record = read_record(folder / RECORD)
        if record["spec_digest"] != spec.digest():
            raise DamagedRecord(f"the record {str(folder / RECORD)!r} belongs to another run than its folder; {REMEDY}")
        if "files" not in record:
            raise DamagedRecord(
                f"the record {str(folder / RECORD)!r} has no list of files, so no sweep wrote it: rename its folder"
            )
        for name, size in record["files"].items():
            path = folder / name
            if not path.is_file() or path.stat().st_size != size:
                raise DamagedRecord(
                    f"the file {str(path)!r} is missing or has another size than its record says; {REMEDY}"
                )
        return record

    def write(self, spec: RunSpec, record: Mapping[str, Any], save: Callable[[Path], object] | None = None) -> Path:
        """Store a finished run; ``save(folder)`` writes the ticket's files. Returns the run's folder.

        Files and folder are on the disk (fsync) before the rename makes them visible. If another process finished the
        same run meanwhile, its record stays and this one is dropped: the same spec gives the same record.
        """
        final = self.folder(spec)
        temporary = self.root / f"{TEMPORARY}{secrets.token_hex(8)}"
        temporary.mkdir()
        alive = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        with suppress(OSError):  # where a directory cannot be locked, `clean` goes by age
            fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
        try:
            if save is not None:
                save(temporary)
            files = {path.name: path.stat().st_size for path in sorted(temporary.iterdir())}
            head = {"schema": SCHEMA, "spec_digest": spec.digest(), "spec": asdict(spec), "files": files}
            (temporary / RECORD).write_text(dump({"timing": {}} | dict(record) | head), encoding="utf-8")
            for path in (*temporary.iterdir(), temporary):
                _sync(path)
            try:
                os.rename(temporary, final)
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
                if not self._believed(spec):
                    self.set_aside(spec)
                    os.rename(temporary, final)
            _sync(self.root)
        finally:
            os.close(alive)
            shutil.rmtree(temporary, ignore_errors=True)
        return final

    def set_aside(self, spec: RunSpec) -> Path:
        """Move the unusable folder of ``spec`` under ``damaged/``, where no reader looks, and return its new place."""
        aside = self.root / "damaged"
        aside.mkdir(exist_ok=True)
        target = aside / f"{run_name(spec)}-{secrets.token_hex(4)}"
        os.rename(self.folder(spec), target)
        return target

    def records(self) -> list[Record]:
        """The record of every finished run, also of `unilth find`, by folder name; each run once, as `distinct` says.

        A damaged one raises ``DamagedRecord`` that says the remedy.
        """
        if not self.root.is_dir():
            raise UserError(f"there is no directory {str(self.root)!r}; name the directory that a sweep wrote to")
        folders = sorted(path for path in self.root.iterdir() if not path.name.startswith("."))
        paths = [folder / RECORD for folder in folders if (folder / RECORD).exists()]
        return distinct((repr(str(path)), read_record(path)) for path in paths)

    def clean(self) -> int:
        """Remove the temporary folders of writers that are dead, and half-written small files; how many folders.

        A writer holds a lock on its temporary folder, which the kernel lets go when it dies; so a process number that
        was given away again, or a zombie, does not count as alive.
        """
        dead = [path for path in self.root.glob(TEMPORARY + "*") if _is_dead(path)]
        for path in dead:
            shutil.rmtree(path, ignore_errors=True)
        for folder, ending in SMALL.items():
            remove_parts(self.root / folder, rf".+\.{ending}")
        return len(dead)

    def _believed(self, spec: RunSpec) -> bool:
        try:
            return self.finished(spec) is not None
        except DamagedRecord:
            return False


def run_name(spec: RunSpec) -> str:
    """A readable name that is safe as a file name: recipe-network-data-s0.9-seed3-<first 8 of the digest>."""
    words = (spec.recipe, spec.network, spec.data)
    readable = [re.sub(r"[^A-Za-z0-9_+.-]+", "_", word)[:40].lstrip(".") or "_" for word in words]
    return "-".join([*readable, f"s{spec.sparsity:g}", f"seed{spec.seed}", spec.digest()[:8]])


def _is_dead(temporary: Path) -> bool:
    """Whether nobody writes this folder any more."""
    try:
        descriptor = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # renamed or removed meanwhile
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    except BlockingIOError:
        return False
    except OSError:  # some network file systems
        return time.time() - os.fstat(descriptor).st_mtime > A_DAY
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
