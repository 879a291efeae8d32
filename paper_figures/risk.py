"""Exact risk against stopping time and penalty: one signal for which early stopping wins, one for ridge (T5.3)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from unilth.paper_figures.certified import brackets
from unilth.paper_figures.style import BLUE, INK, ORANGE, panels, say
from unilth.paper_figures.table import Cell, Table
from unilth.theory.filters import GRADIENT_FLOW, RIDGE
from unilth.theory.models.regression import Regression
from unilth.theory.theorems.comparison.two_eigenvalues import FLOW_WINS, RIDGE_WINS

COLUMNS = ("case", "curve", "time", "risk", "lower", "upper")
LEFT, RIGHT = 0.15, 6.0
TICKS = (0.2, 0.5, 1, 2, 5)
CASES = (  # title, problem, names of the certified minima of early stopping and of ridge
    ("early stopping wins", FLOW_WINS, "ES_1", "RIDGE_1"),
    ("ridge wins", RIDGE_WINS, "ES_2", "RIDGE_2"),
)


def data() -> Table:
    """Risk over time t (ridge: penalty a = 1/t), each curve's least risk with its certified bracket, the oracle's."""
    time = np.geomspace(LEFT, RIGHT, 301)
    certified = brackets("T5.3")
    rows: list[tuple[Cell, ...]] = []
    for title, problem, stopped, penalised in CASES:
        signal = ", ".join(str(b) for b in problem.signal)
        case = f"{title}:  β² = ({signal})"
        model = Regression(
            [float(s) for s in problem.eigenvalues], np.sqrt([float(b) for b in problem.signal]), float(problem.noise)
        )
        for name, rule, parameter, constant in (
            ("early stopping", GRADIENT_FLOW, time, stopped),
            ("ridge", RIDGE, 1 / time, penalised),
        ):
            risk = model.risk(rule, parameter)
            rows += [(case, name, float(t), float(r), None, None) for t, r in zip(time, risk, strict=True)]
            best = model.tuned(rule, points=200)
            at = best.parameter if rule is GRADIENT_FLOW else 1 / best.parameter
            lower, upper = certified[constant]
            rows.append((case, f"best {name}", at, best.risk, lower, upper))
        rows.append((case, "oracle", None, model.oracle(), None, None))
    return Table(COLUMNS, tuple(rows))


def draw(table: Table) -> Figure:
    """Two panels, one per signal, over the same axis: time t for early stopping, 1/a for the penalty a of ridge."""
    figure, axes = panels(3.6, rows=2, sharex=True)
    for panel, case in zip(axes, table.distinct("case"), strict=True):
        of_case = table.where(case=case)
        oracle = float(of_case.where(curve="oracle").numbers("risk")[0])
        panel.axhline(oracle, color=INK, linewidth=0.8, linestyle=":")
        say(panel, "oracle", (RIGHT, oracle), INK, xytext=(0, -8), textcoords="offset points", ha="right", bbox=None)
        for name, colour, dash, marker, beside, side in (
            ("ridge", ORANGE, (0, (5, 1.5)), "s", 2.3, "left"),
            ("early stopping", BLUE, "-", "o", 0.42, "right"),
        ):
            rows = of_case.where(curve=name)
            panel.plot(rows.numbers("time"), rows.numbers("risk"), color=colour, linestyle=dash)
            best = of_case.where(curve=f"best {name}")
            at, value = float(best.numbers("time")[0]), float(best.numbers("risk")[0])
            panel.plot([at], [value], marker, color=colour, zorder=6)
            say(panel, f"{name}\nbest: {value:.5f}", (beside, oracle + 0.012), colour, ha=side, bbox=None)
        panel.set_xscale("log")
        panel.set_ylim(oracle - 0.015, oracle + 0.11)
        panel.set_title(str(case))
        panel.set_ylabel("estimation risk")
    axes[-1].set_xlim(LEFT, RIGHT)
    axes[-1].set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes[-1].xaxis.set_minor_formatter(NullFormatter())
    axes[-1].set_xlabel("stopping time $t$   (ridge: 1 / penalty)")
    return figure
