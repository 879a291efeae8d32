"""Residuals of early stopping and ridge, and their gap with its certified supremum (T1.4)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from unilth.paper_figures.certified import brackets
from unilth.paper_figures.style import AMBER, BLUE, FAINT, GREY, INK, ORANGE, PINK, panels, say
from unilth.paper_figures.table import Table
from unilth.theory.filters import GRADIENT_FLOW, RIDGE, gradient_descent

COLUMNS = ("panel", "curve", "x", "value", "lower", "upper")
FLOW, SUPREMUM = "gradient flow", "certified supremum"
STEPS = (1, 2, 4)  # gradient-descent steps whose gaps D_k are shown beside gradient flow's
RIGHT = 10.0


def data() -> Table:
    """Residuals and gaps over x = eigenvalue times time at penalty 1/time, and the certified largest gap."""
    x = np.linspace(0, RIGHT, 401)
    flow = GRADIENT_FLOW.residual(x, 1.0)
    ridge = RIDGE.residual(x, 1.0)
    curves = [("residual", "early stopping", x, flow), ("residual", "ridge", x, ridge), ("gap", FLOW, x, ridge - flow)]
    for k in STEPS:
        inside = np.linspace(0, k, 101)  # step size times eigenvalue at most 1 (T1.4)
        descent = gradient_descent(1 / k).residual(inside, k)
        curves.append(("gap", f"{k} steps", inside, RIDGE.residual(inside, 1.0) - descent))
    rows = [
        (panel, name, float(a), float(b), None, None)
        for panel, name, at, y in curves
        for a, b in zip(at, y, strict=True)
    ]
    lower, upper = brackets("T1.4")["A1"]
    return Table(COLUMNS, (*rows, ("gap", SUPREMUM, None, None, lower, upper)))


def draw(table: Table) -> Figure:
    """Two panels over the same axis: residuals above, gaps below."""
    figure, (top, bottom) = panels(3.5, rows=2, sharex=True, height_ratios=(1, 1.15))
    residual, gap = table.where(panel="residual"), table.where(panel="gap")

    for name, colour, dash in (("ridge", ORANGE, (0, (5, 1.5))), ("early stopping", BLUE, "-")):
        rows = residual.where(curve=name)
        top.plot(rows.numbers("x"), rows.numbers("value"), color=colour, linestyle=dash)
    ridge, flow = (
        residual.where(curve="ridge").numbers("value"),
        residual.where(curve="early stopping").numbers("value"),
    )
    x = residual.where(curve="ridge").numbers("x")
    top.fill_between(x, flow, ridge, color=FAINT, alpha=0.45, linewidth=0)
    say(top, r"ridge at $a=1/t$:  $1/(1+ts)$", (3.0, 0.335), ORANGE)
    say(top, r"early stopping at $t$:  $e^{-ts}$", (3.65, 0.035), BLUE, bbox=None)
    top.set_ylabel("residual  $1-g(s)$")
    top.set_ylim(0, 1)

    for k, colour in zip(STEPS, (PINK, AMBER, GREY), strict=True):
        rows = gap.where(curve=f"{k} steps")
        xs, values = rows.numbers("x"), rows.numbers("value")
        bottom.plot(xs, values, color=colour, linewidth=1)
        at = int(values.argmax())
        text = f"{k} steps" if k > 1 else "1 step of gradient descent"
        say(bottom, text, (xs[at], values[at]), colour, xytext=(5, 1), textcoords="offset points", bbox=None)
    rows = gap.where(curve=FLOW)
    bottom.plot(rows.numbers("x"), rows.numbers("value"), color=BLUE)
    value = float(gap.where(curve=SUPREMUM).numbers("upper")[0])
    peak = float(rows.numbers("x")[int(rows.numbers("value").argmax())])
    bottom.axhline(value, color=INK, linewidth=0.6, linestyle=":")
    bottom.plot([peak], [value], "o", color=BLUE, markersize=4)
    say(bottom, "gradient flow", (4.6, 0.095), BLUE)
    say(bottom, f"certified: at most $A_1$ = {value:.6f}", (RIGHT, value + 0.015), INK, ha="right", bbox=None)
    bottom.set_ylabel("ridge − early stopping")
    bottom.set_xlabel("eigenvalue × stopping time  $ts$")
    bottom.set_xlim(0, RIGHT)
    bottom.set_ylim(0, 0.55)
    return figure
