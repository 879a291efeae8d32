"""Numbers for a comparison of recipes: spread and interval of a cell, a paired difference with its p-value, Holm.

NumPy and SciPy only, so that tables and figures can be made where torch is not installed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

MOST_PAIRS = 20  # 2^20 sign patterns take a fraction of a second; beyond that "exact" stops being cheap
FLIPS = 100_000  # random sign patterns beyond that: p = 0.05 to within 0.0014 (two standard errors)


@dataclass(frozen=True)
class Cell:
    """The runs of one cell: how many, their mean, standard deviation (n-1) and half the 95% t-interval.

    ``deviation`` and ``half`` are None with fewer than two values, ``mean`` is None with none: nothing is guessed.
    """

    n: int
    mean: float | None
    deviation: float | None
    half: float | None


@dataclass(frozen=True)
class Difference:
    """A recipe minus the baseline, paired by seed: pairs, mean, half the 95% t-interval, p-value (None: no pairs)."""

    n: int
    mean: float | None
    half: float | None
    p: float | None


def describe(values: Sequence[float], *, level: float = 0.95) -> Cell:
    """Mean, standard deviation (n-1) and half the t-interval of one cell's values; every value must be finite."""
    sample = _finite(values, "values")
    n = len(sample)
    if n == 0:
        return Cell(0, None, None, None)
    if n == 1:
        return Cell(1, float(sample[0]), None, None)
    deviation = float(np.std(sample, ddof=1))
    return Cell(n, float(np.mean(sample)), deviation, half_interval(deviation, n, level=level))


def half_interval(deviation: float, n: int, *, level: float = 0.95) -> float:
    """Half the width of Student's interval for a mean: t_{n-1, (1+level)/2} times deviation / sqrt(n), n >= 2."""
    if n < 2:
        raise ValueError(f"n = {n}: an interval needs two values or more")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level = {level!r} must lie strictly between 0 and 1")
    return float(stdtrit(n - 1, (1.0 + level) / 2.0)) * deviation / math.sqrt(n)


def sign_flip_p(differences: Sequence[float]) -> float:
    """Two-sided p-value of the sign-flip permutation test (Fisher 1935) for paired differences.

    Under the null hypothesis every difference is as likely as its negative, so all 2^n sign patterns are equally
    likely; p is the share of patterns whose absolute sum is at least the observed one. The smallest possible p is
    2 / 2^n (0.0625 with 5 seeds). With more than 20 pairs, p is (1 + far) / (1 + 100,000) over random patterns of a
    fixed seed, of which ``far`` are that far: the observed pattern counts, so that p is valid and never 0. Sums equal
    up to rounding count as equal, which can only make p larger.
    """
    sample = _finite(differences, "differences")
    n = len(sample)
    if n == 0:
        raise ValueError("differences is empty: a p-value needs at least one pair")
    far = abs(float(np.sum(sample))) - 1e-9 * float(np.sum(np.abs(sample)))
    if n > MOST_PAIRS:
        draw, sums = np.random.default_rng(0), np.zeros(FLIPS)
        for value in sample:
            sums += value * (2.0 * draw.integers(0, 2, FLIPS) - 1.0)
        return (1.0 + float(np.count_nonzero(np.abs(sums) >= far))) / (1.0 + FLIPS)
    sums = np.zeros(1)
    for value in sample:  # each difference doubles the sums: once with its sign, once with the other
        sums = np.concatenate([sums + value, sums - value])
    return float(np.count_nonzero(np.abs(sums) >= far)) / 2.0**n


def smallest_p(pairs: int) -> float:
    """The smallest p-value that `sign_flip_p` can have with so many pairs."""
    return 2.0 / 2**pairs if pairs <= MOST_PAIRS else 1.0 / (1 + FLIPS)


def paired(values: Mapping[int, float], baseline: Mapping[int, float]) -> Difference:
    """Compare two recipes over the seeds that both have (seed -> value); seeds that only one has are left out."""
    seeds = sorted(values.keys() & baseline.keys())
    differences = [values[seed] - baseline[seed] for seed in seeds]
    cell = describe(differences)
    return Difference(cell.n, cell.mean, cell.half, sign_flip_p(differences) if differences else None)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's (1979) step-down correction: adjusted p-values in the given order, never smaller than the raw ones.

    Rejecting where the adjusted value is at most alpha keeps the chance of any false rejection among all at alpha.
    """
    count = len(p_values)
    if any(not 0.0 <= p <= 1.0 for p in p_values):
        raise ValueError(f"p_values = {list(p_values)!r} must lie in [0, 1]")
    adjusted = [0.0] * count
    largest = 0.0
    for rank, index in enumerate(sorted(range(count), key=lambda position: p_values[position])):
        largest = max(largest, min(1.0, (count - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def _finite(values: Sequence[float], name: str) -> np.ndarray:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, not of shape {sample.shape}")
    if not np.all(np.isfinite(sample)):
        raise ValueError(f"{name} must be finite numbers; got {values!r}")
    return sample
