"""Test accuracy against sparsity, mean and 95% interval over seeds, one panel per recipe, from recorded runs."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from unilth.errors import UserError
from unilth.paper_figures.style import AMBER, BLUE, FAINT, GREEN, GREY, INK, ORANGE, PINK, SKY, panels, say
from unilth.paper_figures.table import Cell, Table
from unilth.sims.campaign import Campaign, load
from unilth.sims.records import dump
from unilth.sims.results import RECORD, Store
from unilth.sims.statistics import describe
from unilth.sims.sweep import plan

COLUMNS = ("recipe", "sparsity", "n", "expected", "mean", "half")
DENSE = "dense"
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

SHARED = ("network", "data", "epochs", "batch", "lr", "momentum", "tune")  # settings that every point must share


def data(results: Path) -> Table:
    """One row per recipe and sparsity of the campaign in `results`: n seeds, mean accuracy, half the 95% interval.

    Accuracies are shares of the test examples. Raises UserError if no run is finished, if `results` holds several
    campaigns, or if the campaign's runs cannot be compared (another network, data or budget).
    """
    campaign = kept_campaign(results)
    todo = plan(campaign, results)
    if not todo.finished:
        raise UserError(f"no run of the campaign {campaign.name} is finished in {str(results)!r}; run the sweep again")
    store = Store(results)
    cells: dict[tuple[str, float], dict[int, float]] = {}
    settings: dict[str, object] = {}
    choices: dict[tuple[str, float], dict[str, object]] = {}
    inputs = []
    for spec, record in todo.finished.items():
        path = store.folder(spec) / RECORD
        values = asdict(spec)
        same(settings, {name: values.pop(name) for name in SHARED}, path)
        recipe, sparsity, seed = (values.pop(name) for name in ("recipe", "sparsity", "seed"))
        same(choices.setdefault((recipe, sparsity), {}), values, path)
        cells.setdefault((recipe, sparsity), {})[seed] = accuracy_of(record, path)
        untimed = {name: value for name, value in record.items() if name != "timing"}  # a repeated run has the same
        inputs.append((path, hashlib.sha256(dump(untimed).encode()).hexdigest()))
    planned = Counter((spec.recipe, spec.sparsity) for spec in campaign.specs)
    order = {name: place for place, name in enumerate(LOOKS)}
    rows: list[tuple[Cell, ...]] = []
    short = []
    for recipe, sparsity in sorted(planned, key=lambda cell: (order.get(cell[0], len(order)), *cell)):
        found, expected = cells.get((recipe, sparsity), {}), planned[recipe, sparsity]
        summary = describe([found[seed] for seed in sorted(found)])
        rows.append((recipe, sparsity, summary.n, expected, summary.mean, summary.half))
        if summary.n < expected:
            short.append(f"{title(recipe)} at {100 * sparsity:.3g}%: {summary.n} of {expected} seeds")
    n = {f"{recipe} at sparsity {sparsity:g}": found for recipe, sparsity, found, *_ in rows if isinstance(found, int)}
    return Table(COLUMNS, tuple(rows), tuple(sorted(inputs)), n, shortened(short))


def kept_campaign(results: Path) -> Campaign:
    """The one campaign whose runs a sweep keeps in `results`."""
    kept = sorted((results / "campaigns").glob("*.toml"))
    if not kept:
        raise UserError(f"no sweep was run into {str(results)!r}; run `unilth sweep digits --out {results}` first")
    if len(kept) > 1:
        names = ", ".join(path.stem for path in kept)
        raise UserError(f"{str(results)!r} holds the runs of the campaigns {names}; sweep each into its own folder")
    return load(kept[0])


def accuracy_of(record: dict, path: Path) -> float:
    """The test accuracy of one record, in [0, 1]."""
    test = record.get("test")
    value = test.get("accuracy") if isinstance(test, dict) else None
    if type(value) not in (int, float) or not math.isfinite(value) or not 0 <= value <= 1:
        raise UserError(f"the record {str(path)!r} has no test accuracy in [0, 1]; remove its folder and sweep again")
    return float(value)


def same(known: dict[str, object], found: dict[str, object], path: Path) -> None:
    """Refuse to average runs of different settings."""
    for name, value in found.items():
        if known.setdefault(name, value) != value:
            raise UserError(
                f"the run {path.parent.name!r} has {name} {value!r} and others here have {known[name]!r}: runs of "
                "different settings have no common mean; keep each campaign's runs in a folder of their own"
            )


def shortened(sentences: list[str], most: int = 3) -> str:
    """The first sentences, and how many more there are."""
    more = [f"and {len(sentences) - most} more cells with missing seeds"] if len(sentences) > most else []
    return "; ".join(sentences[:most] + more)


def title(recipe: str) -> str:
    return LOOKS[recipe][0] if recipe in LOOKS else recipe


def draw(table: Table) -> Figure:
    """Small multiples: every panel has all recipes in grey and one of them in colour with its interval."""
    recipes = [name for name in table.distinct("recipe") if name != DENSE]
    rows = max(1, -(-len(recipes) // 2))
    figure, axes = panels(0.55 + 1.3 * rows, rows=rows, columns=2, sharex=True, sharey=True)
    spare = iter(OTHERS * (1 + len(recipes)))
    for panel, name in zip(axes, recipes, strict=False):
        band(panel, table.where(recipe=DENSE))
        for other in recipes:
            rest = table.where(recipe=other)
            panel.plot(place(rest.numbers("sparsity")), 100 * rest.numbers("mean"), color=FAINT, linewidth=0.8)
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
        panel.set_title(title(str(name)), color=colour)
    if table.where(recipe=DENSE).rows:
        level = 100 * float(table.where(recipe=DENSE).numbers("mean")[0])
        axes[0].margins(y=0.14)
        right = max(axes[0].get_xlim())
        say(axes[0], "dense", (right, level), GREY, xytext=(0, 5), textcoords="offset points", ha="right", bbox=None)
    axes[0].set_ylim(top=min(101.0, axes[0].get_ylim()[1]))  # an interval may pass 100%, accuracy cannot
    for panel in axes[len(recipes) :]:
        panel.set_axis_off()
    ticks = sorted({float(value) for name in recipes for value in table.where(recipe=name).numbers("sparsity")})
    axes[0].set_xticks(place(np.array(ticks)), [f"{100 * tick:.3g}" for tick in ticks])
    figure.supxlabel("sparsity, % of prunable weights pruned", fontsize=7.5, color=INK)
    figure.supylabel("test accuracy, %: mean and its 95% interval over seeds", fontsize=7.5, color=INK)
    if table.missing:
        figure.suptitle(table.missing, fontsize=7, color=ORANGE)
    return figure


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
