"""Spectral filters against 60-digit arithmetic, plain loops, SciPy's ODE solver and the table's own limits."""

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from unilth.errors import UserError
from unilth.theory.filters import (
    GRADIENT_FLOW,
    NESTEROV,
    RIDGE,
    TABLE,
    Filter,
    filter_named,
    gradient_descent,
    heavy_ball,
    iterated_tikhonov,
)

FILTERS = (gradient_descent(0.01), GRADIENT_FLOW, RIDGE, iterated_tikhonov(3), heavy_ball(0.7), NESTEROV)
S = np.array([0.0, 1e-12, 1e-6, 0.01, 0.3, 0.49, 0.48999, 0.5, 1.0, 7.0, 99.0])


def exact_residual(rule: Filter, s: float, p: float) -> mpmath.mpf:
    s, p, c = mpmath.mpf(s), mpmath.mpf(p), mpmath.mpf(rule.setting)
    if rule.name == "gradient descent":
        return (1 - c * s) ** int(p)
    if rule.name == "gradient flow":
        return mpmath.exp(-s * p)
    if rule.name == "ridge":
        return p / (s + p)
    if rule.name == "iterated Tikhonov":
        return (p / (s + p)) ** c
    if rule.name == "heavy ball":
        omega = mpmath.sqrt(s - c**2)
        return mpmath.re(mpmath.exp(-c * p) * (mpmath.cos(omega * p) + c / omega * mpmath.sin(omega * p)))
    z = p * mpmath.sqrt(s)
    return 2 * mpmath.besselj(1, z) / z


@pytest.mark.parametrize("rule", FILTERS, ids=lambda f: f.name)
@pytest.mark.parametrize("parameter", [1, 2, 13, 400])
def test_residual_and_gain_are_accurate_to_the_last_digits(rule: Filter, parameter: int) -> None:
    residual, gain = rule.residual(S, parameter), rule.gain(S, parameter)
    penalty = rule.effective_penalty(S, parameter)
    with mpmath.workdps(60):
        for i, s in enumerate(S[1:], start=1):
            r = exact_residual(rule, s, parameter)
            # an oscillating residual is accurate relative to its envelope, every other one relative to itself
            swinging = rule.name in ("heavy ball", "Nesterov")
            size = max(abs(r), mpmath.mpf("1e-3") if swinging else 0)
            assert abs(residual[i] - r) <= 1e-12 * size + 1e-300, (rule.name, s)
            assert abs(gain[i] - (1 - r)) <= 2e-13 * abs(1 - r), (rule.name, s)
            if not swinging and abs(1 - r) > 0 and r > 1e-200:
                assert abs(penalty[i] - s * r / (1 - r)) <= 2e-12 * s * r / (1 - r)
    assert residual[0] == 1 and gain[0] == 0


@pytest.mark.parametrize("rule", FILTERS, ids=lambda f: f.name)
def test_the_flat_penalty_is_the_limit_of_the_effective_penalty(rule: Filter) -> None:
    parameters = np.array([1, 3, 40, 1000])
    penalty = rule.effective_penalty([0.0, 1e-13], parameters)
    np.testing.assert_allclose(penalty[:, 0], penalty[:, 1], rtol=1e-6)


@pytest.mark.parametrize("rule", [heavy_ball(0.7), heavy_ball(3.0), NESTEROV], ids=lambda f: f.name)
def test_the_flat_penalty_of_a_short_time_does_not_cancel(rule: Filter) -> None:
    times = np.array([1e-5, 1e-3, 0.01, 0.03, 0.06, 0.0714, 0.0715, 0.2])
    penalty = rule.effective_penalty([0.0, 1e-11], times)
    np.testing.assert_allclose(penalty[:, 0], penalty[:, 1], rtol=1e-9)


@pytest.mark.parametrize("rule", [GRADIENT_FLOW, heavy_ball(0.7), NESTEROV], ids=lambda f: f.name)
def test_after_an_infinite_time_no_penalty_is_left(rule: Filter) -> None:
    penalty = rule.effective_penalty([0.0, 0.3, 99.0], np.inf)
    assert penalty.shape == (3,) and (penalty == 0).all()


@pytest.mark.parametrize("time", [1e-6, 1e-3, 0.05, 0.6])
def test_the_gain_of_a_short_time_does_not_cancel(time: float) -> None:
    rule = heavy_ball(0.7)
    with mpmath.workdps(60):
        for s in (0.3, 0.6, 2.0):
            exact = 1 - exact_residual(rule, s, time)
            assert abs(rule.gain([s], time)[0] - exact) <= 1e-14 * exact, s


@pytest.mark.parametrize("time", [1e-7, 1e-5, 1e-3, 0.05])
def test_the_flat_penalty_of_a_short_time_is_accurate(time: float) -> None:
    with mpmath.workdps(60):
        x, t = 2 * mpmath.mpf(0.7) * mpmath.mpf(time), mpmath.mpf(time)
        exact = x**2 / (t**2 * (x + mpmath.expm1(-x)))
        assert abs(heavy_ball(0.7).effective_penalty([0.0], time)[0] - exact) <= 1e-14 * exact


def test_critical_damping_is_the_limit_from_both_sides() -> None:
    t = np.array([0.1, 1.0, 3.0, 20.0])
    exact = np.exp(-t / 2) * (1 + t / 2)
    np.testing.assert_allclose(heavy_ball(0.5).residual([0.25], t)[:, 0], exact, rtol=1e-13)
    np.testing.assert_allclose(heavy_ball(0.5).gain([0.25], t)[:, 0], 1 - exact, rtol=1e-12)
    assert heavy_ball(0.5).gain([0.25], np.inf) == 1 and heavy_ball(0.5).residual([0.25], np.inf) == 0


def test_a_negative_factor_of_gradient_descent_keeps_its_sign() -> None:
    u = np.array([0.5, 1.0, 1.5, 1.999999999, 2.0, 2.5])
    for k in (0, 1, 2, 3, 8):
        np.testing.assert_allclose(gradient_descent(1.0).residual(u, k), (1 - u) ** k, rtol=1e-13, atol=0)
        np.testing.assert_allclose(gradient_descent(1.0).gain(u, k), 1 - (1 - u) ** k, rtol=1e-6, atol=1e-15)


@pytest.mark.parametrize("rule", FILTERS, ids=lambda f: f.name)
def test_eigenvalues_and_parameter_broadcast(rule: Filter) -> None:
    p = np.array([[1, 2, 5], [0, 7, 9]])
    for values in (rule.residual(S, p), rule.gain(S, p), rule.effective_penalty(S, p)):
        assert values.shape == (2, 3, len(S))
    assert rule.degrees_of_freedom(S, p).shape == (2, 3)
    np.testing.assert_array_equal(rule.gain(S, p)[1, 2], rule.gain(S, 9))
    np.testing.assert_allclose(rule.residual(S, p) + rule.gain(S, p), 1, rtol=1e-13)


@pytest.mark.parametrize("rule", FILTERS, ids=lambda f: f.name)
def test_the_ends_of_the_range_are_no_move_and_all_the_way(rule: Filter) -> None:
    idle, all_the_way = (np.inf, 0) if rule.parameter == "penalty" else (0, np.inf)
    np.testing.assert_array_equal(rule.gain(S, idle), 0)
    np.testing.assert_array_equal(rule.residual(S, idle), 1)
    if rule.name != "Nesterov":  # J1 at infinity is 0 in SciPy too, but 0 x inf comes before it
        np.testing.assert_array_equal(rule.gain(S, all_the_way), S > 0)
        np.testing.assert_array_equal(rule.residual(S, all_the_way), S == 0)


@given(st.floats(0, 50), st.floats(1e-6, 1e3))
def test_degrees_of_freedom_of_ridge_stay_below_those_of_gradient_flow(s: float, t: float) -> None:
    spectrum = [s, 0.5 * s, 2.0]
    assert RIDGE.degrees_of_freedom(spectrum, 1 / t) <= GRADIENT_FLOW.degrees_of_freedom(spectrum, t) * (1 + 1e-12)


@pytest.mark.parametrize("s", [0.05, 0.49, 0.6, 4.0])
def test_momentum_filters_solve_their_equations(s: float) -> None:
    times = np.linspace(0.1, 12, 30)

    def heavy(t: float, x: np.ndarray) -> list[float]:
        return [x[1], -2 * 0.7 * x[1] - s * x[0]]

    def nesterov(t: float, x: np.ndarray) -> list[float]:
        return [x[1], -3 / t * x[1] - s * x[0]]

    solved = solve_ivp(heavy, (0, 12), [1.0, 0.0], t_eval=times, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(heavy_ball(0.7).residual([s], times)[:, 0], solved.y[0], atol=1e-9)
    t0 = 1e-3  # the equation is singular at 0: start on its power series
    solved = solve_ivp(nesterov, (t0, 12), [1 - s * t0**2 / 8, -s * t0 / 4], t_eval=times, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(NESTEROV.residual([s], times)[:, 0], solved.y[0], atol=1e-8)


def test_what_cannot_be_used_is_named() -> None:
    with pytest.raises(UserError, match="eigenvalues"):
        RIDGE.gain([-1.0], 1)
    with pytest.raises(UserError, match="penalty"):
        RIDGE.gain([1.0], -1)
    with pytest.raises(UserError, match="whole"):
        gradient_descent(0.1).gain([1.0], 1.5)
    for step in (-0.1, 0.0, np.inf, np.nan):
        with pytest.raises(UserError, match="step"):
            gradient_descent(step)
    for spectrum in ([np.inf], [np.nan], [[1.0, 2.0]], 1.0):
        with pytest.raises(UserError, match="eigenvalues"):
            RIDGE.gain(spectrum, 1)
    with pytest.raises(UserError, match="time"):
        GRADIENT_FLOW.gain([1.0], np.nan)
    with pytest.raises(UserError, match="unknown"):
        filter_named("lasso")
    with pytest.raises(UserError, match="give its damping"):
        filter_named("heavy ball")
    with pytest.raises(UserError, match="no setting"):
        filter_named("ridge", 1.0)
    assert len({row.name for row in TABLE}) == len(TABLE)
    assert Filter(RIDGE.row) == RIDGE and RIDGE.setting == 0
