"""A tape that keeps what searches found, so that it can be checked again without searching.

Searching is slow and may be clever; checking is quick and simple. While a tape records, every search of
`unilth.theory.certify` leaves its partition, point or enclosure on it, in order; while it is replayed, the same calls
take the recorded certificate and only verify it. A certificate that does not fit makes its call undecided, never true.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any


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
