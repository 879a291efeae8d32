"""The quadratic model against plain loops, an ODE solver, solved normal equations and scikit-learn on real data."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import Ridge

from unilth.errors import UserError
from unilth.theory.filters import NESTEROV, heavy_ball, iterated_tikhonov
from unilth.theory.models.quadratic import Quadratic, decompose


def random_problem(seed: int, n: int = 6, rank: int = 4) -> tuple[Quadratic, np.ndarray]:
    """A singular Hessian, a minimiser and a start, both with parts in the kernel."""
    generator = np.random.default_rng(seed)
    root = generator.normal(size=(n, rank))
    return Quadratic(root @ root.T / n, generator.normal(size=n)), generator.normal(size=n)


def descend(problem: Quadratic, start: np.ndarray, schedule: np.ndarray) -> np.ndarray:
    w = [start]
    for step in schedule:
        w.append(w[-1] - step * problem.hessian @ (w[-1] - problem.minimiser))
    return np.array(w)


@pytest.mark.parametrize("seed", range(4))
def test_closed_form_is_the_loop(seed: int) -> None:
    problem, start = random_problem(seed)
    step = 1.3 / problem.eigenvalues.max()
    loop = descend(problem, start, np.full(200, step))
    np.testing.assert_allclose(problem.gradient_descent(step, np.arange(201), start), loop, atol=1e-11)
    schedule = np.random.default_rng(seed).uniform(0, 2 * step, 50)
    np.testing.assert_allclose(
        problem.scheduled_descent(schedule, start), descend(problem, start, schedule), atol=1e-11
    )


@pytest.mark.parametrize("seed", range(2))
def test_flow_solves_its_equation(seed: int) -> None:
    problem, start = random_problem(seed)
    times = np.linspace(0, 5, 11)
    solved = solve_ivp(lambda t, w: -problem.gradient(w), (0, 5), start, t_eval=times, rtol=1e-11, atol=1e-12)
    np.testing.assert_allclose(problem.gradient_flow(times, start), solved.y.T, atol=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_ridge_is_the_minimiser_wherever_it_is_centred(seed: int) -> None:
    problem, centre = random_problem(seed)
    for a in (1e-3, 0.5, 20.0):
        w = problem.ridge(a, centre)
        np.testing.assert_allclose(problem.gradient(w) + a * (w - centre), 0, atol=1e-12)
    np.testing.assert_allclose(problem.ridge([0.5, 20.0], centre)[1], problem.ridge(20.0, centre))
    assert problem.loss(problem.ridge(0.0, centre)) < 1e-25


@pytest.mark.parametrize("seed", range(4))
def test_the_kernel_keeps_the_start(seed: int) -> None:
    problem, start = random_problem(seed)
    kernel = problem.vectors[:, problem.eigenvalues == 0]
    assert kernel.shape[1] == 2
    for w in (
        problem.gradient_descent(0.1, 1000, start),
        problem.gradient_flow(1e6, start),
        problem.ridge(0.3, start),
        problem.filtered(iterated_tikhonov(4), 0.3, start),
        problem.filtered(heavy_ball(0.5), 30.0, start),
        problem.filtered(NESTEROV, 30.0, start),
    ):
        np.testing.assert_allclose(kernel.T @ w, kernel.T @ start, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_stopping_is_the_generalised_ridge_of_its_penalty(seed: int, steps: int) -> None:
    """T2.1 on random singular problems and random schedules."""
    problem, start = random_problem(seed)
    schedule = np.random.default_rng(seed).uniform(0.05, 0.95, steps) / problem.eigenvalues.max()
    penalty = problem.stopping_penalty(schedule)
    assert np.linalg.eigvalsh(penalty)[0] > 0
    kernel = problem.vectors[:, problem.eigenvalues == 0]
    np.testing.assert_allclose(penalty @ kernel, kernel / schedule.sum(), rtol=1e-6, atol=1e-9)
    end = problem.scheduled_descent(schedule, start)[-1]
    np.testing.assert_allclose(problem.generalised_ridge(penalty, start), end, rtol=1e-6, atol=1e-8)


def test_a_step_beyond_the_inverse_curvature_makes_the_penalty_negative_or_zero() -> None:
    problem = Quadratic(np.diag([1.0, 0.1]), np.ones(2))
    assert np.linalg.eigvalsh(problem.stopping_penalty([1.5]))[0] < 0
    assert np.linalg.eigvalsh(problem.stopping_penalty([1.5, 1.5]))[0] > 0
    np.testing.assert_allclose(np.linalg.eigvalsh(problem.stopping_penalty([1.0]))[0], 0)


@pytest.mark.parametrize("load", [load_diabetes, load_breast_cancer])
@pytest.mark.parametrize("penalty", [1e-4, 0.02, 3.0])
def test_ridge_agrees_with_scikit_learn_on_real_data(load, penalty: float) -> None:  # type: ignore[no-untyped-def]
    x, y = load(return_X_y=True)
    x = (x - x.mean(0)) / x.std(0)
    y = (y - y.mean()) / y.std()
    hessian = x.T @ x / len(x)
    problem = Quadratic(hessian, np.linalg.lstsq(x, y, rcond=None)[0])
    # scikit-learn minimises ||y - Xw||^2 + alpha ||w||^2, which is 2n times ours
    theirs = Ridge(alpha=len(x) * penalty, fit_intercept=False, solver="cholesky").fit(x, y).coef_
    np.testing.assert_allclose(problem.ridge(penalty), theirs, rtol=1e-8, atol=1e-10)


def test_descent_on_real_data_agrees_with_the_loop_on_the_residuals() -> None:
    x, y = load_diabetes(return_X_y=True)
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    problem = Quadratic(x.T @ x / len(x), np.linalg.lstsq(x, y, rcond=None)[0])
    w = np.zeros(x.shape[1])
    for _ in range(300):
        w = w + 0.2 * x.T @ (y - x @ w) / len(x)
    np.testing.assert_allclose(problem.gradient_descent(0.2, 300), w, atol=1e-10)


def test_what_cannot_be_used_is_named() -> None:
    with pytest.raises(UserError, match="hessian is not symmetric"):
        Quadratic([[1.0, 2.0], [0.0, 1.0]], [0.0, 0.0])
    with pytest.raises(UserError, match="eigenvalue -1"):
        Quadratic(np.diag([1.0, -1.0]), [0.0, 0.0])
    with pytest.raises(UserError, match="minimiser"):
        Quadratic(np.eye(2), [0.0])
    with pytest.raises(UserError, match="finite"):
        decompose([[np.nan]])
    problem = Quadratic(np.eye(2), [1.0, 1.0])
    with pytest.raises(UserError, match="start"):
        problem.gradient_flow(1.0, [0.0])
    with pytest.raises(UserError, match="schedule"):
        problem.scheduled_descent([[0.1]])
