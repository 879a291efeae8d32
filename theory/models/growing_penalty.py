"""A growing L2 penalty on the weights that are to go: w(lambda) = argmin L(w) + lambda/2 ||(1-m) w||^2 (catalogue
T6.1).

L(w) = (w-w*)'H(w-w*)/2 with H symmetric positive semi-definite, kept weights m, pruned weights c. Eliminating the kept
block leaves ridge regression in the Schur complement S = H_cc - H_cm H_mm^+ H_mc, hence one eigendecomposition answers
for every penalty at once. A singular H_mm is inverted on its range: H_mc maps into that range because H is PSD.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unilth.errors import UserError

Array = NDArray[np.float64]


def pseudo_inverse(matrix: Array) -> Array:
    """Moore-Penrose inverse of a symmetric PSD matrix (k, k); eigenvalues below k eps max|eigenvalue| count as zero."""
    if matrix.size == 0:
        return matrix.copy()
    values, vectors = np.linalg.eigh(matrix)
    floor = len(matrix) * np.finfo(float).eps * np.abs(values).max()
    inverse = np.zeros_like(values)
    np.divide(1.0, values, out=inverse, where=values > floor)
    return (vectors * inverse) @ vectors.T


@dataclass(frozen=True, eq=False)
class PenalisedQuadratic:
    """A quadratic loss with a penalty on the weights where `kept` is False.

    hessian (n, n), symmetric PSD; minimiser w* (n,); kept (n,) bool. Raises UserError on shapes that do not match, on
    a Hessian that is not symmetric PSD and on values that are not finite.
    """

    hessian: Array
    minimiser: Array
    kept: NDArray[np.bool_]

    def __init__(self, hessian: ArrayLike, minimiser: ArrayLike, kept: ArrayLike) -> None:
        h, w, m = np.asarray(hessian, float), np.asarray(minimiser, float), np.asarray(kept, bool)
        if h.ndim != 2 or h.shape[0] != h.shape[1] or w.shape != h.shape[:1] or m.shape != w.shape:
            raise UserError(
                f"hessian {h.shape}, minimiser {w.shape} and kept {m.shape} do not match; give (n, n), (n,) and (n,)"
            )
        if not (np.isfinite(h).all() and np.isfinite(w).all()):
            raise UserError("hessian or minimiser has a value that is not finite; give finite numbers")
        scale = np.abs(h).max(initial=1e-300)
        if not np.allclose(h, h.T, rtol=0, atol=1e-10 * scale):
            raise UserError("hessian is not symmetric; give (H + H') / 2")
        least = np.linalg.eigvalsh(h)[0] if len(h) else 0.0
        if least < -1e-10 * scale:
            raise UserError(f"hessian has the eigenvalue {least:.3g}; give a positive semi-definite matrix")
        object.__setattr__(self, "hessian", (h + h.T) / 2)
        object.__setattr__(self, "minimiser", w)
        object.__setattr__(self, "kept", m)

    @cached_property
    def coupling(self) -> Array:
        """B = H_mm^+ H_mc, shape (kept, pruned): how far the kept weights move per unit a pruned weight moves."""
        m = self.kept
        return pseudo_inverse(self.hessian[np.ix_(m, m)]) @ self.hessian[np.ix_(m, ~m)]

    @cached_property
    def schur(self) -> Array:
        """S = H/H_mm, shape (pruned, pruned): the curvature that the pruned weights feel once the kept ones adapt."""
        m = self.kept
        s = self.hessian[np.ix_(~m, ~m)] - self.hessian[np.ix_(~m, m)] @ self.coupling
        return (s + s.T) / 2

    @cached_property
    def _spectrum(self) -> tuple[Array, Array]:
        if not self.schur.size:
            return np.zeros(0), self.schur
        values, vectors = np.linalg.eigh(self.schur)
        floor = len(self.hessian) * np.finfo(float).eps * np.abs(self.hessian).max(initial=0.0)
        return np.where(values > floor, values, 0.0), vectors

    def _join(self, pruned: Array) -> Array:
        """All weights (..., n) when the pruned ones are `pruned` (..., c) and the kept ones are optimal given them."""
        w = np.empty((*pruned.shape[:-1], len(self.kept)))
        w[..., ~self.kept] = pruned
        w[..., self.kept] = self.minimiser[self.kept] + (self.minimiser[~self.kept] - pruned) @ self.coupling.T
        return w

    def weights(self, penalty: ArrayLike) -> Array:
        """w(lambda), shape (*penalty.shape, n), for penalties >= 0; inf gives the limit.

        At 0 this is the limit lambda -> 0+: w* where S is regular. Where H and the penalty are both flat the minimiser
        is not unique; the one nearest w* is returned.
        """
        lam = np.asarray(penalty, float)
        if not (lam >= 0).all():
            raise UserError(f"penalty has the value {np.min(lam)}; give values >= 0")
        s, q = self._spectrum
        with np.errstate(invalid="ignore"):
            shrink = np.where(s > 0, s / (s + lam[..., None]), 0.0)
        return self._join((shrink * (self.minimiser[~self.kept] @ q)) @ q.T)

    @property
    def limit(self) -> Array:
        """w(infinity): pruned weights 0, kept weights w*_m + B w*_c. The optimal brain surgeon's point, shape (n,)."""
        return self._join(np.zeros(int((~self.kept).sum())))

    def loss(self, weights: ArrayLike) -> Array:
        """L(w) for w (..., n), shape (...)."""
        d = np.asarray(weights, float) - self.minimiser
        return 0.5 * np.einsum("...i,ij,...j->...", d, self.hessian, d)

    def penalised_loss(self, weights: ArrayLike, penalty: float) -> Array:
        """L(w) + lambda/2 ||w_c||^2 for w (..., n)."""
        w = np.asarray(weights, float)
        return self.loss(w) + 0.5 * penalty * (w[..., ~self.kept] ** 2).sum(-1)

    @property
    def limit_loss(self) -> float:
        """w*_c' S w*_c / 2: the loss of the limit, the least that any weights with this mask can have."""
        c = self.minimiser[~self.kept]
        return float(0.5 * c @ self.schur @ c)

    @property
    def plain_loss(self) -> float:
        """w*_c' H_cc w*_c / 2: the loss of setting the pruned weights of w* to 0 and leaving the kept ones where
        they are."""
        return float(self.loss(np.where(self.kept, self.minimiser, 0.0)))

    def prune_excess(self, penalty: ArrayLike) -> Array:
        """Loss of w(lambda) after hard pruning minus `limit_loss`: ||H_mm^(-1/2) H_mc w_c(lambda)||^2 / 2 (T6.2)."""
        pruned = self.weights(penalty)[..., ~self.kept]
        moved = pruned @ self.hessian[np.ix_(~self.kept, self.kept)]
        return 0.5 * np.einsum("...i,...i->...", moved, pruned @ self.coupling.T)
