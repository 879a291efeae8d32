"""One run into one folder: ticket.safetensors, ticket.json and record.json, never over another ticket."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.sims import devices, networks, own_score, tickets, zoo
from unilth.sims.checkpoints import FILE, SECONDS, spec_of
from unilth.sims.data import DATA, load
from unilth.sims.execute import execute
from unilth.sims.find import Progress
from unilth.sims.lock import locked
from unilth.sims.records import dump, problem_of, read_json, remove_parts
from unilth.sims.shown import unshowable
from unilth.sims.spec import RunSpec, closest
from unilth.sims.whole import write

RECORD = "record.json"
PROBE = ".probe"  # of earlier versions
FILES = (FILE, tickets.TENSORS, tickets.FACTS, RECORD)


def find_into(
    spec: RunSpec,
    folder: Path,
    data_dir: Path | None = None,
    progress: Progress | None = None,
    *,
    device: str = "cpu",
    every: float = SECONDS,
    say: Callable[[str], None] | None = None,
) -> tuple[dict[str, Any], bool]:
    """Do the run of ``spec`` unless ``folder`` already holds it; the record, and whether it was done now.

    A run that was interrupted goes on from its checkpoint in ``folder``, which is written every ``every`` seconds and
    removed in the end; ``say`` gets a sentence where it cannot be used. ``device`` is auto, cpu, cuda, cuda:N or mps.
    Where a ``data_dir`` is given, a finished run must have been on the data that are there now.
    UserError, before any training, for a spec that cannot be run and for a folder that holds another ticket or another
    run's checkpoint, cannot be written or is in use by another run.
    """
    zoo.recipe(spec)
    device = devices.chosen(device)
    networks.lookup(spec.network)
    if spec.data not in DATA:
        raise UserError(f"there is no data {spec.data!r}{closest(spec.data, DATA)}")
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {folder} is a file: give a folder")
    for name in FILES:
        if (folder / name).is_dir():  # said now: writing the file would fail after the training
            raise UserError(f"--out {folder} holds a folder {name}, where a run has a file: give another folder")
    found = _finished(spec, folder, data_dir, say)  # before anything is written: the folder need not be writable
    if found is not None:
        _tidy(spec, folder)
        return found, False
    _make(folder)
    with locked(folder, name="--out", by="run"):
        found = _finished(spec, folder, data_dir, say)  # by a run that had the lock until now
        if found is not None:
            return found, False
        remove_parts(folder, "(" + "|".join(map(re.escape, (*FILES, PROBE))) + ")")
        checkpoint = folder / FILE
        if spec_of(checkpoint) not in (None, spec.digest()):
            raise UserError(
                f"--out {folder} holds the checkpoint of another run, which was interrupted: give another folder, or "
                f"remove {checkpoint} to give that run up"
            )
        ticket, record = execute(
            spec, data_dir=data_dir, progress=progress, device=device, checkpoint=checkpoint, every=every, hold=True,
            say=say,
        )  # fmt: skip
        found = _finished(spec, folder, data_dir, say)  # by what knows no lock: a copy, a process on another machine
        if found is not None:
            checkpoint.unlink(missing_ok=True)
            return found, False
        try:
            ticket.save(folder)
            write(folder / RECORD, dump(record).encode())  # last, so that a record means a whole ticket
        except BaseException as error:
            if not checkpoint.exists() and not (folder / tickets.FACTS).exists():
                (folder / tickets.TENSORS).unlink(missing_ok=True)  # alone nothing would tell whose it is
            if not isinstance(error, OSError):
                raise
            raise UserError(
                f"{error.filename} cannot be written ({error.strerror}): make room and run the same command again"
            ) from None
        checkpoint.unlink(missing_ok=True)
    return record, True


def _make(folder: Path) -> None:
    """Make the folder; UserError where it cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK | os.X_OK)
        if writable:
            with tempfile.TemporaryFile(dir=folder):  # also finds read-only file systems; it has no name to be left
                pass
    except OSError as error:
        raise UserError(f"--out {folder} cannot be written: {error.strerror}") from None
    if not writable:
        raise UserError(f"--out {folder} cannot be written: give a folder of yours")


def _tidy(spec: RunSpec, folder: Path) -> None:
    """Remove the checkpoint that a kill left beside the record; where the folder cannot be written it stays."""
    checkpoint = folder / FILE
    if spec_of(checkpoint) == spec.digest():
        with suppress(OSError, UserError), locked(folder, name="--out", by="run"):
            checkpoint.unlink(missing_ok=True)


def _finished(
    spec: RunSpec, folder: Path, data_dir: Path | None, say: Callable[[str], None] | None
) -> dict[str, Any] | None:
    """The record of the same spec; None in an empty folder and where an interrupted run of the spec left no record.

    UserError for a ticket of another run or of nobody knows which, for this one on other data, and for one that is
    damaged.
    """
    if not any((folder / name).exists() for name in (tickets.TENSORS, tickets.FACTS, RECORD)):
        return None
    code = {"network": networks.origin(spec.network), "score": own_score.origin(str(zoo.recipe(spec).mask.score))}
    other = UserError(f"--out {folder} already holds a different ticket: give another folder")
    alone = UserError(
        f"--out {folder} holds a {tickets.TENSORS} with no {tickets.FACTS} that tells whose it is: give another "
        "folder, or move it away"
    )
    try:
        if not (folder / RECORD).exists():
            if not (folder / tickets.FACTS).exists():  # the tensors are written first, and the checkpoint removed last
                if spec_of(folder / FILE) != spec.digest():
                    raise alone
                return None
            left = tickets.read_facts(folder)["spec"]
            if left is None or _spec(left, folder / tickets.FACTS) != spec:
                raise other
            return None
        record = read_json(folder / RECORD)
        if not isinstance(record, dict):
            raise UserError(f"{str(folder / RECORD)!r} is not a JSON object")
        if _spec(record.get("spec"), folder / RECORD) != spec or not _same_code(code, record):
            raise other
        problem = problem_of(record) or unshowable(record)
        if problem:
            raise UserError(f"{str(folder / RECORD)!r} {problem}")
        if tickets.Ticket.load(folder).digest() != record["ticket_digest"]:
            raise other
    except UserError as error:
        if error in (other, alone):
            raise
        raise UserError(
            f"--out {folder} holds a damaged run ({error}): give another folder, or remove these files"
        ) from None
    if data_dir is not None:  # without it there are no other data to be meant, and loading takes seconds
        _compare_data(record, spec, folder, data_dir, say)
    return record


def _spec(values: Any, path: Path) -> RunSpec:
    """The spec in a file; UserError names the file."""
    try:
        return RunSpec.from_dict(values)
    except UserError as error:
        raise UserError(f"{str(path)!r}: {error}") from None


def _same_code(code: dict[str, dict[str, Any]], record: dict[str, Any]) -> bool:
    """Whether network and score are those of the record: what is the user's own may be another by now."""
    then = {part: record.get(part, {}) for part in code}
    return all(isinstance(then[part], dict) and then[part].get("sha256") == code[part].get("sha256") for part in code)


def _compare_data(
    record: dict[str, Any], spec: RunSpec, folder: Path, data_dir: Path, say: Callable[[str], None] | None
) -> None:
    """UserError where the data in ``data_dir`` are others than those of the record; said where they cannot be read."""
    try:
        data = load(spec.data, data_dir)
        now = (data if spec.examples is None else data.part(spec.examples)).digest()
    except UserError as error:
        if say:
            say(f"{error}: the data are not compared with those of the finished run")
        return
    then = str(record.get("data_digest"))
    if now != then:
        raise UserError(
            f"--out {folder} holds this run on other data (digest {then[:12]}, now {now[:12]}): give another folder"
        )
