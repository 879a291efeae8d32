"""A tape that keeps what searches found, so that it can be checked again without searching.

Searching is slow and may be clever; checking is quick and simple. While a tape records, every search of
`unilth.theory.certify` leaves its partition, point or enclosure on it, in order; while it is replayed, the same calls
take the recorded certificate and only verify it. A certificate that does not fit makes its call undecided, never true.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from unilth.errors import UserError


@dataclass
class Tape:
    """Certificates in the order of the calls; `position` is the next one to be replayed (None while recording)."""

    entries: list[dict[str, Any]] = field(default_factory=list)
    position: int | None = None


_TAPE: ContextVar[Tape | None] = ContextVar("tape", default=None)


@contextmanager
def running(tape: Tape) -> Iterator[Tape]:
    """Record on, or replay from, `tape` within this block."""
    token = _TAPE.set(tape)
    try:
        yield tape
    finally:
        _TAPE.reset(token)


def recorded(kind: str, certificate: dict[str, Any]) -> None:
    """Keep a certificate, if a tape is recording."""
    tape = _TAPE.get()
    if tape is not None and tape.position is None:
        tape.entries.append({"kind": kind, **certificate})


def replayed(kind: str) -> dict[str, Any] | None:
    """The next recorded certificate, or None where no tape is being replayed.

    A certificate of another kind, or none left, is answered with one that no check accepts.
    """
    tape = _TAPE.get()
    if tape is None or tape.position is None:
        return None
    entry = tape.entries[tape.position] if tape.position < len(tape.entries) else {}
    tape.position += 1
    if entry.get("kind") != kind:
        return {"cuts": [], "at": "0", "lower": "0", "upper": "0"}
    return entry


# --- on disk --------------------------------------------------------------------------------------------------------

KEYS = {
    "bounded": ("cuts",), "positive": ("cuts",), "monotone": ("cuts",), "supremum": ("cuts", "at"),
    "root": ("lower", "upper"),
}  # fmt: skip
NUMBER = re.compile(r"-?[0-9]{1,400}(/[0-9]{1,400})?")  # as str(Fraction) writes it; "1e999999999" would never end
LARGEST = 64 * 2**20  # bytes of one file


INDEX = "index.json"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,99}")  # a theorem's id, which becomes a file's name


def write(folder: Path, tapes: Mapping[str, Tape]) -> None:
    """Write one JSON file for every theorem that searched, and the index of all; files of others are removed.

    The index says how many certificates each theorem has (0: it searches nothing), so that a lost file is noticed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("*.certificate.json"), *folder.glob(INDEX)):
        old.unlink()
    for name, tape in tapes.items():
        if tape.entries:
            text = json.dumps({"schema": 1, "theorem": name, "certificates": tape.entries}, separators=(",", ":"))
            (folder / f"{name}.certificate.json").write_text(text + "\n", encoding="utf-8")
    counts = {name: len(tape.entries) for name, tape in tapes.items()}
    (folder / INDEX).write_text(json.dumps({"schema": 1, "theorems": counts}, indent=1) + "\n", encoding="utf-8")


def read(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """The certificates of a folder by theorem, none for one that searched nothing.

    Untrusted: sizes, names and numbers are checked, and files must be those of the index. UserError otherwise.
    """
    if not folder.is_dir():
        raise UserError(f"there is no folder {str(folder)!r}; `unilth prove --certificates DIR` writes one")
    if not (folder / INDEX).is_file():
        raise UserError(f"{str(folder)!r} holds no certificates; `unilth prove --certificates DIR` writes them")
    counts = _counts(folder / INDEX)
    there = {path.name.removesuffix(".certificate.json") for path in folder.glob("*.certificate.json")}
    for name in sorted(there ^ {name for name, count in counts.items() if count}):
        what = "is not in its index" if name in there else "is missing"
        raise UserError(f"the certificate of {name!r} {what} in {str(folder)!r}; write it again with --certificates")
    found: dict[str, list[dict[str, Any]]] = {}
    for name, count in counts.items():
        found[name] = _entries(folder / f"{name}.certificate.json") if count else []
        if len(found[name]) != count:
            raise UserError(
                f"{name!r} has {len(found[name])} certificates in {str(folder)!r}, its index says {count}; "
                "write it again with --certificates"
            )
    return found


def _json(path: Path) -> Any:
    if path.stat().st_size > LARGEST:
        raise UserError(f"the certificate {str(path)!r} is larger than {LARGEST} bytes; it is none of ours")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise UserError(
            f"the certificate {str(path)!r} is not JSON: {error}; write it again with --certificates"
        ) from None


def _counts(path: Path) -> dict[str, int]:
    content = _json(path)
    counts = content.get("theorems") if isinstance(content, dict) and content.get("schema") == 1 else None
    if not isinstance(counts, dict) or not all(
        NAME.fullmatch(name) and type(count) is int and count >= 0 for name, count in counts.items()
    ):
        raise UserError(f"{str(path)!r} is not an index of schema 1; write it again with --certificates")
    return counts


def _entries(path: Path) -> list[dict[str, Any]]:
    content = _json(path)
    name = path.name.removesuffix(".certificate.json")
    entries = content.get("certificates") if isinstance(content, dict) else None
    if not isinstance(entries, list) or content.get("schema") != 1 or content.get("theorem") != name:
        raise UserError(
            f"{str(path)!r} is not a certificate of schema 1 of {name!r}; write it again with --certificates"
        )
    for entry in entries:
        if not _well_formed(entry):
            raise UserError(f"{str(path)!r} has a malformed certificate; write it again with --certificates")
    return entries


def _well_formed(entry: Any) -> bool:
    kind = entry.get("kind") if isinstance(entry, dict) else None
    if not isinstance(kind, str) or set(entry) != {"kind", *KEYS.get(kind, ())} or kind not in KEYS:
        return False
    numbers = [n for key in KEYS[entry["kind"]] for n in (entry[key] if isinstance(entry[key], list) else [entry[key]])]
    lists = isinstance(entry.get("cuts", []), list)
    return lists and all(isinstance(n, str) and NUMBER.fullmatch(n) and not n.endswith("/0") for n in numbers)
