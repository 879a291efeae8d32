"""Theory as oracle: the engine's penalty lands where T6.1 and T7.1 say, its stopping follows T1.1 step by step."""

import numpy as np

from unilth.sims.invariants.oracle import example, held_error, press, ramp_error, slow_limit_errors, stopping
from unilth.sims.penalties import GrowingPenalty


def test_a_finite_ramp_ends_where_t71_says():
    coarse, fine, finest = (ramp_error(lr) for lr in (0.02, 0.01, 0.005))
    assert finest < 2e-3
    assert 1.8 < coarse / fine < 2.2 and 1.8 < fine / finest < 2.2, "what is left is the first-order error of the step"


def test_another_schedule_is_noticed():
    def linear(penalty, step):
        return penalty.ceiling * step / (4.0 / 0.005)

    def halved(penalty, step):
        return GrowingPenalty.value(penalty, step) / 2

    right = ramp_error(0.005)
    assert ramp_error(0.005, value=linear) > 20 * right
    assert ramp_error(0.005, value=halved) > 20 * right


def test_a_held_penalty_ends_at_t61s_ridge_in_the_schur_complement():
    assert held_error() < 1e-9
    assert held_error(wrong=1.001) > 1e-5, "a penalty that is wrong by a thousandth is noticed"


def test_the_slow_limit_is_the_schur_complement_point_at_t61s_rate():
    errors = slow_limit_errors()
    for distance, bound in errors:
        assert 0.05 * bound < distance <= bound * (1 + 1e-6)
    assert errors[-1][0] < errors[0][0] / 10


def test_the_penalty_presses_only_outside_the_mask():
    problem, start = example(seed=4)
    penalty = GrowingPenalty(step=0.1, every=1, ceiling=1.0, hold=0)
    one = press(problem, start, penalty, 2, 0.1)  # at step 0 the penalty is 0, at step 1 it is 0.1
    free = start - 0.1 * problem.hessian @ (start - problem.minimiser)
    expected = free - 0.1 * (problem.hessian @ (free - problem.minimiser) + 0.1 * free * ~problem.kept)
    assert np.abs(one - expected).max() < 1e-14


def test_stopping_follows_t11_step_by_step():
    for patience in (1, 3, 7):
        seen = stopping(patience)
        assert seen.path_error < 1e-12, "every step is the closed form's"
        assert seen.best == seen.predicted_best == 12
        assert seen.epochs == seen.best + patience, "it stops when the patience has run out, not later"
        assert seen.restored_error < 1e-12, "and goes back to the best step"
