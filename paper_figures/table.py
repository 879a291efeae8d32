"""The table behind a figure: columns of numbers and words, the files they were read from, runs per point."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

Cell = str | int | float | None


def cell_text(value: Cell) -> str:
    """One cell as text: 12 significant digits, so that the last bit of exp() does not show; None is empty."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value + 0.0:.12g}"  # + 0.0 turns -0.0 into 0.0
    return str(value)


@dataclass(frozen=True)
class Table:
    """Rows in long form; everything that a figure draws, and nothing else, is in them.

    ``inputs`` are the files that the rows were read from, each with the SHA-256 of what of it counts. ``n`` says per
    label how many independent runs a point stands for (empty for a figure of closed forms: nothing was sampled).
    ``missing`` is one sentence about what should be there and is not, which the figure must show. ``about`` says of
    what recorded results are, where the rows do not.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    inputs: tuple[tuple[Path, str], ...] = ()
    n: Mapping[str, int] = field(default_factory=dict)
    missing: str = ""
    about: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"row {row!r} has {len(row)} cells; the columns are {', '.join(self.columns)}")

    def where(self, **fixed: Cell) -> Table:
        """The rows with these values in these columns."""
        at = {self.columns.index(name): value for name, value in fixed.items()}
        kept = tuple(row for row in self.rows if all(row[index] == value for index, value in at.items()))
        return replace(self, rows=kept)

    def __getitem__(self, column: str) -> tuple[Cell, ...]:
        index = self.columns.index(column)
        return tuple(row[index] for row in self.rows)

    def numbers(self, column: str) -> np.ndarray:
        """One column as float64, shape (rows,); empty cells are nan."""
        return np.array([np.nan if value is None else float(value) for value in self[column]], dtype=np.float64)

    def distinct(self, column: str) -> list[Cell]:
        """The values of one column in order of first appearance."""
        return list(dict.fromkeys(self[column]))

    def to_csv(self) -> str:
        """RFC 4180 text, LF line ends."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([cell_text(value) for value in row] for row in self.rows)
        return buffer.getvalue()
