"""Section 3 against independent computations: brute force over times and penalties on random problems."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from unilth.theory.theorems.risk import tuned_against_tuned as game

K, VF, KC = 1.6859090583, 1.2038855298, 1.2851897214
KB, KBC, VB = 1.2146618408, 1.0785828275, 1.0748517290


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


@pytest.mark.parametrize("seed", range(10))
def test_no_random_prior_exceeds_the_bayes_constants(seed: int) -> None:
    """Isotropic prior, optimal ridge: stop at 1/lambda*, at 0.457/lambda*, or at the best of all times."""
    s = np.random.default_rng(seed).lognormal(0, 2, size=1 + seed)
    unit, variance = np.ones(s.size), 1 / s  # lambda* = 1
    best = risks(1 / (1 + s)[None, :], unit, variance)[0]
    times = np.geomspace(1e-2, 1e2, 4001)
    for limit, stops in ((KB, np.array([1.0])), (KBC, np.array([0.4571096619])), (VB, times)):
        flow = risks(np.exp(-stops[:, None] * s), unit, variance).min()
        assert best * (1 - 1e-12) <= flow <= limit * best * (1 + 1e-5)


def test_degrees_of_freedom_lie_between_ridge_and_k1_times_ridge() -> None:
    x = np.geomspace(1e-6, 1e6, 10_001)
    flow, ridge = -np.expm1(-x), x / (1 + x)
    assert (ridge <= flow * (1 + 1e-12)).all() and (flow <= np.sqrt(K) * ridge).all()
    assert (flow / ridge).max() == pytest.approx(np.sqrt(K), abs=1e-6)


def test_the_counterexample_by_matrices() -> None:
    """T3.3 again with explicit matrices and grids in floating point."""
    s = np.array([0.1, 0.2, 0.3])
    sigma, beta, noise = np.eye(3) - np.ones((3, 3)) / 3, 1 + s, 1e-8

    def best(residuals: np.ndarray) -> float:
        bias = np.einsum("ki,ij,kj->k", residuals * beta, sigma, residuals * beta)
        return float((bias + noise * ((1 - residuals) ** 2 / s) @ np.diag(sigma)).min())

    flow = best(np.exp(-np.linspace(0, 400, 400_001)[:, None] * s))
    ridge = best(1 / (1 + np.linspace(0, 2, 400_001)[:, None] * s))
    assert flow / ridge == pytest.approx(45.94264754, rel=1e-6)


FIXED = (("1.37919", "2.51498", "4.83938"), (1, 17000, 35000), (17921, 0, 0))
PRIOR = (("0.86367", "8.59553"), (17, 185), (17, 185))


@pytest.mark.parametrize(("problem", "value", "short"), [(FIXED, VF, 1e-5), (PRIOR, VB, 1e-5)])
def test_problems_realise_the_game_by_repeated_eigenvalues(problem: tuple, value: float, short: float) -> None:
    s, copies, signal = (np.array(part, dtype=float) for part in problem)
    times = np.linspace(0, 40, 400_001)
    flow = risks(np.exp(-times[:, None] * s), signal, copies / s)
    ridge = risks(1 / (1 + np.geomspace(1e-2, 1e2, 20_001)[:, None] * s), signal, copies / s)
    assert value - short < flow.min() / ridge.min() < value + 1e-6
    assert game.multiplicities(*problem, least=Fraction(value - short)).holds is True
    assert game.multiplicities(*problem, least=Fraction(value + 1e-9)).holds is False, "no problem exceeds the value"


def test_a_long_tail_is_undecided_and_not_taken() -> None:
    """One tiny eigenvalue: at t = 40 its variance has not come yet, so nothing is said about later times."""
    assert game.multiplicities(("1/100000",), (1,), (10**12,), Fraction(1, 2)).holds is None
