"""Section 5 by brute force on random problems: in addition to the proofs, never instead of them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unilth.theory.filters import GRADIENT_FLOW, RIDGE, Filter, gradient_descent, iterated_tikhonov

TIMES = np.concatenate([[0.0], np.geomspace(1e-3, 1e3, 20_000)])
PENALTIES = np.concatenate([np.geomspace(1e-4, 1e4, 20_000), [np.inf]])
Problem = tuple[np.ndarray, np.ndarray, np.ndarray]  # eigenvalues, signal, variance


def best(problem: Problem, spectral: Filter, parameters: np.ndarray) -> tuple[float, float]:
    """The smallest risk on a grid and where it is attained."""
    s, b, v = problem
    gain = spectral.gain(s, parameters)
    risks = (b * (1 - gain) ** 2 + v * gain**2).sum(-1)
    return float(risks.min()), float(parameters[risks.argmin()])


@st.composite
def problems(draw: st.DrawFn, *, ordered: bool = False) -> Problem:
    s = np.sort(draw(st.lists(st.floats(0.2, 5), min_size=2, max_size=4, unique_by=lambda x: round(x, 1))))
    b = np.array(draw(st.lists(st.floats(0.05, 20), min_size=s.size, max_size=s.size)))
    noise = draw(st.floats(0.1, 5))
    return s, np.sort(b)[::-1] if ordered else b, noise / s


@settings(max_examples=15, deadline=None)
@given(problems(ordered=True), st.integers(2, 5))
def test_ridge_beats_every_filter_with_decreasing_penalty(problem: Problem, k: int) -> None:
    """Part (R): gradient flow, gradient descent and iterated Tikhonov lose to ridge, isotropic order of the signal."""
    ridge = best(problem, RIDGE, PENALTIES)[0]
    step = 0.9 / problem[0].max()
    assert ridge < best(problem, GRADIENT_FLOW, TIMES)[0] * (1 + 1e-7)
    assert ridge < best(problem, gradient_descent(step), np.arange(3000.0))[0] * (1 + 1e-7)
    assert ridge < best(problem, iterated_tikhonov(k), PENALTIES)[0] * (1 + 1e-7)


@settings(max_examples=15, deadline=None)
@given(problems())
def test_the_best_parameters_lie_between_the_wiener_ones(problem: Problem) -> None:
    s, b, v = problem
    times, penalties = np.log1p(b / v) / s, v * s / b
    stopped, at = best(problem, GRADIENT_FLOW, TIMES)
    assert times.min() / 1.002 <= at <= times.max() * 1.002
    assert penalties.min() / 1.002 <= best(problem, RIDGE, PENALTIES)[1] <= penalties.max() * 1.002
    assert stopped < v.sum()


@pytest.mark.parametrize(("signal", "directions"), [(16.0, 3), (1e4, 15), (1e8, 142)])
def test_separation(signal: float, directions: int) -> None:
    s = np.array([1.0, 1 / directions])
    problem = s, np.array([signal, 0.0]), np.array([1.0, directions**2])
    ridge, stopped = best(problem, RIDGE, PENALTIES)[0], best(problem, GRADIENT_FLOW, np.array([np.log(signal) / 2]))[0]
    assert ridge >= np.sqrt(signal) / 2
    assert stopped <= 2 + np.log(signal) ** 2 / 4
    assert best(problem, RIDGE, PENALTIES * 1e-2)[0] >= np.sqrt(signal) / 2
