"""Top eigenpairs and trace of a symmetric operator that is only known by its products with vectors.

SciPy's eigsh (implicitly restarted Lanczos) keeps `2k + 1` vectors at most, about two per eigenpair, in the host's
memory; a product is taken on ``device``.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor

from unilth.errors import UserError

Array = NDArray[np.float64]
Product = Callable[[Tensor], Tensor]
Device: TypeAlias = torch.device | str


def host(values: Tensor) -> Array:
    """The values as an array in the host's memory."""
    return values.detach().cpu().numpy()


@dataclass(frozen=True)
class Trace:
    """Hutchinson's estimate and its standard error over the probes."""

    value: float
    error: float
    probes: int


def top_eigenpairs(
    product: Product, size: int, k: int, seed: int = 0, tolerance: float = 1e-9, device: Device = "cpu"
) -> tuple[Array, Array]:
    """The k algebraically largest eigenvalues, descending (k,), and their eigenvectors in columns (size, k).

    Of an eigenvalue that comes several times Lanczos may find fewer copies than there are, and smaller ones after them:
    the pairs are right, but not the top ones. Regression with several outputs has such eigenvalues.
    """
    if not 1 <= k < size:
        raise UserError(f"{k} eigenpairs of a matrix of size {size} were asked for: give 1 ... {size - 1}")

    def multiply(v: Array) -> Array:
        return host(product(torch.from_numpy(np.ascontiguousarray(v).reshape(-1)).to(device)))

    operator = LinearOperator((size, size), matvec=multiply, dtype=np.float64)
    first = np.random.default_rng(seed).standard_normal(size)
    lanczos = min(size, max(2 * k + 1, 20))
    values, vectors = eigsh(operator, k=k, which="LA", v0=first, ncv=lanczos, tol=tolerance)
    order = np.argsort(-values)
    return values[order], vectors[:, order]


def hutchinson_trace(
    product: Product, size: int, probes: int, generator: torch.Generator, device: Device = "cpu"
) -> Trace:
    """The mean of z'Az over Rademacher vectors z (Hutchinson 1990); the standard error is over the probes (>= 2).

    A CPU generator draws the same vectors for every device.
    """
    if probes < 2:
        raise UserError(f"probes is {probes}: give at least 2, one has no error")
    found = []
    for _ in range(probes):
        z = (torch.randint(0, 2, (size,), generator=generator) * 2 - 1).double().to(device)
        found.append(float(z @ product(z)))
    return Trace(float(np.mean(found)), float(np.std(found, ddof=1) / math.sqrt(probes)), probes)
