"""Every figure, as an explicit tuple of rows. Importing this imports neither matplotlib nor the figures' modules."""

from __future__ import annotations

from dataclasses import dataclass

from unilth.errors import UserError


@dataclass(frozen=True)
class FigureSpec:
    """One figure: its name, the module with ``data`` and ``draw``, what it shows and what it is computed from.

    ``sources`` are the modules whose source digests count as inputs. ``reads_results`` says that ``data`` takes the
    folder of recorded runs; otherwise it takes nothing. ``only_named`` figures read records of another kind than a
    sweep's runs, so they are drawn where they are asked for by name.
    """

    name: str
    module: str
    title: str
    caption: str
    sources: tuple[str, ...]
    reads_results: bool = False
    only_named: bool = False


FIGURES = (
    FigureSpec(
        "filters",
        "unilth.paper_figures.filters",
        "Early stopping is nearly ridge, and by how much it is not",
        "Residual of gradient flow stopped at time t and of ridge at the matched penalty a = 1/t, as functions of "
        "eigenvalue times t (T1.4). Their gap is never negative and never above the certified constant A1; with k "
        "gradient-descent steps it is at most D_k.",
        ("unilth.theory.filters", "unilth.theory.theorems.quadratic.uniform_gap"),
    ),
    FigureSpec(
        "risk",
        "unilth.paper_figures.risk",
        "Neither wins always: two signals, two winners",
        "Exact estimation risk on the spectrum (1, 2) with σ²/n = 1, for the two signals of T5.3. "
        "The dotted line is the oracle (Wiener) risk, which no spectral filter beats: early stopping "
        "attains it in the first case, ridge in the second.",
        (
            "unilth.theory.filters",
            "unilth.theory.models.regression",
            "unilth.theory.theorems.comparison.two_eigenvalues",
        ),
    ),
    FigureSpec(
        "mask_guarantee",
        "unilth.paper_figures.mask_guarantee",
        "What early stopping does to the mask: from κ to about 0.41 √κ",
        "Sharp worst-case factor ρ by which the loss after pruning exceeds the best mask's, diagonal Hessian with "
        "condition number κ (T7.5). Early stopping and ridge are each at their best "
        "parameter; the dots are certified values at κ = 100.",
        ("unilth.theory.filters", "unilth.theory.theorems.trajectory.mask_guarantee"),
    ),
    FigureSpec(
        "accuracy",
        "unilth.paper_figures.accuracy",
        "Test accuracy against sparsity",
        "Each panel lifts one recipe out of the same plot. Points are means over seeds; bars are 95% t-intervals of "
        "the mean; the axis is stretched towards 100%; the grey band is the dense network's interval.",
        ("unilth.sims.table", "unilth.sims.statistics"),
        reads_results=True,
    ),
    FigureSpec(
        "endpoints",
        "unilth.paper_figures.endpoints",
        "How far along each eigenvector: closed forms against networks",
        "Share of the way gone along the top eigenvectors of the Gauss-Newton matrix at the start, after stopping at t "
        "and at the minimum with the L2 penalty 1/t around the start, square loss, three times, one seed. Lines are "
        "the closed forms (T1.1, T1.3); on rungs linear in their parameters the points must lie on them.",
        ("unilth.sims.endpoints.shrinkage", "unilth.sims.endpoints.ladder", "unilth.theory.filters"),
        reads_results=True,
        only_named=True,
    ),
    FigureSpec(
        "distances",
        "unilth.paper_figures.distances",
        "Which end point is nearest to UniLTH's",
        "From UniLTH's end point, one start, 90% pruned unless dense: symmetrised KL divergence between predictions on "
        "test inputs, norm of the difference of the weights over their mean norm, and barrier of the training loss on "
        "the straight line. Small marks are seeds, large ones means (on logarithmic axes of logarithms) with 95% "
        "t-intervals; what is below 10⁻⁴ nats is drawn there. UniLTH with its batches in another order is the scale; "
        "regularised baselines are orange squares.",
        ("unilth.sims.endpoints.distances", "unilth.sims.endpoints.ends", "unilth.sims.statistics"),
        reads_results=True,
        only_named=True,
    ),
)


def choose(names: tuple[str, ...]) -> tuple[FigureSpec, ...]:
    """The figures of these names, in the gallery's order; all of them for no names."""
    known = {spec.name for spec in FIGURES}
    for name in names:
        if name not in known:
            raise UserError(f"there is no figure {name!r}; the figures are {', '.join(sorted(known))}")
    return tuple(spec for spec in FIGURES if not names or spec.name in names)
