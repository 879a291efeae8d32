"""How far other end points are from UniLTH's: in predictions, in weights, over the barrier between; from a record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from unilth.errors import UserError
from unilth.paper_figures.endpoints import folder_of, records_of
from unilth.paper_figures.style import BLUE, GREY, INK, ORANGE, panels
from unilth.paper_figures.table import Cell, Table
from unilth.sims.endpoints.nearest import BASELINES, TITLES
from unilth.sims.statistics import describe

COLUMNS = ("network", "other", "seed", "kl", "weights", "barrier", "baseline")
MEASURES = (("kl", "KL, nats"), ("weights", "weights"), ("barrier", "barrier, nats"))
LEAST = 1e-4  # nats: what is below is drawn here
REFERENCE = "unilth"


def data(results: Path) -> Table:
    """One row per network, end point and seed: its distances from UniLTH's end point of the same seed."""
    records, inputs = records_of(results)
    rows: list[tuple[Cell, ...]] = []
    n: dict[str, int] = {}
    for record in records:
        if not record["distances"]:
            continue  # the study was asked for something else
        where = f"{record['plan']['network']} on {record['plan']['data']}"
        n[where] = len(record["distances"])
        for seed in record["distances"]:
            for pair in seed["pairs"]:
                if pair["a"] == REFERENCE:
                    other = pair["b"]
                    found = (pair["kl"], pair["weights"], pair["barrier"])
                    rows.append((where, other, seed["seed"], *found, str(other in BASELINES)))
    if not rows:
        raise UserError(
            f"no record in {str(folder_of(results))!r} holds distances: run `unilth endpoints` without --only"
        )
    return Table(COLUMNS, tuple(rows), tuple(inputs), n)


def draw(table: Table) -> Figure:
    """A row of panels per network; regularised baselines in the one colour, the rest in the other."""
    networks = table.distinct("network")
    others = [str(name) for name in table.distinct("other")]
    figure, axes = panels(0.5 + 1.75 * len(networks), rows=len(networks), columns=len(MEASURES), sharey=True)
    places = np.arange(len(others))[::-1]
    kl = np.log10(np.maximum(table.numbers("kl"), LEAST))
    decades = 10.0 ** np.floor(kl.min()), 10.0 ** np.ceil(kl.max())  # so that only whole decades have labels
    for row, network in enumerate(networks):
        for column, (measure, label) in enumerate(MEASURES):
            panel = axes[row * len(MEASURES) + column]
            for place, other in zip(places, others, strict=True):
                mine = table.where(network=network, other=other)
                values = np.maximum(mine.numbers(measure), LEAST)
                colour, marker = (ORANGE, "s") if other in BASELINES else (BLUE, "o")
                panel.scatter(values, np.full(len(values), place), 4, color=colour, alpha=0.5, linewidths=0)
                centre, low, high = interval(values, measure != "weights")
                panel.plot([low, high], [place, place], color=colour, linewidth=0.9, zorder=3)
                panel.plot(centre, place, color=colour, marker=marker, markersize=2.5, zorder=4)
            panel.set_xscale("log" if measure != "weights" else "linear")
            panel.set_yticks(places, [TITLES[other] for other in others], fontsize=6)
            panel.set_xlim(*(decades if measure == "kl" else (0, 1.6) if measure == "weights" else (LEAST / 1.5, 3)))
            if row == len(networks) - 1:
                panel.set_xlabel(label, fontsize=6.5, color=GREY)
            if column == 0:
                panel.set_title(str(network), fontsize=7, color=INK)
    return figure


def interval(values: NDArray[np.float64], logarithmic: bool) -> tuple[float, float, float]:
    """Mean and 95% t-interval; on a logarithmic axis those of the logarithms."""
    cell = describe((np.log(values) if logarithmic else values).tolist())
    centre, reach = cell.mean or 0.0, cell.half or 0.0
    ends = np.array([centre, centre - reach, centre + reach])
    first, low, high = np.exp(ends) if logarithmic else ends
    return float(first), float(low), float(high)
