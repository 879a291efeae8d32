"""Section 2 on random problems, with the models in floating point and quadrature: in addition to the proofs."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from unilth.theory.filters import GRADIENT_FLOW, RIDGE, iterated_tikhonov
from unilth.theory.models.regression import Regression, risk_surface
from unilth.theory.theorems.equivalence.never_stop import TURNS, TWO_MINIMA, not_u_shaped, prior

SEEDS = st.integers(0, 2**32 - 1)


def problem(seed: int) -> Regression:
    generator = np.random.default_rng(seed)
    d = int(generator.integers(1, 6))
    return Regression(generator.uniform(0.05, 4, d), generator.normal(size=d), generator.uniform(0.01, 3))


@settings(max_examples=20, deadline=None)
@given(SEEDS, st.floats(0.05, 5))
def test_ridge_is_no_worse_than_stopping_at_a_random_time(seed: int, penalty: float) -> None:
    regression = problem(seed)
    mean, _ = quad(
        lambda t: penalty * np.exp(-penalty * t) * regression.risk(GRADIENT_FLOW, t), 0, 60 / penalty, limit=200
    )
    assert regression.risk(RIDGE, penalty) < mean * (1 + 1e-6)


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0.05, 20))
def test_every_iteration_of_tikhonov_trades_bias_for_variance(seed: int, time: float) -> None:
    regression = problem(seed)
    parts = [[x.sum() for x in regression.terms(iterated_tikhonov(k), k / time)] for k in range(1, 30)]
    bias, variance = np.array(parts).T
    assert (np.diff(bias) <= 0).all()
    assert (np.diff(variance) >= 0).all()
    flow_bias, flow_variance = (x.sum() for x in regression.terms(GRADIENT_FLOW, time))
    assert flow_bias <= bias[-1]
    assert flow_variance >= variance[-1]


@settings(max_examples=30, deadline=None)
@given(SEEDS, st.floats(0.1, 3), st.floats(0.01, 3))
def test_on_top_of_the_best_ridge_the_risk_only_falls(seed: int, spread: float, noise: float) -> None:
    regression = Regression(problem(seed).eigenvalues, spread, noise)
    best = noise / spread**2
    risks = risk_surface(np.geomspace(1e-3, 1e3, 200), [best], regression)[:, 0]
    assert (np.diff(risks) <= 1e-13 * risks[0]).all()
    assert np.isclose(risks[-1], regression.oracle(), rtol=1e-9) or best * 1e3 < 20
    assert regression.tuned(GRADIENT_FLOW).parameter < np.inf


def test_plain_early_stopping_can_have_two_local_minima_and_the_check_of_it_can_fail() -> None:
    """T2.4: the risk itself, in floating point; and with fewer stiff directions or other times there is only one."""
    assert not_u_shaped(TWO_MINIMA, TURNS, "").holds is True
    regression = Regression(np.r_[np.ones(100), 0.001], 10.0, 1.0)
    times = np.geomspace(0.1, 1e4, 4000)
    risks = np.array([regression.risk(GRADIENT_FLOW, t) for t in times])
    assert np.count_nonzero(np.diff(np.sign(np.diff(risks))) > 0) == 2
    few = prior(["1"] * 3 + ["1/1000"], ["100"] * 4, "1")
    assert not_u_shaped(few, TURNS, "").holds is False
    assert not_u_shaped(TWO_MINIMA, TURNS[::-1], "").holds is False
