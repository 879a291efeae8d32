"""Shares of the way along eigenvectors, measured against predicted, one panel per rung of the ladder, from a record."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from unilth.errors import UserError
from unilth.paper_figures.accuracy import fingerprint
from unilth.paper_figures.style import BLUE, GREY, INK, ORANGE, panels, say
from unilth.paper_figures.table import Cell, Table
from unilth.sims.endpoints.records import read
from unilth.theory.filters import GRADIENT_FLOW, RIDGE

COLUMNS = ("rung", "rule", "x", "measured", "predicted", "weight")
CURVE = np.geomspace(1e-3, 100, 200)


def folder_of(results: Path) -> Path:
    """Where records of end points lie: in `results` or, beside a campaign's runs, in `results`/../endpoints; beside
    runs-quick in endpoints-quick."""
    beside = results.parent / results.name.replace("runs", "endpoints", 1)
    return beside if beside.is_dir() and results.name.startswith("runs") else results


def records_of(results: Path) -> tuple[list[dict[str, Any]], list[tuple[Path, str]]]:
    """The records and their files' digests; UserError without any."""
    folder = folder_of(results)
    records = read(folder) if folder.is_dir() else []
    if not records:
        raise UserError(f"no record of end points is in {str(folder)!r}: run `unilth endpoints --out {folder}` first")
    return records, list(map(fingerprint, sorted(folder.glob("*.json")), records))


def data(results: Path) -> Table:
    """One row per rung, rule and eigenvector: x = ts or s/a and the shares gone, penalty 1/t around the start."""
    records, inputs = records_of(results)
    rows: list[tuple[Cell, ...]] = []
    n: dict[str, int] = {}
    for record in records:
        for rung in record["ladder"]:
            name = titled(rung["rung"], record["plan"]["data"])
            n[name] = 1
            s = rung["eigenvalues"]
            for end in rung["rows"]:
                if end["centre"] == "zero" or end["calibration"] not in (0.0, 1.0):
                    continue
                found = end["start"]
                for value, share, expected, weight in zip(
                    s, found["measured"], found["predicted"], found["weight"], strict=True
                ):
                    if share is not None:
                        rows.append((name, end["rule"], value * end["time"], share, expected, weight))
    if not rows:
        raise UserError(
            f"no record in {str(folder_of(results))!r} holds a ladder: run `unilth endpoints` without --only"
        )
    once = tuple(dict.fromkeys(rows))  # the exact rungs are the same in every record of one data set
    return Table(COLUMNS, once, tuple(inputs), n)


def titled(rung: str, data: str) -> str:
    """A rung with its data, where there are others on which it could have been measured."""
    return rung if rung == "quadratic" or " on " in rung else f"{rung} on {data}"


def draw(table: Table) -> Figure:
    """Measured shares as points over the two closed forms as lines."""
    rungs = table.distinct("rung")
    rows = -(-len(rungs) // 2)
    figure, axes = panels(0.8 + 1.15 * rows, rows=rows, columns=2, sharex=True, sharey=True)
    stopped, ridge = GRADIENT_FLOW.gain(CURVE, 1.0), RIDGE.gain(CURVE, 1.0)
    for panel, rung in zip(axes, rungs, strict=False):
        panel.plot(CURVE, stopped, color=BLUE, linewidth=0.9, label=r"$1-e^{-ts}$")
        panel.plot(CURVE, ridge, color=ORANGE, linewidth=0.9, label=r"$s/(s+a)$")
        for rule, colour, marker in (("stopped", BLUE, "o"), ("ridge", ORANGE, "^")):
            mine = table.where(rung=rung, rule=rule)
            shares = mine.numbers("measured")
            panel.scatter(
                mine.numbers("x"),
                np.clip(shares, -0.2, 1.5),
                8,
                color=colour,
                marker=marker,
                linewidths=0,
                zorder=4,
                label="stopped at t" if rule == "stopped" else "ridge, a = 1/t",
            )
        hidden = int(
            np.sum(
                (table.where(rung=rung).numbers("measured") > 1.5) | (table.where(rung=rung).numbers("measured") < -0.2)
            )
        )
        panel.set_title(str(rung), fontsize=6, color=INK)
        if hidden:
            say(panel, f"{hidden} beyond the edge", (0.012, 1.4), colour=GREY, fontsize=5.5, va="center")
    for panel in axes[len(rungs) :]:
        panel.set_axis_off()
    axes[0].set_xscale("log")
    axes[0].set_xlim(1e-2, 60)
    axes[0].set_ylim(-0.25, 1.55)
    shown, labels = axes[0].get_legend_handles_labels()
    figure.legend(shown, labels, loc="outside upper center", fontsize=6.5, ncols=4, handlelength=1.2, columnspacing=1.2)
    figure.supxlabel("stopping time × eigenvalue, or eigenvalue / penalty", fontsize=7.5, color=GREY)
    figure.supylabel("share of the way gone", fontsize=7.5, color=GREY)
    return figure
