"""Diagonal linear networks w = u² - v² on an orthogonal design, in closed form.

Gradient flow of the factors on ½(w-y)² from u0 = v0 = α conserves uv = α²; with A = α² the weight obeys
w' = 4 (y-w) √(w² + 4A²), a Riccati equation in z = u²/A (Woodworth et al. 2020; Vaškevičius et al. 2019).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unilth.errors import UserError

Array = NDArray[np.float64]


def _start(alpha: float) -> float:
    if not (np.isfinite(alpha) and alpha > 0):
        raise UserError(f"alpha is {alpha}; give a positive start, from 0 the flow never moves")
    return float(alpha) ** 2


def log_ratio(y: ArrayLike, alpha: float, t: ArrayLike) -> Array:
    """ln z = ln(u²/α²) = arcsinh(w/2α²) at time t >= 0, broadcast over targets y and times t.

    Solved for |y| and odd in y. With D = √(y²+4A²) and z_± = (y±D)/2A, z = (z_+ + q z_-)/(1+q) for
    q = (z_+ - 1)/(1 - z_-) e^{-4Dt}, computed through ln q so that no start is too small.
    """
    a = _start(alpha)
    target, time = np.broadcast_arrays(np.asarray(y, dtype=float), np.asarray(t, dtype=float))
    if np.any(time < 0):
        raise UserError(f"t is {time.min()}; give times >= 0")
    size = np.abs(target)
    d = np.hypot(size, 2 * a)
    lower = 2 * a * a / (size + d)  # -A z_-, without cancellation
    # A(z_+ - 1) = (|y| + (D - 2A))/2 with D - 2A = y²/(D + 2A); it is 0 only where y = 0
    excess = (size + size * size / (d + 2 * a)) / 2
    with np.errstate(divide="ignore"):  # y = 0 never moves: ln 0 = -inf is meant
        log_excess = np.log(excess)
        log_q = log_excess - np.log(a + lower) - 4 * d * time
        # z - 1 = (z_+ - 1)(1 - e^{-4Dt})/(1+q): keeps its digits near the start
        log_climbed = log_excess + np.log(-np.expm1(-4 * d * time)) - np.log(a) - np.logaddexp(0, log_q)
    value = np.log1p(np.exp(log_climbed))
    return np.where(target < 0, -value, value)


def weight(y: ArrayLike, alpha: float, t: ArrayLike) -> Array:
    """w(t) = 2α² sinh(ln z): the weight at time t."""
    a = _start(alpha)
    log_z = log_ratio(y, alpha, t)
    return 2 * np.sinh(log_z) * a


def averaged_weight(y: ArrayLike, alpha: float, t: ArrayLike) -> Array:
    """(1/t) ∫_0^t w = y - arcsinh(w(t)/2α²)/(4t): the time average, t > 0 (Berthier 2025; exact)."""
    time = np.asarray(t, dtype=float)
    if np.any(time <= 0):
        raise UserError(f"t is {time.min()}; give times > 0, an average needs a path")
    return np.asarray(y, dtype=float) - log_ratio(y, alpha, time) / (4 * time)


def threshold_time(alpha: float, threshold: float) -> float:
    """The time ln(1/α²)/(4τ) at which a small start has learnt what exceeds τ and nothing else; α < 1, τ > 0."""
    a = _start(alpha)
    if not (a < 1 and threshold > 0):
        raise UserError(f"alpha is {alpha} and threshold {threshold}; give alpha < 1 and a positive threshold")
    return float(-np.log(a) / (4 * threshold))


def hyperbolic_entropy(w: ArrayLike, alpha: float) -> Array:
    """Σ_j w_j arcsinh(w_j/2α²) - √(w_j²+4α⁴) over the last axis: what the flow minimises among interpolators."""
    a, w = _start(alpha), np.asarray(w, dtype=float)
    return np.sum(w * np.arcsinh(w / (2 * a)) - np.hypot(w, 2 * a), axis=-1)
