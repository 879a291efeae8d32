"""Linearised networks f(θ) = f0 + Φ(θ-θ0): gradient flow and ridge in closed form, in predictions and in parameters.

Square loss ½‖f-y‖² on n training points, Jacobian Φ of the predictions at θ0 (neural tangent kernel K = ΦΦ'; Jacot et
al. 2018, Lee et al. 2019). Every filter of `unilth.theory.filters` acts on the eigenvalues of K, from f0 towards y.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unilth.errors import UserError
from unilth.theory.filters import Filter

Array = NDArray[np.float64]


@dataclass(frozen=True)
class LinearisedNetwork:
    """Jacobian `features` (n, p) and predictions `initial` (n,) at θ0; `targets` (n,).

    Raises UserError where shapes differ or something is not finite.
    """

    features: Array
    initial: Array
    targets: Array

    def __post_init__(self) -> None:
        shapes = (self.features.shape, self.initial.shape, self.targets.shape)
        if self.features.ndim != 2 or shapes[1] != shapes[0][:1] or shapes[2] != shapes[1]:
            raise UserError(f"features, initial and targets have shapes {shapes}; give (n, p), (n,) and (n,)")
        if not all(np.isfinite(x).all() for x in (self.features, self.initial, self.targets)):
            raise UserError("features, initial or targets have values that are not finite; give finite ones")

    @cached_property
    def decomposition(self) -> tuple[Array, Array, Array]:
        """Φ = U diag(√s) V': U (n, r), eigenvalues s (r,) of K, V' (r, p), r = min(n, p)."""
        left, singular, right = np.linalg.svd(self.features, full_matrices=False)
        return left, singular**2, right

    @property
    def kernel(self) -> Array:
        """The neural tangent kernel K = ΦΦ', shape (n, n)."""
        return self.features @ self.features.T

    def predictions(self, spectral: Filter, parameter: ArrayLike) -> Array:
        """f0 + g(K)(y-f0) for the filter's gain g, shape (p..., n): e.g. gradient flow at times, ridge at penalties."""
        left, eigenvalues, _ = self.decomposition
        gain = spectral.gain(eigenvalues, parameter)
        return self.initial + (gain * (left.T @ (self.targets - self.initial))) @ left.T

    def parameters(self, spectral: Filter, parameter: ArrayLike) -> Array:
        """θ-θ0, shape (p..., p): V g(s)/√s U'(y-f0); nothing moves in the kernel of Φ."""
        left, eigenvalues, right = self.decomposition
        gain = spectral.gain(eigenvalues, parameter)
        tiny = eigenvalues <= eigenvalues.max(initial=0) * (max(self.features.shape) * np.finfo(float).eps) ** 2
        inverse = np.where(tiny, 0.0, 1 / np.sqrt(np.where(tiny, 1.0, eigenvalues)))
        return (gain * inverse * (left.T @ (self.targets - self.initial))) @ right
