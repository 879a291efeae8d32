"""Test accuracy against sparsity, mean and 95% interval over seeds, one panel per recipe, from recorded runs."""

from __future__ import annotations

import hashlib
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from unilth.errors import UserError
from unilth.paper_figures.style import AMBER, BLUE, COLUMN, FAINT, GREEN, GREY, INK, ORANGE, PINK, SKY, panels, say
from unilth.paper_figures.table import Cell, Table
from unilth.sims.recorded import KEPT, opened
from unilth.sims.records import Record, dump, read_record
from unilth.sims.results import RECORD
from unilth.sims.table import compare, counted

COLUMNS = ("recipe", "sparsity", "n", "expected", "mean", "half")
DENSE = "dense"
BUDGET = ("epochs", "batch", "lr", "momentum", "tune")  # what every recipe must have the same of
ROWS = 4  # of two panels; a figure with more recipes has four in a row
LETTERS = 58  # in a line as wide as two panels
SMALL = {"fontsize": 7.5, "color": INK, "parse_math": False}  # texts from records: a $ is a $
TICKS = (0, 40, 60, 80, 90, 95, 98, 100)
LOOKS = {  # recipe of the zoo: title, colour, marker
    "unilth": ("UniLTH", BLUE, "o"),
    "unidlth": ("UniDLTH", SKY, "s"),
    "lth": ("LTH", ORANGE, "^"),
    "dlth": ("DLTH (RST)", AMBER, "D"),
    "omp": ("one-shot magnitude", GREEN, "v"),
    "l2": ("L2, then magnitude", PINK, "P"),
    DENSE: ("dense", GREY, ""),
}
OTHERS = (("#332288", "X"), ("#882255", "h"), ("#44AA99", "<"), ("#999933", ">"))  # recipes beyond the seven, in turn


def data(results: Path) -> Table:
    """One row per recipe and sparsity of the runs in `results`: n seeds of those expected, mean, half the 95% interval.

    Accuracies are shares of the test examples; the statistics are `unilth table`'s. Raises UserError if there are no
    runs, if one is damaged, or if they are of several networks or data sets, which one figure cannot show.
    """
    if not results.is_dir():
        raise UserError(f"no sweep was run into {str(results)!r}; run `unilth sweep digits --out {results}` first")
    comparisons = compare(results)
    if len(comparisons) > 1:
        kinds = ", ".join(f"{one.network} on {one.data}" for one in comparisons)
        raise UserError(f"{str(results)!r} has runs of {kinds}; give a folder with one network on one data set")
    (comparison,) = comparisons
    order = {name: place for place, name in enumerate(LOOKS)}
    rows: list[tuple[Cell, ...]] = []
    short = []
    for recipe, sparsity in sorted(comparison.entries, key=lambda place: (order.get(place[0], len(order)), *place)):
        entry = comparison.entries[recipe, sparsity]
        n, expected = entry.cell.n, entry.expected
        rows.append((recipe, sparsity, n, expected, entry.cell.mean, entry.cell.half))
        if expected is not None and n < expected:
            short.append(f"{title(recipe)} at {100 * sparsity:.3g}%: {n} of {expected} seeds")
    n_of = {f"{recipe} at sparsity {sparsity:g}": n for recipe, sparsity, n, *_ in rows if isinstance(n, int)}
    if {row[0] for row in rows} == {DENSE}:
        raise UserError(f"{str(results)!r} has runs of the dense network only; run recipes that prune as well")
    records, inputs = read(results)
    warnings = [*shortened(short), *unmeasured(records), *unequal(records)]
    about = f"{comparison.network} on {data_of(records, comparison.data)}"
    return Table(COLUMNS, tuple(rows), inputs, n_of, "; ".join(warnings), about)


def data_of(records: Iterable[Record], name: str) -> str:
    """``10,000 examples of mnist`` where the runs were not trained on all of it."""
    parts = {record["spec"].get("examples") for record in records}
    part = parts.pop() if len(parts) == 1 else None
    return f"{part:,} examples of {name}" if part else name


def unmeasured(records: Iterable[Record]) -> list[str]:
    """A sentence on records without an accuracy: where no campaign is kept, nobody else would miss them."""
    count = sum(type(record.get("test", {}).get("accuracy")) not in (int, float) for record in records)
    return [f"{counted(count, 'run')} without a test accuracy"] if count else []


def read(results: Path) -> tuple[list[Record], tuple[tuple[Path, str], ...]]:
    """The records and the files they are in: one for each run that a sweep did, one for all that are kept for good."""
    kept = results / KEPT
    if kept.is_file():
        records = opened(results).records()
        return records, ((kept, _digest({"records": [untimed(record) for record in records]})),)
    found = {path: read_record(path) for path in sorted(results.glob(f"*/{RECORD}"))}
    return list(found.values()), tuple(map(fingerprint, found, found.values()))


def fingerprint(path: Path, record: Record) -> tuple[Path, str]:
    """The record's file and the digest of what is the same when the run is repeated: all but its times."""
    return path, _digest(untimed(record))


def untimed(record: Record) -> Record:
    return {name: value for name, value in record.items() if name != "timing"}


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(dump(content).encode()).hexdigest()


def unequal(records: Iterable[Record]) -> list[str]:
    """A sentence for every part of the budget that is not the same in all runs, so that they compare unequal things."""
    specs = [record["spec"] for record in records]
    found = {name: sorted({str(spec.get(name)) for spec in specs}) for name in BUDGET}
    return [f"unequal {name}: {', '.join(values)}" for name, values in found.items() if len(values) > 1]


def shortened(sentences: list[str], most: int = 3) -> list[str]:
    """The first sentences, and how many more there are."""
    more = len(sentences) - most
    return sentences[:most] + ([f"and {more} more cells with missing seeds"] if more > 0 else [])


def title(recipe: str) -> str:
    return LOOKS[recipe][0] if recipe in LOOKS else recipe


def draw(table: Table) -> Figure:
    """Small multiples: every panel has all recipes in grey and one of them in colour with its interval."""
    recipes = [name for name in table.distinct("recipe") if name != DENSE]
    columns = 2 if len(recipes) <= 2 * ROWS else 4
    rows = max(1, -(-len(recipes) // columns))
    figure, axes = panels(0.65 + 1.3 * rows, rows, columns, width=COLUMN * columns / 2, sharex=True, sharey=True)
    spare = iter(OTHERS * (1 + len(recipes)))
    for panel, name in zip(axes, recipes, strict=False):
        band(panel, table.where(recipe=DENSE))
        for other in recipes:
            rest = table.where(recipe=other)
            alone = "o" if np.isfinite(rest.numbers("mean")).sum() == 1 else ""  # one point has no line
            panel.plot(
                place(rest.numbers("sparsity")), 100 * rest.numbers("mean"), color=FAINT, linewidth=0.8, marker=alone,
                markersize=2,
            )  # fmt: skip
        colour, marker = LOOKS[str(name)][1:] if name in LOOKS else next(spare)
        mine = table.where(recipe=name)
        panel.errorbar(
            place(mine.numbers("sparsity")),
            100 * mine.numbers("mean"),
            100 * mine.numbers("half"),
            color=colour,
            marker=marker,
            linewidth=1,
            markersize=3,
            capsize=2.5,
            elinewidth=1.2,
            zorder=5,
        )
        panel.set_title(title(str(name)), color=colour, parse_math=False)
    if table.where(recipe=DENSE).rows:
        level = 100 * float(table.where(recipe=DENSE).numbers("mean")[0])
        right = max(axes[0].get_xlim())
        say(axes[0], "dense", (right, level), GREY, xytext=(0, 5), textcoords="offset points", ha="right", bbox=None)
    axes[0].set_yscale("function", functions=(stretched, unstretched))
    mean, half = 100 * table.numbers("mean"), 100 * np.nan_to_num(table.numbers("half"))
    lowest, highest = np.nanmin(np.nan_to_num(mean, nan=100) - half), np.nanmax(np.nan_to_num(mean, nan=0) + half)
    bottom, top = limits(lowest, highest)
    marks = marked(bottom, top)
    axes[0].set_yticks(marks, [f"{tick:g}" for tick in marks])
    axes[0].yaxis.set_minor_locator(NullLocator())
    axes[0].set_ylim(bottom, top)
    for number, panel in enumerate(axes):
        panel.xaxis.set_tick_params(labelbottom=number + columns >= len(recipes))  # the last of its column
        panel.set_visible(number < len(recipes))
    ticks = sorted({float(value) for name in recipes for value in table.where(recipe=name).numbers("sparsity")})
    axes[0].set_xticks(place(np.array(ticks)), [f"{100 * tick:.3g}" for tick in ticks])
    about, wide = textwrap.wrap(table.about, LETTERS * columns // 2), rows > 1
    figure.supxlabel("\n".join(["sparsity, % of prunable weights pruned", *about]), **SMALL)
    figure.supylabel("test accuracy, %" + " (mean, 95% interval; stretched towards 100)" * wide, **SMALL)
    if table.missing:
        figure.suptitle(textwrap.fill(table.missing, LETTERS * columns // 2), **SMALL | {"color": ORANGE})
    return figure


def stretched(accuracy: np.ndarray | float) -> np.ndarray:
    """Where an accuracy in percent stands on the axis: halving the errors (plus one) moves up by the same step."""
    return -np.log2(np.maximum(101 - accuracy, 0.25))


def unstretched(height: np.ndarray | float) -> np.ndarray:
    """The inverse of `stretched`."""
    return 101 - np.exp2(-height)


def limits(lowest: float, highest: float) -> tuple[float, float]:
    """Where the axis of accuracies in percent ends: a little beyond what is drawn, and no narrower than a point."""
    low, high = stretched(min(lowest, 100.0) - 0.5), stretched(highest + 0.5)
    room = 0.1 * (high - low)
    bottom, top = float(unstretched(low - room)), float(unstretched(high + room))
    return max(0.0, bottom), min(100.4, top)  # an interval may pass 100%, accuracy cannot


def marked(bottom: float, top: float) -> list[float]:
    """The accuracies that the axis names: three or more, wherever it lies."""
    for step in (None, 5.0, 2.0, 1.0, 0.5, 0.2):
        known = TICKS if step is None else np.arange(0, 100 + step / 2, step)
        inside = [float(round(tick, 1)) for tick in known if bottom <= tick <= top]
        if len(inside) >= 3:
            break
    return inside


def place(sparsity: np.ndarray) -> np.ndarray:
    """Where a sparsity stands on the axis: evenly for every halving of what is left."""
    return -np.log2(1 - sparsity)


def band(panel: Axes, dense: Table) -> None:
    """The dense network's mean and 95% interval, as a level to compare with."""
    if dense.rows:
        mean, half = 100 * float(dense.numbers("mean")[0]), 100 * float(dense.numbers("half")[0])
        if np.isfinite(half):
            panel.axhspan(mean - half, mean + half, color=GREY, alpha=0.18, linewidth=0)
        panel.axhline(mean, color=GREY, linewidth=0.7)
