"""Section 3 against independent computations: brute force over times and penalties on random problems."""

from __future__ import annotations

import numpy as np
import pytest

from unilth.theory.theorems.risk import tuned_against_tuned as game

K, VF, KC = 1.6859090583, 1.2038855298, 1.2851897214


def risks(residual: np.ndarray, signal: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Risk of each row of residuals."""
    return residual**2 @ signal + (1 - residual) ** 2 @ variance


@pytest.mark.parametrize("seed", range(20))
def test_no_random_problem_exceeds_the_constants(seed: int) -> None:
    rng = np.random.default_rng(seed)
    s = rng.lognormal(0, 2, size=rng.integers(1, 6))
    signal, variance = rng.exponential(size=s.size) * rng.integers(0, 2, s.size), rng.exponential(size=s.size) / s
    times = np.geomspace(1e-3, 1e3, 4001)
    flow = risks(np.exp(-times[:, None] * s), signal, variance)
    ridge = risks(1 / (1 + times[:, None] * s), signal, variance)  # ridge(1/t) at the same index
    recalibrated = risks(1 / (1 + times[:, None] * s / 0.5789994858), signal, variance)
    assert (flow <= K * ridge * (1 + 1e-12)).all()
    assert (flow <= KC * recalibrated * (1 + 1e-12)).all()
    assert flow.min() <= VF * ridge.min() * (1 + 1e-5)


def test_the_worst_problem_of_the_game_is_realised_by_multiplicities() -> None:
    s = np.array([float(x) for _, x in game.ATOMS])
    counts, signal = np.array([1, 17000, 35000]), np.array([1.0, 0, 0])
    weights = np.array([float(w) for w, _ in game.ATOMS])
    # scale signal and noise so that the shares of ridge(1)'s risk are near the atoms' weights
    noise = weights[1:].sum() / ((s[1:] / (1 + s[1:])) ** 2 / s[1:] @ counts[1:])
    signal[0] = weights[0] * (1 + s[0]) ** 2
    variance = np.array([0, *(noise / s[1:] * counts[1:])])
    times = np.linspace(0, 40, 200_001)
    flow = risks(np.exp(-times[:, None] * s), signal, variance)
    ridge = risks(1 / (1 + np.geomspace(1e-2, 1e2, 20_001)[:, None] * s), signal, variance)
    assert 1.2030 < flow.min() / ridge.min() <= VF + 1e-6
