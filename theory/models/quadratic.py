"""A quadratic loss L(w) = (w-w*)'H(w-w*)/2 with any symmetric PSD H, singular allowed, and what runs on it, in closed
form.

H is decomposed once; after that gradient descent, gradient flow, ridge and every other filter are a product per answer
(catalogue T1.1, T1.3, T1.7, T2.1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unilth.errors import UserError
from unilth.theory.filters import GRADIENT_FLOW, RIDGE, Filter, gradient_descent

Array = NDArray[np.float64]


def decompose(matrix: ArrayLike, name: str = "hessian") -> tuple[Array, Array]:
    """Eigenvalues (n,), ascending, and eigenvectors (n, n) in columns of a symmetric PSD matrix (n, n).

    Eigenvalues that rounding cannot tell from 0 are exactly 0, so that a singular matrix keeps its kernel. Raises
    UserError if the matrix is not square, finite, symmetric and PSD.
    """
    h = np.asarray(matrix, float)
    if h.ndim != 2 or h.shape[0] != h.shape[1] or not np.isfinite(h).all():
        raise UserError(f"{name} has shape {h.shape} or values that are not finite; give a finite (n, n) matrix")
    scale = np.abs(h).max(initial=1e-300)
    if not np.allclose(h, h.T, rtol=0, atol=1e-10 * scale):
        raise UserError(f"{name} is not symmetric; give ({name} + its transpose) / 2")
    values, vectors = np.linalg.eigh((h + h.T) / 2)
    if len(values) and values[0] < -1e-10 * scale:
        raise UserError(f"{name} has the eigenvalue {values[0]:.3g}; give a positive semi-definite matrix")
    floor = len(h) * np.finfo(float).eps * scale
    return np.where(values > floor, values, 0.0), vectors


@dataclass(frozen=True, eq=False)
class Quadratic:
    """L(w) = (w-w*)'H(w-w*)/2: hessian (n, n) symmetric PSD, minimiser w* (n,), any of them if H is singular."""

    hessian: Array
    minimiser: Array
    eigenvalues: Array
    vectors: Array

    def __init__(self, hessian: ArrayLike, minimiser: ArrayLike) -> None:
        values, vectors = decompose(hessian)
        w = np.asarray(minimiser, float)
        if w.shape != values.shape or not np.isfinite(w).all():
            raise UserError(
                f"minimiser has shape {w.shape} or is not finite; give a finite vector of shape {values.shape}"
            )
        h = np.asarray(hessian, float)
        object.__setattr__(self, "hessian", (h + h.T) / 2)
        object.__setattr__(self, "minimiser", w)
        object.__setattr__(self, "eigenvalues", values)
        object.__setattr__(self, "vectors", vectors)

    def loss(self, weights: ArrayLike) -> Array:
        """L(w) for w (..., n), shape (...)."""
        along = (np.asarray(weights, float) - self.minimiser) @ self.vectors
        return 0.5 * (along**2 * self.eigenvalues).sum(-1)

    def gradient(self, weights: ArrayLike) -> Array:
        """H (w - w*) for w (..., n), shape (..., n)."""
        return (np.asarray(weights, float) - self.minimiser) @ self.hessian

    def filtered(self, rule: Filter, parameter: ArrayLike, start: ArrayLike | None = None) -> Array:
        """w0 + Q g(Lambda) Q'(w* - w0), shape (*parameter.shape, n); the start w0 (n,) is 0 if not given.

        The kernel's part of the start is returned as it came, whatever the filter.
        """
        w0 = self._start(start)
        way = (self.minimiser - w0) @ self.vectors
        return w0 + (rule.gain(self.eigenvalues, parameter) * way) @ self.vectors.T

    def gradient_descent(self, step: float, steps: ArrayLike, start: ArrayLike | None = None) -> Array:
        """The iterates w_k after `steps` steps of size `step`, shape (*steps.shape, n), without looping (T1.1)."""
        return self.filtered(gradient_descent(step), steps, start)

    def scheduled_descent(self, schedule: ArrayLike, start: ArrayLike | None = None) -> Array:
        """All iterates w_0 ... w_k of gradient descent with step sizes `schedule` (k,), shape (k+1, n) (T1.1)."""
        w0 = self._start(start)
        left = np.vstack([np.ones_like(self.eigenvalues), np.cumprod(self._factors(schedule), axis=0)])
        return self.minimiser + (left * ((w0 - self.minimiser) @ self.vectors)) @ self.vectors.T

    def gradient_flow(self, time: ArrayLike, start: ArrayLike | None = None) -> Array:
        """w(t) of dw/dt = -H(w-w*), shape (*time.shape, n)."""
        return self.filtered(GRADIENT_FLOW, time, start)

    def ridge(self, penalty: ArrayLike, centre: ArrayLike | None = None) -> Array:
        """argmin L(w) + a/2 ||w - centre||^2 for penalties a >= 0 (0: the limit), shape (*penalty.shape, n)."""
        return self.filtered(RIDGE, penalty, centre)

    def generalised_ridge(self, penalty: ArrayLike, centre: ArrayLike | None = None) -> Array:
        """argmin L(w) + (w-centre)'P(w-centre)/2 for a symmetric P (n, n) with H + P regular, shape (n,)."""
        p = np.asarray(penalty, float)
        w0 = self._start(centre)
        return np.linalg.solve(self.hessian + p, self.hessian @ self.minimiser + p @ w0)

    def stopping_penalty(self, schedule: ArrayLike) -> Array:
        """The matrix P (n, n) whose generalised ridge is gradient descent with step sizes `schedule` (k,) (T2.1).

        P = (sum_j e_j prod_(i<=j) (I - e_i H)^-1)^-1, which is 1/sum_j e_j on the kernel. Not positive where an odd
        number of factors 1 - e_j s is negative; 0 where one is 0.
        """
        factors = self._factors(schedule)
        with np.errstate(divide="ignore", invalid="ignore"):
            weights = np.asarray(schedule, float)[:, None] / np.cumprod(factors, axis=0)
            values = np.where((factors == 0).any(0), 0.0, 1 / weights.sum(0))
        return (self.vectors * values) @ self.vectors.T

    def _factors(self, schedule: ArrayLike) -> Array:
        steps = np.asarray(schedule, float)
        if steps.ndim != 1 or not np.isfinite(steps).all():
            raise UserError(f"schedule has shape {steps.shape} or is not finite; give finite step sizes of shape (k,)")
        return 1 - steps[:, None] * self.eigenvalues

    def _start(self, start: ArrayLike | None) -> Array:
        w = np.zeros_like(self.minimiser) if start is None else np.asarray(start, float)
        if w.shape != self.minimiser.shape:
            raise UserError(f"start has shape {w.shape}; give {self.minimiser.shape}")
        return w
