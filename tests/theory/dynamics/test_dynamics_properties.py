"""Section 4 on random problems, loops and ODE solvers: in addition to the proofs, and beyond quadratics for T4.5."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import minimize
from scipy.special import expit, jn_zeros

from unilth.theory.filters import GRADIENT_FLOW, NESTEROV, RIDGE, gradient_descent, heavy_ball
from unilth.theory.models.regression import Regression
from unilth.theory.theorems.dynamics import stochastic_descent
from unilth.theory.theorems.dynamics.descent_risk import THEOREM

FACTORS = {k: float(THEOREM.claim.exact(f"C{k}")) for k in (1, 2, 3)}
SEEDS = st.integers(0, 2**32 - 1)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(1, 50), st.floats(0.01, 1))
def test_the_risk_of_descent_against_ridge(seed: int, steps: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    s = generator.uniform(0, 5, 5)
    step = share / s.max()
    regression = Regression(s, generator.normal(size=5) * generator.integers(0, 2, 5), generator.uniform(0, 3))
    factor = FACTORS.get(steps, FACTORS[3]) ** 2
    for kind in ("estimation", "prediction"):
        ridge = regression.risk(RIDGE, 1 / (step * steps), kind)
        assert regression.risk(gradient_descent(step), steps, kind) <= factor * ridge * (1 + 1e-12)


def test_one_step_against_its_best_ridge_is_sixteen_ninths_at_worst() -> None:
    u = np.linspace(0.001, 1, 1000)
    c = 1 / 3
    bias = ((1 - u) * (u + c) / c).max() ** 2
    variance = ((u + c) ** 2).max()
    assert bias == pytest.approx(16 / 9, rel=1e-5)
    assert variance == pytest.approx(16 / 9, rel=1e-12)


def test_stochastic_descent_is_descent_on_average() -> None:
    """200,000 simulated runs against the gradient-descent filter, to five standard errors."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(8, 2)), generator.normal(size=8)
    step, steps, runs = 0.1, 20, 200_000
    w = np.zeros((runs, 2))
    for _ in range(steps):
        picked = generator.integers(0, 8, runs)
        error = (x[picked] * w).sum(1) - y[picked]
        w -= step * x[picked] * error[:, None]
    values, vectors = np.linalg.eigh(x.T @ x / 8)
    target = np.linalg.lstsq(x, y, rcond=None)[0] @ vectors
    descent = (gradient_descent(step).gain(values, steps) * target) @ vectors.T
    assert (np.abs(w.mean(0) - descent) < 5 * w.std(0) / np.sqrt(runs)).all()


def test_the_check_of_stochastic_risk_needs_both_of_its_terms(monkeypatch) -> None:
    """T4.2: without the covariance, or with a smaller factor than C_k, the comparison with ridge is refuted."""
    claim, judge = stochastic_descent.THEOREM.claim, stochastic_descent.on_risks
    scope = stochastic_descent.RISKS[:3]
    assert [judge(p, claim)[0] for p in scope] == [True] * 3
    with monkeypatch.context() as patch:
        patch.setattr(stochastic_descent, "factor", lambda steps: Fraction(199, 100))  # C_1 = 2
        assert judge(scope[2], claim)[0] is False
    exact = stochastic_descent.risks
    monkeypatch.setattr(stochastic_descent, "factor", lambda steps: Fraction(1))
    assert [judge(p, claim)[0] for p in scope[:2]] == [True] * 2
    monkeypatch.setattr(stochastic_descent, "risks", lambda p: (*exact(p)[:2], Fraction(0)))
    assert [judge(p, claim)[0] for p in scope[:2]] == [False] * 2


def test_nesterov_overshoots_at_the_zero_of_the_second_bessel_function() -> None:
    times = np.linspace(0.01, 40, 40_001)
    residual = NESTEROV.residual([1.0], times)[:, 0]
    assert times[residual.argmin()] == pytest.approx(jn_zeros(2, 1)[0], abs=1e-3)
    assert residual.min() == pytest.approx(-0.1322794874, abs=1e-7)
    late = np.linspace(1000, 1010, 10_001)  # the ratio to ridge's residual grows like sqrt(z)
    ratio = np.abs(NESTEROV.residual([1.0], late)[:, 0]) * (1 + late**2 / 8)
    assert ratio.max() == pytest.approx(np.sqrt(2 / np.pi) * np.sqrt(1000) / 4, rel=1e-2)


@pytest.mark.parametrize("damping", [0.5, 2.0])
def test_heavy_ball_on_flat_directions_is_flow_at_its_effective_time(damping: float) -> None:
    s, t = 1e-9, 1e5
    assert heavy_ball(damping).gain([s], t)[0] == pytest.approx(GRADIENT_FLOW.gain([s], t / (2 * damping))[0], rel=1e-3)


@pytest.mark.parametrize("seed", range(3))
def test_the_bound_of_strong_convexity_holds_for_logistic_regression(seed: int) -> None:
    """T4.5 beyond quadratics: not proved there, so here it is only observed, on logistic regression plus ridge."""
    generator = np.random.default_rng(seed)
    x, labels, m = generator.normal(size=(30, 3)), generator.choice([-1.0, 1.0], 30), 0.1
    most = m + np.linalg.eigvalsh(x.T @ x / 30)[-1] / 4

    def gradient(w: np.ndarray) -> np.ndarray:
        return -(x * (labels * expit(-labels * (x @ w)))[:, None]).mean(0) + m * w

    def value(w: np.ndarray) -> float:
        return float(np.logaddexp(0, -labels * (x @ w)).mean() + m * w @ w / 2)

    start = generator.normal(size=3) * 3
    c = 2 * m / (most + m)
    for t in (0.3, 1.0, 4.0, 15.0):
        flow = solve_ivp(lambda _, w: -gradient(w), (0, t), start, rtol=1e-10, atol=1e-12).y[:, -1]
        nu = np.expm1(c * most * t) / (c * m)
        ridge = minimize(
            lambda w, nu=nu: value(w) + ((w - start) ** 2).sum() / (2 * nu),
            start,
            jac=lambda w, nu=nu: gradient(w) + (w - start) / nu,
            tol=1e-12,
        ).x
        bound = np.linalg.norm(gradient(start)) / m * (np.exp(-m * t) + c / (1 - np.exp(c * most * t) - c))
        assert np.linalg.norm(flow - ridge) <= bound * (1 + 1e-6)
