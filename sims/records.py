"""A run's record as text: written one way, and read with nothing taken on trust.

No torch here: tables, figures and reports read records where torch is not installed.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.sims.spec import RunSpec

SCHEMA = 1
LARGEST = 16 * 2**20  # bytes of one record; a record of hundreds of epochs is some 100 kB
LONGEST = 1e12  # seconds of one run, more than 30,000 years; sums over such times are still numbers
NUMBER = (int, float)
REMEDY = "run the sweep again to repeat this run, restore it, or move its folder away"
DIGITS = 100  # of a whole number; those of a record count epochs, weights and bytes

Record = dict[str, Any]


class DamagedRecord(UserError):
    """A record that cannot be believed: unreadable, incomplete, or of another run than its folder's name says."""


def dump(value: Mapping[str, Any]) -> str:
    """The one way a record is written: sorted keys, two spaces, shortest exact floats, NaN and infinities as null."""
    return json.dumps(_plain(value), sort_keys=True, indent=2, allow_nan=False) + "\n"


def read_record(path: Path) -> Record:
    """Read one record; its size, encoding, JSON and required fields are checked.

    Raises ``DamagedRecord``, whose sentence names the file, what is wrong and the remedy.
    """
    try:
        record = read_json(path)
    except UserError as error:
        raise DamagedRecord(f"the record {error}; {REMEDY}") from None
    problem = problem_of(record)
    if problem:
        raise DamagedRecord(f"the record {str(path)!r} {problem}; {REMEDY}")
    return record


def read_json(path: Path, *, largest: int = LARGEST) -> Any:
    """A JSON file of at most ``largest`` bytes; ``UserError`` if it is missing, larger, no regular file or no JSON."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would block for ever
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be read ({error.strerror})") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UserError(f"{str(path)!r} is not a file")
        if status.st_size > largest:
            raise UserError(f"{str(path)!r} has {status.st_size:,} bytes, more than the {largest:,} allowed")
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            content = file.read(largest)
    finally:
        os.close(descriptor)
    try:
        return parsed(content)
    except UserError as error:
        raise UserError(f"{str(path)!r} {error}") from None


def parsed(content: bytes) -> Any:
    """The value of a JSON text; ``UserError``, the end of a sentence, where it is none or has no number for a number.

    1e999 would come back as an infinity and 400 digits as a whole number that no float can hold; nothing that `dump`
    writes has either, and sums over them raise.
    """
    try:
        return json.loads(
            content.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite, parse_int=_no_giant
        )
    except RecursionError:
        raise UserError("is nested too deeply") from None
    except _Infinite as error:
        raise UserError(f"holds a number that is not finite or no measurement ({str(error)[:20]})") from None
    except ValueError:
        raise UserError("is not JSON") from None


def remove_parts(folder: Path, name: str) -> None:
    """Remove what writers that were killed left half-written (see `whole.write`) of files whose name is ``name``.

    ``name`` is a regular expression. Only for those who hold the folder's lock: a live writer would lose its file.
    """
    for path in folder.glob(".*"):
        if re.fullmatch(rf"\.{name}\.[a-z0-9_]{{8}}", path.name):
            path.unlink(missing_ok=True)


def problem_of(record: Any) -> str | None:
    """What is wrong with a record, as the end of a sentence; None if it can be used."""
    if not isinstance(record, dict):
        return "is not a JSON object"
    if record.get("schema") != SCHEMA:
        return f"has schema {str(record.get('schema'))[:20]}, and this version reads {SCHEMA}"
    digest = record.get("spec_digest")
    if not isinstance(digest, str) or not re.fullmatch(r"[0-9a-f]{64}", digest):
        return "has no spec_digest"
    problem = _problem_of_timing(record.get("timing")) or _problem_of_test(record)
    if problem:
        return problem
    spec = record.get("spec")
    if not isinstance(spec, dict):
        return "has no spec"
    for field in ("recipe", "network", "data"):
        if not isinstance(spec.get(field), str):
            return f"has no {field} in its spec"
    if type(spec.get("seed")) is not int:
        return "has no whole seed in its spec"
    sparsity = spec.get("sparsity")
    if isinstance(sparsity, bool) or not isinstance(sparsity, int | float) or not 0.0 <= sparsity < 1.0:
        return "has no sparsity in [0, 1) in its spec"
    files = record.get("files", {})  # `unilth find` lists none: its ticket's digest says more
    if not isinstance(files, dict):
        return "has no list of files"
    for name, size in files.items():
        if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", name) or type(size) is not int:
            return "has a list of files with an impossible name or size"
    try:
        same = RunSpec.from_dict(spec).digest() == digest
    except UserError as error:
        return f"has a spec that cannot be used: {error}"
    return None if same else "belongs to another run than its spec_digest says"


def _problem_of_timing(timing: Any) -> str | None:
    if not isinstance(timing, dict):
        return "has no timing"
    for name, value in timing.items():
        if isinstance(value, int | float) and value < 0:
            return f"has a timing.{name:.20} of {value}, and no time is negative"
    seconds = timing.get("seconds", 0)
    if type(seconds) not in NUMBER:
        return "has a timing.seconds of a wrong type"
    return None if seconds <= LONGEST else f"has a timing.seconds of {seconds!r:.20}, and no run takes that long"


def _problem_of_test(record: Record) -> str | None:
    """A run that was tested has an accuracy; its loss is null where it was not finite."""
    if "test" not in record:
        return None
    test = record["test"]
    if not isinstance(test, dict) or "accuracy" not in test:
        return "has no test.accuracy"
    for name, kinds in (("accuracy", NUMBER), ("loss", (*NUMBER, type(None)))):
        if type(test.get(name)) not in kinds:
            return f"has a test.{name} of a wrong type"  # true is no number
    return None


def distinct(found: Iterable[tuple[str, Record]]) -> list[Record]:
    """The records, each with where it is, without what is there twice; ``UserError`` for two of one run that differ.

    One may be the copy of the other, or from another machine: which is true cannot be told from here. The time that a
    run took and the list of its files, which only a sweep writes, may differ.
    """
    kept: dict[str, tuple[str, Record]] = {}
    for where, record in found:
        first, other = kept.setdefault(record["spec_digest"], (where, record))
        odd = [key for key in sorted(record.keys() | other.keys()) if record.get(key) != other.get(key)]
        odd = [key for key in odd if key not in ("timing", "files")]
        if odd:
            raise UserError(
                f"{first} and {where} are records of one run and differ in {', '.join(odd)}: move one of them away"
            )
    return [record for _, record in kept.values()]


def _plain(value: Any) -> Any:
    """The value as JSON has it: tuples are lists, and what is no finite number is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


class _Infinite(ValueError):
    """A number that is too large to be one."""


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Infinite(text)
    return value


def _no_giant(text: str) -> int:
    if len(text) > DIGITS:
        raise _Infinite(text)
    return int(text)
