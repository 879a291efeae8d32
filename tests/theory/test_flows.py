"""Flows in balls against the NumPy model and an ODE solver."""

import numpy as np
import pytest
from flint import acb, arb, fmpq
from scipy.integrate import solve_ivp

from unilth.theory.exact import column, matrix
from unilth.theory.flows import end_point, ramped, squared_norm, transition
from unilth.theory.models.growing_penalty import PenalisedQuadratic
from unilth.theory.models.trajectory import Ramp
from unilth.theory.models.trajectory import end_point as numeric_end_point

PIECES = [(fmpq(0), fmpq(1, 2)), (fmpq(3), fmpq(1)), (fmpq(10), fmpq(1, 4))]


@pytest.mark.parametrize("rows", [[[2, 1, 0], [1, 3, 1], [0, 1, 1]], [[1, 1, 0], [1, 1, 0], [0, 0, 2]]])
def test_end_point_agrees_with_the_numeric_model(rows):
    got = end_point(matrix(rows), column([1, -1, 2]), (1,), column([0, 1, 0]), PIECES)
    model = PenalisedQuadratic(rows, [1, -1, 2], [False, True, False])
    expected = numeric_end_point(model, [0, 1, 0], Ramp([0.5, 1, 0.25], [0, 3, 10]))
    assert [float(x.mid()) for x in got.entries()] == pytest.approx(expected.tolist(), abs=1e-12)
    assert all(x.rad() < arb("1e-10") for x in got.entries())


def test_transition_is_the_difference_of_two_runs():
    h, target = matrix([[2, 1], [1, 3]]), column([1, 1])
    runs = [end_point(h, target, (0,), column(start), PIECES) for start in ([1, 0], [0, 2])]
    moved = transition(h, (0,), PIECES) * column([1, -2])
    assert squared_norm(runs[0] - runs[1] - moved).contains(0)
    assert squared_norm(runs[0] - runs[1]) > 0


def test_ramped_agrees_with_a_solver():
    got = ramped(fmpq(2), fmpq(3), fmpq(1), lambda t: t**3 / 3, fmpq(3, 2))
    expected = solve_ivp(lambda t, w: -2 * (w - 3) - t**2 * w, (0, 1.5), [1.0], rtol=1e-11, atol=1e-13).y[0, -1]
    assert float(got.mid()) == pytest.approx(expected, abs=1e-9)
    assert ramped(fmpq(2), fmpq(3), fmpq(1), lambda t: acb(t), fmpq(0)) == 1
    assert np.isfinite(float(got.rad()))
