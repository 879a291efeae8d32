"""Records of end points as files: written whole, read with nothing taken on trust. No torch here."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.sims.endpoints.nearest import STOP_EARLY
from unilth.sims.endpoints.plan import PARTS
from unilth.sims.records import read_json

LARGEST = 4 * 2**20  # bytes of one record
STOPPING = {"fired": bool, "epochs": int, "best_epoch": int, "most": int}  # of an end that stops early


def file_name(network: str, data: str) -> str:
    """The name of a record's file; an imported network, `folder/file.py:name`, without what a file name cannot have."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", f"{network}-{data}.json").lstrip(".-")


def write(record: dict[str, Any], out: Path) -> Path:
    """Write the record whole or not at all into the folder; returns its path."""
    path = out / file_name(record["plan"]["network"], record["plan"]["data"])
    write_json(path, rounded(record), indent=1)
    return path


def write_json(path: Path, value: Any, indent: int | None = None) -> None:
    """A JSON file, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.part")
    partial.write_text(json.dumps(value, indent=indent, allow_nan=False) + "\n", encoding="utf-8")
    partial.replace(path)


def rounded(value: Any) -> Any:
    """The same tree with numbers to 9 significant digits."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def read(folder: Path) -> list[dict[str, Any]]:
    """The records in a folder by name; UserError where a JSON file is no record of end points."""
    found = []
    for path in sorted(folder.glob("*.json")):
        record = read_json(path, largest=LARGEST)
        if not isinstance(record, dict) or record.get("kind") != "endpoints" or record.get("schema") != 1:
            raise UserError(f"{str(path)!r} is not a record of end points of schema 1: name a folder of such records")
        if not all(part in record for part in PARTS) or not isinstance(record.get("plan"), dict):
            raise UserError(f"{str(path)!r} lacks one of {', '.join(PARTS)}: measure it again with unilth endpoints")
        if problem := misstopped(record["distances"]):
            raise UserError(f"{str(path)!r} {problem}: measure it again with unilth endpoints")
        found.append(record)
    return found


def misstopped(seeds: Any) -> str | None:
    """What the ends of a record tell of early stopping and no run can have, as a part of a sentence; None where all
    is well, or where nothing is told."""
    key = "early_stopping"
    try:
        ends = [(end["name"], end[key]) for seed in seeds for end in seed["ends"] if key in end]
    except (KeyError, TypeError):
        return "has distances that are no list of seeds with named ends"
    for end, told in ends:
        if end not in STOP_EARLY:
            return f"has {key} for the end {end!r}, which does not stop early"
        if not isinstance(told, dict) or {name: type(value) for name, value in told.items()} != STOPPING:
            return f"has {key} for {end!r} that is not {', '.join(STOPPING)}, each of its type"
        epochs, best, most = told["epochs"], told["best_epoch"], told["most"]
        if epochs < 1 or not 0 <= best <= epochs <= most or (best == epochs if told["fired"] else epochs < most):
            return f"has {key} for {end!r} that no run can have"
    return None
