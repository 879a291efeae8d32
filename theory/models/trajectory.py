"""UniLTH on a quadratic: free gradient flow, a penalty ramp on the weights that are to go, a hard prune (catalogue 7).

dw/dt = -H(w-w*) - lambda(t) P w with P = diag(1-m). On every piece where lambda is constant the flow is solved exactly
in the eigenbasis of H + lambda P, so the only approximation of a smooth ramp is its staircase. H may be singular.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unilth.errors import UserError
from unilth.theory.models.growing_penalty import Array, PenalisedQuadratic


@dataclass(frozen=True, eq=False)
class Ramp:
    """A piecewise-constant penalty: `penalties[j] >= 0` for the time `durations[j] >= 0`, both of shape (pieces,)."""

    durations: Array
    penalties: Array

    def __init__(self, durations: ArrayLike, penalties: ArrayLike) -> None:
        d, p = np.atleast_1d(np.asarray(durations, float)), np.atleast_1d(np.asarray(penalties, float))
        if d.ndim != 1 or d.shape != p.shape:
            raise UserError(f"durations {d.shape} and penalties {p.shape} do not match; give two lists of one length")
        if not (np.isfinite(d).all() and np.isfinite(p).all() and (d >= 0).all() and (p >= 0).all()):
            raise UserError("durations or penalties has a negative or infinite value; give finite values >= 0")
        object.__setattr__(self, "durations", d)
        object.__setattr__(self, "penalties", p)

    @property
    def time(self) -> float:
        return float(self.durations.sum())


def _midpoints(duration: float, pieces: int) -> tuple[Array, Array]:
    if not (np.isfinite(duration) and duration > 0):
        raise UserError(f"duration is {duration}; give a finite time > 0")
    if pieces < 1:
        raise UserError(f"pieces is {pieces}; give at least 1")
    return np.full(pieces, duration / pieces), (np.arange(pieces) + 0.5) / pieces


def power_ramp(top: float, duration: float, power: int = 1, pieces: int = 1000) -> Ramp:
    """Staircase of lambda(t) = top (t/duration)^power: each step has the value at its midpoint."""
    if power not in (1, 2, 3):
        raise UserError(f"power is {power}; give 1, 2 or 3")
    steps, middle = _midpoints(duration, pieces)
    return Ramp(steps, top * middle**power)


def hyperbolic_ramp(scale: float, duration: float, pieces: int = 1000) -> Ramp:
    """Staircase of lambda(t) = scale t/(duration - t), which is infinite at the end (T7.10)."""
    steps, middle = _midpoints(duration, pieces)
    return Ramp(steps, scale * middle / (1.0 - middle))


def natural_scale(problem: PenalisedQuadratic) -> float:
    """sqrt(s_min s_max) of the Schur complement: the scale that balances the hyperbolic ramp's tracking error
    (T7.10)."""
    s = np.linalg.eigvalsh(problem.schur)
    return float(np.sqrt(max(s[0], 0.0) * s[-1]))


def path(problem: PenalisedQuadratic, start: ArrayLike, ramp: Ramp) -> Array:
    """Weights at the start and after every piece of the ramp, shape (pieces + 1, n)."""
    w = np.asarray(start, float)
    if w.shape != problem.minimiser.shape:
        raise UserError(f"start has shape {w.shape}; give {problem.minimiser.shape}")
    pressed = np.diag((~problem.kept).astype(float))
    pull = problem.hessian @ problem.minimiser
    states = [w]
    # One eigendecomposition per run of equal penalties: a ramp often rests at its top.
    last, values, vectors = None, np.zeros(0), np.zeros((0, 0))
    for step, penalty in zip(ramp.durations, ramp.penalties, strict=True):
        if penalty != last:
            values, vectors = np.linalg.eigh(problem.hessian + penalty * pressed)
            values, last = np.maximum(values, 0.0), penalty
        # (1 - e^{-m t})/m, which is t where the curvature m is 0
        gain = np.full_like(values, step)
        np.divide(-np.expm1(-values * step), values, out=gain, where=values > 0)
        w = vectors @ (np.exp(-values * step) * (vectors.T @ w) + gain * (vectors.T @ pull))
        states.append(w)
    return np.array(states)


def end_point(problem: PenalisedQuadratic, start: ArrayLike, ramp: Ramp) -> Array:
    """Weights (n,) at the end of the ramp, before the hard prune."""
    return path(problem, start, ramp)[-1]


def free_flow(hessian: ArrayLike, minimiser: ArrayLike, start: ArrayLike, time: float) -> Array:
    """Weights (n,) of unpenalised gradient flow at `time`."""
    w = np.asarray(minimiser, float)
    problem = PenalisedQuadratic(hessian, w, np.ones(w.shape, bool))
    return end_point(problem, start, Ramp([time], [0.0]))


def magnitude_mask(weights: ArrayLike, sparsity: float | Fraction | str) -> NDArray[np.bool_]:
    """True = kept. Prunes floor(sparsity n) smallest |w|, ties by position (the earlier goes first), for w (n,).

    The count is exact in decimals: 0.29 of 100 is 29.
    """
    share = Fraction(str(sparsity))
    if not 0 <= share <= 1:
        raise UserError(f"sparsity is {sparsity}; give a number from 0 to 1")
    w = np.abs(np.asarray(weights, float))
    kept = np.ones(w.shape, bool)
    kept[np.argsort(w, kind="stable")[: int(share * len(w))]] = False
    return kept


@dataclass(frozen=True, eq=False)
class Ticket:
    """A ticket found on a quadratic: the mask (True = kept), the weights when pressed, and those after the hard
    prune."""

    kept: NDArray[np.bool_]
    pressed: Array
    weights: Array
    loss: float


def unilth(
    hessian: ArrayLike,
    minimiser: ArrayLike,
    start: ArrayLike,
    stop_time: float,
    ramp: Ramp,
    *,
    sparsity: float | Fraction | str | None = None,
    kept: ArrayLike | None = None,
) -> Ticket:
    """Free flow for `stop_time`, then the ramp on the weights that go, then the prune.

    The mask is by magnitude at `stop_time` if `sparsity` is given (UniLTH), or `kept` as given (UniDLTH).
    """
    if (sparsity is None) == (kept is None):
        raise UserError("give exactly one of sparsity (mask by magnitude) and kept (mask given)")
    stopped = free_flow(hessian, minimiser, start, stop_time)
    mask = magnitude_mask(stopped, sparsity) if sparsity is not None else np.asarray(kept, bool)
    problem = PenalisedQuadratic(hessian, minimiser, mask)
    pressed = end_point(problem, stopped, ramp)
    pruned = np.where(mask, pressed, 0.0)
    return Ticket(mask, pressed, pruned, float(problem.loss(pruned)))
