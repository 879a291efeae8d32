"""How far from the best mask each magnitude rule can be, against the condition number (T7.5)."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from unilth.paper_figures.style import BLACK, BLUE, GREEN, ORANGE, panels, say
from unilth.paper_figures.table import Table, curve

COLUMNS = ("rule", "kappa", "rho")
LTH, SNIP = "magnitude at convergence (LTH)", "first-order score (SNIP)"
STOPPED, RIDGE, OBD = "magnitude after early stopping", "magnitude under ridge", "second-order score (OBD)"


def data() -> Table:
    from scipy.optimize import brentq

    kappa = np.logspace(0, 4, 161)
    phi = lambda y: -np.expm1(-y) / np.sqrt(y)

    def es(k):
        if k == 1:
            return 1.0
        t = brentq(lambda t: phi(t) - phi(t * k), 1e-9, 1.2564312)
        return (0.638172686338951 / phi(t)) ** 2

    rows = []
    rows += curve((LTH,), kappa, kappa)
    rows += curve((SNIP,), kappa, kappa)
    rows += curve((STOPPED,), kappa, [es(k) for k in kappa])
    rows += curve((RIDGE,), kappa, np.cosh(np.log(kappa) / 4) ** 2)
    rows += curve((OBD,), kappa, kappa**0)
    return Table(COLUMNS, tuple(rows))


LOOKS = (  # rule, colour, dash, label, where it stands (condition number, factor), alignment
    (LTH, BLACK, "-", "LTH (magnitude at\nconvergence) and SNIP\n(first-order score):  κ", (1.5, 600.0), "left"),
    (SNIP, BLACK, "-", "", (1.0, 1.0), "left"),
    (STOPPED, BLUE, "-", "early stopping,\nbest time:  ~0.41 √κ", (480.0, 38.0), "left"),
    (RIDGE, ORANGE, (0, (5, 1.5)), "ridge, best penalty:\ncosh²(¼ ln κ)", (480.0, 1.9), "left"),
    (OBD, GREEN, (0, (1, 1)), "OBD (second-order score):  1", (1.5, 0.6), "left"),
)


def draw(table: Table) -> Figure:
    """One log-log panel: early stopping and ridge grow like the square root of what LTH's factor grows like."""
    figure, (axes,) = panels(2.8)
    for rule, colour, dash, label, at, side in LOOKS:
        rows = table.where(rule=rule)
        axes.plot(rows.numbers("kappa"), rows.numbers("rho"), color=colour, linestyle=dash)
        say(axes, label, at, colour, ha=side, bbox=None)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, 1e4)
    axes.set_ylim(0.45, 1e4)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_xlabel("condition number of the Hessian  κ")
    axes.set_ylabel("worst loss ÷ best mask's loss")
    return figure
