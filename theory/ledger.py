"""The ledger: every theorem settled, with near miss, witness and dependencies, and every claim recomputed.

A theorem is *proved* if all its evidence holds at a level that proves and so do the theorems it depends on (its level
is the weakest link), *supported* if it holds at a weaker level, *undecided* if something ran out of precision or
budget, *failed* otherwise: something is refuted, an exception, a near miss that the check does not refute (a check that
cannot fail proves nothing; "undecided" is not a refutation), a witness that misses a hypothesis.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.theory import certificates
from unilth.theory.claims import CLAIMS, Claim
from unilth.theory.evidence import Drop, Evidence, Level, Move, Theorem
from unilth.theory.theorems import THEOREMS
from unilth.theory.workers import spread

STATUSES = ("proved", "supported", "undecided", "failed")


@dataclass(frozen=True)
class Entry:
    """One theorem as settled. `own` is its own evidence's level, `level` the weakest link with its dependencies."""

    id: str
    catalogue: str
    title: str
    status: str
    level: Level
    own: Level
    near_miss: str
    evidence: tuple[Evidence, ...]
    near_miss_evidence: tuple[Evidence, ...]
    witness: str
    reasons: tuple[str, ...]
    seconds: float
    certificate: certificates.Tape

    @property
    def scope(self) -> str:
        """What exactly the evidence covers, each scope once."""
        return "; ".join(dict.fromkeys(part.scope for part in self.evidence))

    @property
    def constants(self) -> dict[str, tuple[str, str]]:
        """The certified brackets of all evidence, lower then upper."""
        return {name: pair for part in self.evidence for name, pair in part.constants.items()}

    def to_json(self) -> dict[str, Any]:
        """The row of DESIGN's contract."""
        return {
            "id": self.id,
            "catalogue": self.catalogue,
            "title": self.title,
            "status": self.status,
            "level": self.level.value,
            "scope": self.scope,
            "near_miss": self.near_miss,
            "constants": {name: list(pair) for name, pair in self.constants.items()},
            "seconds": round(self.seconds, 3),
            "reasons": list(self.reasons),
        }


@dataclass(frozen=True)
class Settled:
    """A claim whose theorems are known to hold or not, and whose witness was recomputed or not."""

    claim: Claim
    ok: bool

    def to_json(self) -> dict[str, Any]:
        c = self.claim
        return {
            "id": c.id, "claim": c.claim, "form": c.form, "verdict": c.verdict, "theorems": list(c.theorems),
            "witness": c.witness, "confirmed": self.ok,
        }  # fmt: skip


@dataclass(frozen=True)
class Ledger:
    """All entries in the catalogue's order, and the claims that they settle."""

    entries: tuple[Entry, ...]
    claims: tuple[Settled, ...]
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every theorem holds, every near miss is rejected and every claim is confirmed."""
        held = all(entry.status in ("proved", "supported") and entry.near_miss == "rejected" for entry in self.entries)
        return held and all(claim.ok for claim in self.claims)

    @property
    def counts(self) -> dict[str, Any]:
        entries = self.entries
        return {
            "theorems": len(entries),
            **{status: sum(entry.status == status for entry in entries) for status in STATUSES},
            "levels": {level.value: sum(entry.level is level for entry in entries) for level in Level},
            "near_misses_rejected": sum(entry.near_miss == "rejected" for entry in entries),
            "claims": len(self.claims),
            "claims_confirmed": sum(claim.ok for claim in self.claims),
        }

    def to_json(self) -> dict[str, Any]:
        """The JSON of DESIGN's contract, schema 1."""
        return {
            "schema": 1,
            "theorems": [entry.to_json() for entry in self.entries],
            "claims": [claim.to_json() for claim in self.claims],
            "counts": self.counts,
            "seconds": round(self.seconds, 3),
        }


def _unsettled(theorem: Theorem, reason: str, seconds: float, tape: certificates.Tape) -> Entry:
    """The entry of a theorem whose check gave no answer."""
    lowest = Level.SIMULATED
    return Entry(
        theorem.id, theorem.catalogue, theorem.title, "failed", lowest, lowest, "none", (), (), "", (reason,), seconds,
        tape,
    )  # fmt: skip


def refutes(theorem: Theorem, mutation: Move | Drop) -> tuple[bool, tuple[Evidence, ...]]:
    """Whether the check refutes the mutated statement (undecided is no refutation), and its evidence."""
    evidence = tuple(theorem.check(mutation(theorem.claim)))
    return any(part.holds is False for part in evidence), evidence


def settle(theorem: Theorem, recorded: Sequence[dict[str, Any]] | None = None, *, mutations: bool = False) -> Entry:
    """Run one theorem's check, near miss and witness; dependencies are `prove`'s business.

    With `recorded` certificates the searches of the check are replaced by verifying those, and nothing else is run.
    With `mutations` the check must refute every mutation of the statement, not only the near miss.
    """
    start = time.perf_counter()
    reasons: list[str] = []
    tape = certificates.Tape() if recorded is None else certificates.Tape(list(recorded), position=0)
    try:
        with certificates.running(tape):
            evidence = tuple(theorem.check(theorem.claim))
        if tape.position is not None and tape.position != len(tape.entries):
            reasons.append(f"{len(tape.entries)} certificates recorded, {tape.position} used")
        refuted, near = refutes(theorem, theorem.near_miss) if recorded is None else (False, ())
        accepted = [m for m in theorem.mutations() if not refutes(theorem, m)[0]] if mutations else []
        witness = theorem.witness()
    except Exception as error:  # whatever a check raises is a failure of the theorem, and the others go on
        return _unsettled(theorem, f"{type(error).__name__}: {error}", time.perf_counter() - start, tape)
    near_miss = "rejected" if refuted else "accepted"
    if recorded is not None:
        near_miss = "none"  # a recheck verifies certificates of the claim; there are none of a false statement
    elif not refuted:
        reasons.append(f"the near miss ({theorem.near_miss}) is not refuted, so the check proves nothing")
    reasons += [f"the mutation ({mutation}) is not refuted, so the check does not need it" for mutation in accepted]
    unmet = [name for name in theorem.assumptions if witness.met.get(name) is not True]
    if unmet:
        reasons.append(f"the witness {witness.instance} does not meet {', '.join(unmet)}")
    reasons += [f"refuted: {part.what}: {part.detail}" for part in evidence if part.holds is False]
    if not evidence:
        reasons.append("the check gave no evidence")
    failed = bool(reasons)
    open_parts = [part for part in evidence if part.holds is None]
    reasons += [f"undecided: {part.what}: {part.detail}" for part in open_parts]
    own = max((part.level for part in evidence), key=lambda level: level.rank, default=Level.SIMULATED)
    status = "failed" if failed else "undecided" if open_parts else "proved" if own.proves else "supported"
    return Entry(
        theorem.id, theorem.catalogue, theorem.title, status, own, own, near_miss, evidence, near, witness.instance,
        tuple(reasons), time.perf_counter() - start, tape,
    )  # fmt: skip


def _settle_listed(index: int, recorded: Sequence[dict[str, Any]] | None, mutations: bool) -> Entry:
    """In a worker process: theorems hold functions, so the place in THEOREMS travels instead."""
    return settle(THEOREMS[index], recorded, mutations=mutations)


def linked(theorem: Theorem, entries: Mapping[str, Entry], seen: tuple[str, ...] = ()) -> Entry:
    """The entry with the weakest link of its dependencies: level, status and the reason."""
    entry = entries[theorem.id]
    by_id = {t.id: t for t in THEOREMS} | {theorem.id: theorem}
    for name in theorem.depends_on:
        if name in seen or name == theorem.id:
            return replace(entry, status="failed", reasons=(*entry.reasons, f"depends on itself through {name}"))
        if name not in entries:
            return replace(entry, status="failed", reasons=(*entry.reasons, f"depends on {name}, which is not known"))
        below = linked(by_id[name], entries, (*seen, theorem.id))
        worst = max(entry.status, below.status, key=STATUSES.index)
        level = max(entry.level, below.level, key=lambda level: level.rank)
        reasons = entry.reasons
        if below.status in ("undecided", "failed"):
            reasons = (*reasons, f"depends on {name}, which is {below.status}")
        entry = replace(entry, status=worst, level=level, reasons=reasons)
    return entry


def with_dependencies(chosen: Sequence[Theorem]) -> list[Theorem]:
    """The chosen theorems and all they depend on, each once, in the order of the catalogue."""
    by_id = {theorem.id: theorem for theorem in THEOREMS} | {theorem.id: theorem for theorem in chosen}
    wanted: dict[str, Theorem] = {}
    todo = list(chosen)
    while todo:
        theorem = todo.pop()
        if theorem.id not in wanted:
            wanted[theorem.id] = theorem
            todo += [by_id[name] for name in theorem.depends_on if name in by_id]
    return [theorem for theorem in by_id.values() if theorem.id in wanted]


def prove(
    chosen: Sequence[Theorem] = THEOREMS,
    *,
    claims: Sequence[Claim] = CLAIMS,
    workers: int | None = None,
    done: Callable[[Entry], None] = lambda entry: None,
    recorded: Mapping[str, Sequence[dict[str, Any]]] | None = None,
    mutations: bool = False,
) -> Ledger:
    """Settle the chosen theorems (and, unseen, what they depend on) in parallel, then the claims that they settle.

    `done` is called with each entry as it is finished. `recorded` maps a theorem's id to its certificates: then only
    these are verified. With `mutations` every mutation of every theorem must be refuted. Theorems that are not those
    of THEOREMS (a test's mutants) run in this process. A worker that dies fails the theorems it leaves unsettled.
    """
    start = time.perf_counter()
    todo = list(chosen) if recorded is not None else with_dependencies(chosen)
    places = {id(theorem): index for index, theorem in enumerate(THEOREMS)}
    workers = workers or min(os.cpu_count() or 1, 8)
    entries: dict[str, Entry] = {}

    def keep(entry: Entry) -> None:
        entries[entry.id] = entry
        done(entry)

    def certificate(theorem: Theorem) -> Sequence[dict[str, Any]] | None:
        return None if recorded is None else recorded[theorem.id]

    here = [theorem for theorem in todo if id(theorem) not in places or workers == 1 or len(todo) < 4]
    elsewhere = [theorem for theorem in todo if theorem not in here]
    if elsewhere:
        died = "a worker process died (killed, or out of memory); try --workers 1"
        spread(
            _settle_listed,
            [(places[id(theorem)], certificate(theorem), mutations) for theorem in elsewhere],
            min(workers, len(elsewhere)),
            lambda place, entry: keep(entry or _unsettled(elsewhere[place], died, 0.0, certificates.Tape())),
        )
    for theorem in here:
        keep(settle(theorem, certificate(theorem), mutations=mutations))
    if recorded is None:
        final = tuple(linked(theorem, entries) for theorem in chosen)
    else:
        final = tuple(entries[theorem.id] for theorem in chosen)
    return Ledger(final, settled(claims, final), time.perf_counter() - start)


def settled(claims: Sequence[Claim], entries: Sequence[Entry]) -> tuple[Settled, ...]:
    """The claims all of whose theorems are among the entries, each confirmed or not.

    A claim that names an unknown theorem is never confirmed.
    """
    by_catalogue: dict[str, list[Entry]] = {}
    for entry in entries:
        by_catalogue.setdefault(entry.catalogue, []).append(entry)
    known = {theorem.catalogue for theorem in THEOREMS}
    rows = []
    for claim in claims:
        unknown = [name for name in claim.theorems if name not in known and name not in by_catalogue]
        if not unknown and any(name not in by_catalogue for name in claim.theorems):
            continue  # not settled by this selection
        held = all(e.status in ("proved", "supported") for name in claim.theorems for e in by_catalogue.get(name, ()))
        rows.append(Settled(claim, not unknown and held and claim.recompute() is True))
    return tuple(rows)


def write_json(ledger: Ledger, path: Path) -> None:
    """Write the ledger's JSON at once or not at all."""
    write_text(path, json.dumps(ledger.to_json(), indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file under another name and rename it, so that no reader sees half of it.

    A pipe or a device (/dev/stdout) is written to as it is, and a link is followed: neither may be replaced by a file.
    """
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise UserError(f"{str(path)!r} cannot be written; name a file in an existing directory")
    if path.exists() and not path.is_file():
        path.write_text(text, encoding="utf-8")
        return
    path = path.resolve()
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
