"""When does early stopping win? The two regions of catalogue T5.2 against the measured winner, split by split.

Least squares on real data: the spectrum and the signal are estimated on the training part, time and penalty are tuned
on the validation part, and the two winners meet once on the test part.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from unilth.sims.endpoints.shrinkage import Array
from unilth.theory.filters import GRADIENT_FLOW, RIDGE, Filter

GRID = np.geomspace(1e-3, 1e5, 400)


def winners(name: str, design: Array, target: Array, splits: int) -> list[dict[str, Any]]:
    """One row per random split (3/5 training, 1/5 validation, 1/5 test) of a design (n, d) and a target (n,)."""
    return [{"data": name, "split": number, **one(design, target, number)} for number in range(splits)]


def one(design: Array, target: Array, number: int) -> dict[str, Any]:
    """Test errors of the tuned filters, the estimated profile, and the region it lies in."""
    n = len(target)
    order = np.random.default_rng([number, n]).permutation(n)
    train, validation, test = np.split(order, [3 * n // 5, 4 * n // 5])
    centre, level = design[train].mean(0), target[train].mean()
    x, y = design - centre, target - level
    left, singular, right = np.linalg.svd(x[train], full_matrices=False)
    kept = singular > 1e-8 * singular[0]
    left, singular, right = left[:, kept], singular[kept], right[kept]
    m = len(train)
    s, coefficients = singular**2 / m, (left.T @ y[train]) / singular
    variance = float(((y[train] - left @ (left.T @ y[train])) ** 2).sum() / (m - len(s) - 1))
    snr = np.maximum(m * s * coefficients**2 / variance - 1, 0.0)  # E of the first term is SNR + 1
    errors = {}
    for label, rule in (("stopping", GRADIENT_FLOW), ("ridge", RIDGE)):
        curve = along(rule, s, coefficients, right, x[validation], y[validation])
        best = float(GRID[int(curve.argmin())]) / s[0] if rule is GRADIENT_FLOW else s[0] / GRID[int(curve.argmin())]
        weights = (rule.gain(s, best) * coefficients) @ right
        errors[label] = float(((x[test] @ weights - y[test]) ** 2).mean())
        errors[f"{label}_parameter"] = best
    signal, stop_times = np.sqrt(snr / s), np.log1p(snr) / s
    return {
        **errors,
        "snr": snr.tolist(),
        "eigenvalues": s.tolist(),
        "variance": variance,
        "region": region(signal, stop_times),
        "ordered_signal": concordance(s, signal),
        "ordered_times": concordance(s, stop_times),
    }


def along(rule: Filter, s: Array, coefficients: Array, right: Array, x: Array, y: Array) -> Array:
    """Mean squared error on (x, y) for every parameter of the grid, (400,)."""
    parameters = GRID / s[0] if rule is GRADIENT_FLOW else s[0] / GRID
    weights = (rule.gain(s, parameters) * coefficients) @ right
    return ((x @ weights.T - y[:, None]) ** 2).mean(0)


def region(signal: Array, stop_times: Array) -> str:
    """For eigenvalues in descending order: "ridge" where |beta| never increases with s, "stopping" where
    ln(1+SNR)/s never decreases with s, else "neither"."""
    if (np.diff(signal) >= 0).all():
        return "ridge"
    return "stopping" if (np.diff(stop_times) <= 0).all() else "neither"


def concordance(s: Array, values: Array) -> float:
    """Kendall's tau-a of two profiles, in [-1, 1]: how nearly one is ordered like the other."""
    i, j = np.triu_indices(len(s), 1)
    return float(np.sign((s[i] - s[j]) * (values[i] - values[j])).mean())
