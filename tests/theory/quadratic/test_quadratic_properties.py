"""Section 1 on random problems, with the models in floating point: in addition to the proofs."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from unilth.theory.filters import GRADIENT_FLOW, RIDGE, gradient_descent, iterated_tikhonov
from unilth.theory.models.quadratic import Quadratic
from unilth.theory.theorems.quadratic.uniform_gap import THEOREM

GAPS = {k: float(THEOREM.claim.exact(f"D{k}")) for k in (1, 2, 3)}
A1 = float(THEOREM.claim.value("A1"))
SEEDS = st.integers(0, 2**32 - 1)


def problem(seed: int) -> tuple[Quadratic, np.ndarray]:
    """A random PSD Hessian, singular half of the time, with a start that has a part in its kernel."""
    generator = np.random.default_rng(seed)
    n = int(generator.integers(1, 7))
    root = generator.normal(size=(n, n if seed % 2 else max(n - 1, 1)))
    return Quadratic(root @ root.T * generator.uniform(0.01, 10), generator.normal(size=n)), generator.normal(size=n)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(1, 60), st.floats(0.01, 1))
def test_descent_and_its_ridge_are_no_further_apart_than_the_constant(seed: int, steps: int, share: float) -> None:
    quadratic, start = problem(seed)
    step = share / quadratic.eigenvalues.max()
    apart = np.linalg.norm(quadratic.gradient_descent(step, steps, start) - quadratic.ridge(1 / (step * steps), start))
    distance = np.linalg.norm(quadratic.minimiser - start)
    assert apart <= GAPS.get(steps, GAPS[3]) * distance * (1 + 1e-9)
    flow = np.linalg.norm(quadratic.gradient_flow(step * steps, start) - quadratic.ridge(1 / (step * steps), start))
    assert flow <= A1 * distance * (1 + 1e-9)


@settings(max_examples=100, deadline=None)
@given(SEEDS, st.integers(1, 40), st.floats(0.01, 0.99))
def test_the_effective_penalty_is_the_sum_and_falls(seed: int, steps: int, share: float) -> None:
    s = np.sort(np.random.default_rng(seed).uniform(0.01, 5, 6))
    step = share / s.max()
    penalty = gradient_descent(step).effective_penalty(s, steps)
    powers = (1 - step * s)[:, None] ** -np.arange(1, steps + 1)
    np.testing.assert_allclose(1 / penalty, step * powers.sum(1), rtol=1e-9)
    assert (np.diff(penalty) < 0).all()
    assert (penalty <= 1 / (step * steps)).all()
    # the number of steps that amounts to a given penalty
    a = penalty[3]
    tau = np.log1p(s / a) / -np.log1p(-step * s)
    assert (step * a * tau <= 1 + 1e-12).all()
    assert (step * a * tau >= (1 - s / (2 * a)) * (1 - step * s) - 1e-12).all()


@given(st.floats(0, 1), st.integers(1, 200))
def test_the_ladder_and_its_gaps(share: float, k: int) -> None:
    x = share * k
    rungs = [
        gradient_descent(1 / k).residual([x], k)[0],
        GRADIENT_FLOW.residual([x], 1.0)[0],
        iterated_tikhonov(k).residual([x], k)[0],
        RIDGE.residual([x], 1.0)[0],
    ]
    slack = 1e-14
    assert all(a <= b + slack for a, b in pairwise(rungs))
    assert rungs[1] - rungs[0] <= 1 / (np.e * k) + slack
    assert rungs[2] - rungs[1] <= 1 / (np.e * k) + slack
