"""Exact risks against Monte Carlo, scikit-learn, known minima and each other."""

import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from unilth.errors import UserError
from unilth.theory.filters import (
    GRADIENT_FLOW,
    NESTEROV,
    RIDGE,
    Filter,
    gradient_descent,
    heavy_ball,
    iterated_tikhonov,
)
from unilth.theory.models.regression import Regression, risk_surface

ESTIMATORS = (
    (RIDGE, 0.3),
    (GRADIENT_FLOW, 2.0),
    (gradient_descent(0.1), 25),
    (iterated_tikhonov(3), 1.0),
    (NESTEROV, 3.0),
    (heavy_ball(0.8), 4.0),
)


def monte_carlo(
    x: np.ndarray, beta: np.ndarray, sigma: float, rule: Filter, p: float, weight: np.ndarray
) -> tuple[float, float]:
    """Mean and standard error of (estimate - beta)' weight (estimate - beta) over simulated noise."""
    generator = np.random.default_rng(7)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    values = np.where(values > 1e-12, values, 0)
    y = x @ beta + sigma * generator.normal(size=(20_000, len(x)))
    moments = y @ x / len(x) @ vectors  # q_i'X'y/n
    share = np.zeros_like(values)
    np.divide(rule.gain(values, p), values, out=share, where=values > 0)
    off = (moments * share) @ vectors.T - beta
    losses = np.einsum("ki,ij,kj->k", off, weight, off)
    return float(losses.mean()), float(losses.std() / np.sqrt(len(losses)))


@pytest.mark.parametrize(("rule", "parameter"), ESTIMATORS, ids=lambda v: getattr(v, "name", ""))
@pytest.mark.parametrize("shape", [(30, 5), (6, 9)], ids=["n > p", "p > n"])
def test_risks_agree_with_monte_carlo(rule: Filter, parameter: float, shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(3)
    x, beta, sigma = generator.normal(size=shape), generator.normal(size=shape[1]), 0.7
    problem, vectors = Regression.from_design(x, beta, sigma**2)
    root = generator.normal(size=(shape[1], shape[1]))
    covariance = root @ root.T
    cases = (
        (float(problem.risk(rule, parameter)), np.eye(shape[1])),
        (float(problem.risk(rule, parameter, "prediction")), x.T @ x / len(x)),
        (float(problem.out_of_sample_risk(rule, parameter, vectors.T @ covariance @ vectors)), covariance),
    )
    for exact, weight in cases:
        mean, error = monte_carlo(x, beta, sigma, rule, parameter, weight)
        assert abs(exact - mean) < 5 * error


def test_bayes_risk_is_the_mean_of_the_risk_over_the_prior() -> None:
    generator = np.random.default_rng(5)
    s, root = np.array([0.0, 0.2, 1.0, 3.0]), generator.normal(size=(4, 4))
    covariance = root @ root.T
    spread = np.array([1.0, 2.0, 0.5, 1.0])
    bayes = Regression(s, spread, 0.3)
    draws = [Regression(s, spread * generator.normal(size=4), 0.3) for _ in range(4000)]
    for exact, sampled in (
        (bayes.risk(GRADIENT_FLOW, 1.5), [d.risk(GRADIENT_FLOW, 1.5) for d in draws]),
        (
            bayes.bayes_out_of_sample_risk(RIDGE, 0.5, covariance),
            [d.out_of_sample_risk(RIDGE, 0.5, covariance) for d in draws],
        ),
    ):
        assert abs(exact - np.mean(sampled)) < 5 * np.std(sampled) / np.sqrt(len(sampled))


def test_ridge_estimates_have_the_risk_that_scikit_learn_has() -> None:
    generator = np.random.default_rng(11)
    x, beta = generator.normal(size=(40, 4)), np.array([1.0, -1.0, 0.5, 0.0])
    problem, _ = Regression.from_design(x, beta, 1.0)
    y = (x @ beta)[:, None] + generator.normal(size=(40, 4000))
    fits = Ridge(alpha=40 * 0.2, fit_intercept=False).fit(x, y).coef_
    losses = ((fits - beta) ** 2).sum(1)
    assert abs(problem.risk(RIDGE, 0.2) - losses.mean()) < 5 * losses.std() / np.sqrt(4000)


def test_the_two_eigenvalue_examples() -> None:
    """T5.3: known minima of stopping and ridge."""
    stops_better = Regression([1.0, 2.0], np.sqrt([1.0, 1.5]), 1.0)
    found = stops_better.tuned(GRADIENT_FLOW)
    assert found.risk == pytest.approx(7 / 8, abs=1e-12)
    assert found.parameter == pytest.approx(np.log(2), abs=1e-6)
    assert stops_better.tuned(RIDGE).risk == pytest.approx(0.88294233385, abs=1e-10)
    ridge_better = Regression([1.0, 2.0], [1.0, 1.0], 1.0)
    assert ridge_better.tuned(RIDGE).risk == pytest.approx(5 / 6, abs=1e-12)
    assert ridge_better.tuned(GRADIENT_FLOW).risk == pytest.approx(0.8391033410, abs=1e-10)


@settings(max_examples=20, deadline=None)
@example([0.01171875], 0, 2.0)  # the best time is far shorter than every 1/eigenvalue
@given(st.lists(st.floats(0.01, 5), min_size=1, max_size=4), st.integers(0, 2**32 - 1), st.floats(0.01, 10))
def test_tuned_beats_every_grid_point_and_never_the_oracle(spectrum: list[float], seed: int, noise: float) -> None:
    generator = np.random.default_rng(seed)
    problem = Regression(spectrum, generator.normal(size=len(spectrum)), noise)
    for rule in (RIDGE, GRADIENT_FLOW, iterated_tikhonov(2)):
        best = problem.tuned(rule, points=1000)
        grid = problem.risk(rule, np.geomspace(1e-4, 1e4, 500))
        assert best.risk <= grid.min() * (1 + 1e-9)
        assert best.risk >= problem.oracle() * (1 - 1e-12)
        assert problem.risk(rule, best.parameter) == pytest.approx(best.risk)


def test_the_least_risk_may_lie_at_an_end_and_steps_are_whole() -> None:
    assert Regression([1.0, 2.0], [0.0, 0.0], 1.0).tuned(GRADIENT_FLOW).parameter == 0
    assert Regression([1.0, 2.0], [1.0, 1.0], 0.0).tuned(GRADIENT_FLOW).parameter == np.inf
    assert Regression([0.0], [2.0], 1.0).tuned(RIDGE).risk == 4.0
    problem = Regression([0.01, 1.0], [3.0, 1.0], 0.05)
    found = problem.tuned(gradient_descent(0.5))
    risks = problem.risk(gradient_descent(0.5), np.arange(3000))
    assert found.parameter == risks.argmin() > 0
    assert found.risk == risks.min()
    for rule in (NESTEROV, heavy_ball(0.3)):
        assert problem.tuned(rule).risk <= problem.risk(rule, np.geomspace(0.01, 1e3, 1000)).min() * (1 + 1e-9)


def test_the_surface_is_the_risk_of_the_stopped_ridge_flow() -> None:
    generator = np.random.default_rng(2)
    s = np.concatenate([[0.0, 1e-9], generator.uniform(0, 3, 5)])
    problem = Regression(s, generator.normal(size=7), 0.4)
    times, penalties = np.array([0.0, 1e-6, 0.5, 3.0, 1e4]), np.array([0.0, 1e-7, 0.3, 50.0])
    for kind in ("estimation", "prediction"):
        surface = risk_surface(times, penalties, problem, kind)
        assert surface.shape == (5, 4)
        for i, t in enumerate(times):
            for j, a in enumerate(penalties):
                total = 0.0
                for value, b in zip(s, problem.signal, strict=True):
                    gain = value / (value + a) * -np.expm1(-(value + a) * t) if value > 0 else 0.0
                    weight = value if kind == "prediction" else 1.0
                    total += weight * (b * (1 - gain) ** 2 + (problem.noise / value * gain**2 if value else 0.0))
                assert surface[i, j] == pytest.approx(total, rel=1e-11)
        np.testing.assert_allclose(surface[:, 0], problem.risk(GRADIENT_FLOW, times, kind), rtol=1e-12)
        np.testing.assert_allclose(surface[-1, 2:], problem.risk(RIDGE, penalties[2:], kind), rtol=1e-12)


def test_the_full_surface_stays_in_its_bounds() -> None:
    """1,000 times x 1,000 penalties x 2,000 eigenvalues in under 10 s and 1 GB."""
    generator = np.random.default_rng(1)
    problem = Regression(generator.exponential(size=2000), generator.normal(size=2000), 0.1)
    times, penalties = np.geomspace(1e-2, 1e3, 1000), np.geomspace(1e-3, 1e2, 1000)
    tracemalloc.start()
    begin = time.perf_counter()
    surface = risk_surface(times, penalties, problem)
    seconds, (_, peak) = time.perf_counter() - begin, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert surface.shape == (1000, 1000)
    assert seconds < 10
    assert peak < 1e9


def test_what_cannot_be_used_is_named() -> None:
    problem = Regression([1.0], [1.0], 1.0)
    with pytest.raises(UserError, match="noise"):
        Regression([1.0], [1.0], -1.0)
    with pytest.raises(UserError, match="eigenvalues"):
        Regression([-1.0], [1.0], 1.0)
    with pytest.raises(UserError, match="coefficients"):
        Regression([1.0], [np.inf], 1.0)
    with pytest.raises(UserError, match="design"):
        Regression.from_design(np.zeros(3), np.zeros(3), 1.0)
    with pytest.raises(UserError, match="covariance"):
        problem.out_of_sample_risk(RIDGE, 1.0, np.eye(2))
    with pytest.raises(UserError, match="kind"):
        problem.risk(RIDGE, 1.0, "test")  # type: ignore[arg-type]
    with pytest.raises(UserError, match="times"):
        risk_surface([-1.0], [1.0], problem)
