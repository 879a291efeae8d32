"""Records kept for good: the campaigns and every record of a sweep in one small file, without the tickets.

What `unilth sweep` leaves is large (weights, masks) and lives anywhere; what the tables need is small and is kept under
results/. `keep` writes such a folder and `opened` reads it the way a sweep's own directory is read. No torch here.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

from unilth.errors import UserError
from unilth.sims.records import DamagedRecord, Record, distinct, parsed, problem_of
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec
from unilth.sims.whole import put

KEPT = "records.jsonl.gz"
LARGEST = 256 * 2**20  # bytes when unpacked; a thousand runs of a hundred epochs are some 30 MB


class Source(Protocol):
    """Where records come from: a sweep's directory or a folder that `keep` wrote."""

    @property
    def root(self) -> Path: ...

    def records(self) -> list[Record]: ...

    def finished(self, spec: RunSpec) -> Record | None: ...


@dataclass(frozen=True)
class Recorded:
    """The records in a folder that `keep` wrote."""

    root: Path

    @cached_property
    def _lines(self) -> list[Record]:
        path, remedy = self.root / KEPT, "restore it or keep the sweep's records again"
        try:
            with gzip.open(path, "rb") as file:
                content = file.read(LARGEST + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(f"{str(path)!r} cannot be read ({error}): {remedy}") from None
        if len(content) > LARGEST:
            raise UserError(f"{str(path)!r} unpacks to more than the {LARGEST:,} bytes allowed: {remedy}")
        records: list[tuple[str, Record]] = []
        for number, line in enumerate(content.splitlines(), 1):
            try:
                record = parsed(line)
                problem = problem_of(record)
            except UserError as error:
                problem = str(error)
            if problem:
                raise DamagedRecord(f"line {number} of {str(path)!r} {problem}: {remedy}")
            records.append((f"line {number} of {str(path)!r}", record))
        return distinct(records)

    def records(self) -> list[Record]:
        """Every record; ``DamagedRecord`` names the line that cannot be believed."""
        return list(self._lines)

    def finished(self, spec: RunSpec) -> Record | None:
        """The record of ``spec``, or None."""
        return self._by_digest.get(spec.digest())

    @cached_property
    def _by_digest(self) -> dict[str, Record]:
        return {record["spec_digest"]: record for record in self._lines}


def opened(root: Path | str) -> Source:
    """The records in ``root``, whichever of the two kinds of folder it is."""
    return Recorded(Path(root)) if (Path(root) / KEPT).is_file() else Store(Path(root))


def keep(source: Source, folder: Path) -> Path:
    """Write the campaigns and records of ``source`` into ``folder``, for good, and return the file of the records.

    The same records give the same bytes. UserError for a folder that holds something else. Every file is replaced in
    one step, so that a failure leaves the records that were there: they may be the only ones.
    """
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not (folder / KEPT).is_file())):
        raise UserError(f"{str(folder)!r} is no folder of records: name a new one")
    records = sorted(source.records(), key=lambda record: str(record["spec_digest"]))
    campaigns = {path.name: path.read_text(encoding="utf-8") for path in (source.root / "campaigns").glob("*.toml")}
    lines = "".join(json.dumps(record, sort_keys=True, allow_nan=False) + "\n" for record in records)
    (folder / "campaigns").mkdir(parents=True, exist_ok=True)
    for name, text in campaigns.items():
        put(folder / "campaigns" / name, text.encode())
    put(folder / KEPT, gzip.compress(lines.encode(), 9, mtime=0))
    return folder / KEPT
