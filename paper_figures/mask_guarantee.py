"""How far from the best mask each magnitude rule can be, against the condition number (T7.5)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from scipy.optimize import brentq

from unilth.paper_figures.certified import brackets
from unilth.paper_figures.style import BLACK, BLUE, GREEN, ORANGE, panels, say
from unilth.paper_figures.table import Cell, Table
from unilth.theory.filters import GRADIENT_FLOW, RIDGE

COLUMNS = ("rule", "kappa", "parameter", "rho", "lower", "upper")
LTH, SNIP = "magnitude at convergence (LTH)", "first-order score (SNIP)"
STOPPED, RIDGED, OBD = "magnitude after early stopping", "magnitude under ridge", "second-order score (OBD)"
LARGEST, POINTS = 1e4, 81
CERTIFIED = {"RHO_ES": STOPPED, "RHO_RIDGE": RIDGED}  # at condition number 100, by T7.5


def phi(y: float) -> float:
    """(1 - e^{-y})/sqrt(y): early-stopped gain over the root of the curvature, at y = curvature times time."""
    return float(GRADIENT_FLOW.gain([y], 1.0)[0]) / float(np.sqrt(y))


def balanced_time(kappa: float) -> float:
    """The stopping time with the best guarantee on the spectrum [1, kappa]: both ends score alike (T7.5)."""
    top = brentq(lambda y: np.expm1(y) - 2 * y, 1.0, 2.0, xtol=1e-14)  # where phi is largest
    if kappa == 1:
        return float(top)
    return float(brentq(lambda y: phi(y) - phi(kappa * y), top / kappa, top, xtol=1e-14))


def spread(score: np.ndarray, curvature: np.ndarray) -> float:
    """rho = (max g/sqrt(h) / min g/sqrt(h))^2 over the curvatures given, T7.5's sharp factor for the score g |w|."""
    ratio = score / np.sqrt(curvature)
    return float((ratio.max() / ratio.min()) ** 2)


def data() -> Table:
    """rho of each rule on the spectrum [1, kappa], with its time or penalty; at kappa = 100 the certified brackets."""
    peak = brentq(lambda y: np.expm1(y) - 2 * y, 1.0, 2.0, xtol=1e-14)
    rows: list[tuple[Cell, ...]] = []
    for kappa in np.geomspace(1, LARGEST, POINTS):
        time, penalty = balanced_time(kappa), float(np.sqrt(kappa))
        # the extremes of g/sqrt(h) lie at the ends of the spectrum or where its one stationary point is
        flow, ridge = np.array([1.0, peak / time, kappa]), np.array([1.0, penalty, kappa])
        for rule, parameter, score, at in (
            (LTH, None, np.ones(3), ridge),
            (SNIP, None, ridge, ridge),
            (STOPPED, time, GRADIENT_FLOW.gain(flow, time), flow),
            (RIDGED, penalty, RIDGE.gain(ridge, penalty), ridge),
            (OBD, None, np.sqrt(ridge), ridge),
        ):
            rows.append((rule, float(kappa), parameter, spread(score, at), None, None))
    certified = brackets("T7.5")
    rows += [(f"certified: {rule}", 100.0, None, None, *certified[name]) for name, rule in CERTIFIED.items()]
    return Table(COLUMNS, tuple(rows))


LOOKS = (  # rule, colour, dash, label, where it stands (condition number, factor), alignment
    (LTH, BLACK, "-", "LTH (magnitude at\nconvergence) and SNIP\n(first-order score):  κ", (1.5, 600.0), "left"),
    (SNIP, BLACK, "-", "", (1.0, 1.0), "left"),
    (STOPPED, BLUE, "-", "early stopping,\nbest time:  ~0.41 √κ", (300.0, 55.0), "left"),
    (RIDGED, ORANGE, (0, (5, 1.5)), "ridge, best penalty:\ncosh²(¼ ln κ)", (380.0, 1.8), "left"),
    (OBD, GREEN, (0, (1, 1)), "OBD (second-order score):  1", (1.5, 0.6), "left"),
)


def draw(table: Table) -> Figure:
    """One log-log panel: early stopping and ridge grow like the square root of what LTH's factor grows like."""
    figure, (axes,) = panels(2.8)
    for rule, colour, dash, label, at, side in LOOKS:
        rows = table.where(rule=rule)
        axes.plot(rows.numbers("kappa"), rows.numbers("rho"), color=colour, linestyle=dash)
        say(axes, label, at, colour, ha=side, bbox=None)
        for value in table.where(rule=f"certified: {rule}").numbers("upper"):
            axes.plot([100], [value], "o", color=colour, markersize=3.5)
            above = rule == STOPPED
            say(axes, f"{value:.3f}", (100, value * (1.3 if above else 0.5)), colour, ha="right", bbox=None)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, 1e4)
    axes.set_ylim(0.45, 1e4)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("condition number of the Hessian  κ")
    axes.set_ylabel("worst loss ÷ best mask's loss")
    return figure
