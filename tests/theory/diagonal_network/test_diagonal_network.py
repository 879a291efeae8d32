"""Section 9 against an ODE solver that knows nothing of the closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from unilth.errors import UserError
from unilth.theory.models.diagonal_network import (
    averaged_weight,
    hyperbolic_entropy,
    log_ratio,
    threshold_time,
    weight,
)
from unilth.theory.theorems.diagonal_network import mirror_flow


def integrate(y: float, alpha: float, times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights and their time averages by integrating the factors."""

    def velocity(t: float, x: np.ndarray) -> list[float]:
        error = x[0] ** 2 - x[1] ** 2 - y
        return [-2 * x[0] * error, 2 * x[1] * error, x[0] ** 2 - x[1] ** 2]

    path = solve_ivp(velocity, (0, times[-1]), [alpha, alpha, 0], t_eval=times, rtol=1e-10, atol=1e-13)
    return path.y[0] ** 2 - path.y[1] ** 2, path.y[2] / times


@settings(max_examples=40, deadline=None)
@given(st.floats(-3, 3), st.floats(0.02, 2))
def test_closed_form_against_ode_solver(y: float, alpha: float) -> None:
    times = np.array([0.02, 0.2, 0.7, 2.0])
    w, average = integrate(y, alpha, times)
    np.testing.assert_allclose(weight(y, alpha, times), w, atol=2e-7)
    np.testing.assert_allclose(averaged_weight(y, alpha, times), average, atol=2e-7)


def test_wrong_rate_would_be_seen() -> None:
    """The comparison above has teeth: at 1.001 times the time the closed form is visibly elsewhere."""
    w, _ = integrate(1.0, 0.1, np.array([0.5, 0.8]))
    assert np.abs(weight(1.0, 0.1, 1.001 * np.array([0.5, 0.8])) - w).max() > 1e-5


def test_small_start_thresholds_hard_and_averages_soft() -> None:
    y, tau = np.array([2.0, 1.2, 1.0, 0.8, 0.1, -3.0]), 1.0
    for alpha, tolerance in ((1e-20, 0.02), (1e-100, 0.005)):
        t = threshold_time(alpha, tau)
        hard = np.where(np.abs(y) > tau, y, np.where(np.abs(y) == tau, y / (1 + np.abs(y)), 0))
        np.testing.assert_allclose(weight(y, alpha, t), hard, atol=1e-6)
        soft = np.sign(y) * np.maximum(np.abs(y) - tau, 0)
        np.testing.assert_allclose(averaged_weight(y, alpha, t), soft, atol=tolerance)


def test_kernel_regime() -> None:
    tau = np.linspace(0, 1, 9)
    np.testing.assert_allclose(weight(1.5, 1e3, tau / 1e6), 1.5 * (1 - np.exp(-8 * tau)), atol=1e-5)


def test_coupled_design_against_ode_solver() -> None:
    """T9.3 on a design with three weights and two equations: the averaged identity and the end point."""
    x, y, alpha = np.array([[1.0, 2.0, -1.0], [0.5, -1.0, 1.5]]), np.array([1.0, -2.0]), 0.3
    times = np.array([0.3, 1.0, 30.0])

    def velocity(t: float, state: np.ndarray) -> np.ndarray:
        u, v = state[:3], state[3:6]
        gradient = x.T @ (x @ (u**2 - v**2) - y)
        return np.concatenate([-2 * u * gradient, 2 * v * gradient, u**2 - v**2])

    start = np.concatenate([np.full(6, alpha), np.zeros(3)])
    path = solve_ivp(velocity, (0, times[-1]), start, t_eval=times, rtol=1e-11, atol=1e-14)
    w = path.y[:3] ** 2 - path.y[3:6] ** 2
    dual = -4 * times * (x.T @ (x @ (path.y[6:] / times) - y[:, None]))
    np.testing.assert_allclose(np.arcsinh(w / (2 * alpha**2)), dual, atol=1e-6)
    null = np.linalg.svd(x)[2][2]
    particular = np.linalg.lstsq(x, y, rcond=None)[0]
    best = minimize(lambda c: float(hyperbolic_entropy(particular + c[0] * null, alpha)), [0.0], tol=1e-12).x[0]
    np.testing.assert_allclose(w[:, -1], particular + best * null, atol=1e-5)


def test_the_check_of_the_end_can_fail(monkeypatch) -> None:
    """T9.3: where Xw = y has no solution, and for another potential than the hyperbolic entropy."""
    claim, judge = mirror_flow.THEOREM.claim, mirror_flow.on_end
    one_row, unsolvable = mirror_flow.INSTANCES[0], mirror_flow.INSTANCES[-1]
    assert judge(one_row, claim)[0] is True and one_row.solvable
    assert judge(unsolvable, claim)[0] is False and not unsolvable.solvable
    monkeypatch.setattr(mirror_flow, "potential", lambda w, scale: sum(v * v for v in w))
    assert judge(one_row, claim)[0] is False


def test_entropy_between_l1_and_l2() -> None:
    w = np.array([[1.0, -2.0], [0.5, 0.0]])
    small, large = 1e-100, 1e3
    l1 = (hyperbolic_entropy(w, small) - hyperbolic_entropy(0 * w, small)) / np.log(1 / small**2)
    l2 = 4 * large**2 * (hyperbolic_entropy(w, large) - hyperbolic_entropy(0 * w, large))
    np.testing.assert_allclose(l1, np.abs(w).sum(-1), rtol=0.01)
    np.testing.assert_allclose(l2, (w**2).sum(-1), rtol=1e-2)


def test_bad_arguments_are_named() -> None:
    with pytest.raises(UserError, match="alpha is 0"):
        weight(1.0, 0, 1.0)
    with pytest.raises(UserError, match="t is -1"):
        log_ratio(1.0, 0.1, -1.0)
    with pytest.raises(UserError, match="t is 0"):
        averaged_weight(1.0, 0.1, 0.0)
    with pytest.raises(UserError, match="alpha < 1"):
        threshold_time(2.0, 1.0)
