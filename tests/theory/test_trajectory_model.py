"""The exact staircase flow against an independent ODE solver and a plain gradient-descent loop."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from unilth.errors import UserError
from unilth.theory.models.growing_penalty import PenalisedQuadratic
from unilth.theory.models.trajectory import (
    Ramp,
    end_point,
    free_flow,
    hyperbolic_ramp,
    magnitude_mask,
    natural_scale,
    path,
    power_ramp,
    unilth,
)


def random_problem(seed: int, rank: int = 8, n: int = 6) -> PenalisedQuadratic:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(rank, n)) / np.sqrt(rank)
    return PenalisedQuadratic(root.T @ root, rng.normal(size=n), rng.permutation(n) < n // 2)


def solved(p: PenalisedQuadratic, start, penalty, time: float) -> np.ndarray:
    """The same flow by SciPy's eighth-order Runge-Kutta solver."""
    pressed = (~p.kept).astype(float)

    def rhs(t, w):
        return -p.hessian @ (w - p.minimiser) - penalty(t) * pressed * w

    return solve_ivp(rhs, (0, time), start, method="DOP853", rtol=1e-11, atol=1e-13).y[:, -1]


@pytest.mark.parametrize("rank", [8, 3])
@pytest.mark.parametrize("seed", range(4))
def test_one_constant_piece_agrees_with_the_solver(seed, rank):
    p = random_problem(seed, rank)
    start = np.random.default_rng(seed + 100).normal(size=6)
    for penalty in (0.0, 0.7, 20.0):
        got = end_point(p, start, Ramp([1.3], [penalty]))
        assert np.abs(got - solved(p, start, lambda t, c=penalty: c, 1.3)).max() < 1e-9


@pytest.mark.parametrize("power", [1, 2, 3])
def test_staircase_converges_to_the_smooth_ramp(power):
    p = random_problem(1)
    smooth = solved(p, np.zeros(6), lambda t: 4 * (t / 2) ** power, 2.0)
    errors = [
        np.abs(end_point(p, np.zeros(6), power_ramp(4.0, 2.0, power, pieces)) - smooth).max() for pieces in (50, 100)
    ]
    assert errors[1] < 1e-4
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)  # second order, as midpoints are


def test_gradient_descent_with_small_steps_follows_the_flow():
    p = random_problem(2)
    ramp = power_ramp(3.0, 2.0, 2, pieces=40)
    w, eta = np.zeros(6), 1e-4
    for step, penalty in zip(ramp.durations, ramp.penalties, strict=True):
        for _ in range(round(step / eta)):
            w = w - eta * (p.hessian @ (w - p.minimiser) + penalty * np.where(p.kept, 0, w))
    assert np.abs(w - end_point(p, np.zeros(6), ramp)).max() < 5e-4


def test_hyperbolic_ramp_extrudes_in_finite_time():
    p = random_problem(4)
    scale = natural_scale(p)
    ramp = hyperbolic_ramp(scale, 60.0, 4000)
    assert ramp.penalties[-1] > 1000 * scale
    assert ramp.time == pytest.approx(60.0)
    end = end_point(p, p.minimiser, ramp)
    assert np.abs(end - p.limit).max() < 0.1


def test_path_has_every_state():
    p = random_problem(0)
    states = path(p, np.ones(6), Ramp([0.5, 0.0, 0.5], [0.0, 3.0, 3.0]))
    assert states.shape == (4, 6)
    assert (states[0] == 1).all()
    assert np.allclose(states[1], states[2])
    assert np.allclose(states[1], free_flow(p.hessian, p.minimiser, np.ones(6), 0.5))


@pytest.mark.parametrize(
    ("sparsity", "n", "pruned"), [(0.29, 100, 29), ("0.5", 5, 2), (Fraction(1, 3), 9, 3), (0, 4, 0), (1, 4, 4)]
)
def test_the_pruned_count_is_exact(sparsity, n, pruned):
    kept = magnitude_mask(np.arange(n) + 1.0, sparsity)
    assert (~kept).sum() == pruned
    assert kept[pruned:].all()


def test_ties_go_by_position():
    assert magnitude_mask([1.0, -1.0, 1.0, 2.0], 0.5).tolist() == [False, False, True, True]


def test_unilth_and_unidlth():
    h, target = np.diag([1.0, 100.0]), [1.0, 0.5]
    found = unilth(h, target, np.zeros(2), 0.1, power_ramp(50.0, 40.0), sparsity=0.5)
    assert found.kept.tolist() == [False, True]
    assert found.weights[0] == 0
    assert found.pressed[0] != 0
    assert found.loss == pytest.approx(0.5)
    given = unilth(h, target, np.zeros(2), 0.1, power_ramp(50.0, 40.0), kept=[True, False])
    assert given.loss == pytest.approx(12.5)


@pytest.mark.parametrize(
    ("make", "names"),
    [
        (lambda: Ramp([1.0], [1.0, 2.0]), "durations"),
        (lambda: Ramp([1.0], [-1.0]), "negative"),
        (lambda: power_ramp(1.0, 1.0, 4), "power"),
        (lambda: power_ramp(1.0, 0.0), "duration"),
        (lambda: hyperbolic_ramp(1.0, 1.0, 0), "pieces"),
        (lambda: magnitude_mask([1.0], 1.2), "sparsity"),
        (lambda: end_point(random_problem(0), [0.0], Ramp([1.0], [0.0])), "start"),
        (lambda: unilth(np.eye(2), [1, 1], [0, 0], 1.0, Ramp([1.0], [0.0])), "exactly one"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(make, names):
    with pytest.raises(UserError, match=names):
        make()
