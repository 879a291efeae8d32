"""How figures look: a palette that colour-blind readers can tell apart, one marker per method, fixed fonts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Okabe & Ito (2008), without the yellow, which is too light for lines on white.
BLUE, ORANGE, GREEN = "#0072B2", "#D55E00", "#009E73"
PINK, SKY, AMBER, BLACK = "#CC79A7", "#56B4E9", "#E69F00", "#000000"
INK, GREY, FAINT = "#222222", "#767676", "#C8C8C8"

COLUMN = 3.4  # inches: one column of a two-column page
LINE = 1.5

RC = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # ships with matplotlib: the same glyphs everywhere
    "font.size": 7.5,
    "mathtext.fontset": "dejavusans",
    "axes.titlesize": 8,
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#EBEBEB",
    "grid.linewidth": 0.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "lines.linewidth": LINE,
    "lines.markersize": 4,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.dpi": 100,
    "savefig.dpi": 300,
    "pdf.fonttype": 42,  # TrueType, so that journals accept the file and text stays text
    "pdf.compression": 6,
    "path.simplify": False,
}


@contextmanager
def style() -> Iterator[None]:
    """Matplotlib's own defaults plus ours, whatever matplotlibrc the user has; restored on leaving."""
    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    with matplotlib.rc_context({**defaults, **RC}):
        yield


def panels(
    height: float, rows: int = 1, columns: int = 1, *, width: float = COLUMN, **keywords: object
) -> tuple[Figure, list[Axes]]:
    """A figure of `width` and `height` in inches with its axes in reading order; no pyplot, no global state."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **keywords)
    return figure, list(axes.flat)


def say(axes: Axes, text: str, at: tuple[float, float], colour: str = INK, **keywords: object) -> None:
    """A direct label in data coordinates, on a white ground so that lines do not cross the letters."""
    ground = {"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.85}
    axes.annotate(text, at, color=colour, **{"fontsize": 7, "bbox": ground, "zorder": 5, **keywords})
