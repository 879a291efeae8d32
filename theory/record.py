"""What is worth keeping of a proof that was run: all but the times, so that it is the same wherever it is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from unilth.theory.ledger import Entry, Ledger

MARKS = {True: "holds", False: "refuted", None: "undecided"}


@dataclass(frozen=True)
class Part:
    """One piece of evidence: what was shown, at which level, with which verdict, and what exactly was covered."""

    what: str
    level: str
    verdict: str
    scope: str


@dataclass(frozen=True)
class Record:
    """A theorem as settled. `refuted` says what the check found wrong with the near miss."""

    status: str
    level: str
    near_miss: str
    refuted: str
    witness: str
    evidence: tuple[Part, ...]
    constants: Mapping[str, tuple[str, str]]
    reasons: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(row: Mapping[str, Any]) -> Record:
        """What `to_json` gave, after a journey through JSON."""
        return Record(
            row["status"], row["level"], row["near_miss"], row["refuted"], row["witness"],
            tuple(Part(**part) for part in row["evidence"]),
            {name: (lower, upper) for name, (lower, upper) in row["constants"].items()}, tuple(row["reasons"]),
        )  # fmt: skip


def record(entry: Entry) -> Record:
    """The record of one entry."""
    near = next((part for part in entry.near_miss_evidence if part.holds is False), None)
    refuted = ""
    if near is not None:  # the digits of a simulation are the machine's, those of a proof are not
        refuted = f"{near.what}: {near.detail}" if near.level.proves and near.detail else near.what
    return Record(
        entry.status, entry.level.value, entry.near_miss, refuted, entry.witness,
        tuple(Part(part.what, part.level.value, MARKS[part.holds], part.scope) for part in entry.evidence),
        entry.constants, entry.reasons,
    )  # fmt: skip


def records(ledger: Ledger) -> dict[str, Record]:
    """The records of a ledger by theorem, in its order."""
    return {entry.id: record(entry) for entry in ledger.entries}
