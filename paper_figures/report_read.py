"""Reads what a reproduction left in its folder. Files may be absent, damaged or foreign."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unilth.errors import UserError
from unilth.sims.records import read_json

LARGEST = 64 * 2**20  # bytes of one JSON file or picture


@dataclass(frozen=True)
class Part:
    """One JSON file: its object, or why there is none ("" means that it was simply not made)."""

    content: dict[str, Any] | None
    problem: str = ""

    def rows(self, key: str) -> list[dict[str, Any]]:
        """The objects in the list under `key`; what is no object is left out."""
        return objects(self.content.get(key) if self.content else None)


def objects(value: Any) -> list[dict[str, Any]]:
    return [row for row in value if isinstance(row, dict)] if isinstance(value, list) else []


def mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def part(path: Path) -> Part:
    """Read one JSON file of schema 1."""
    if not path.exists():
        return Part(None)
    try:
        content = read_json(path, largest=LARGEST)
    except UserError as error:
        return Part(None, str(error))
    if not isinstance(content, dict) or content.get("schema") != 1:
        return Part(None, f"{path.name} is not of schema 1, which is what this version reads")
    return Part(content)


def picture(path: Path) -> bytes | None:
    """The bytes of a PNG, or None if there is no usable one."""
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return None
        data = path.read_bytes()
    except OSError:
        return None
    return data if data.startswith(b"\x89PNG\r\n\x1a\n") else None


def words(value: Any, default: str = "") -> str:
    """A JSON value as text for a cell."""
    if value is None:
        return default
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value)


def seconds(value: Any) -> str:
    """A duration for people: 0.34 s, 12 s, 3 min 05 s."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return ""
    if value < 10:
        return f"{value:.2f} s"
    if value < 120:
        return f"{value:.0f} s"
    whole = round(value)
    return f"{whole // 60} min {whole % 60:02d} s"
