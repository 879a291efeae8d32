"""Section 6 on random problems, through numerical linear algebra only: T6.4 to T6.7."""

from itertools import permutations

import numpy as np
import pytest

from unilth.theory.models.growing_penalty import PenalisedQuadratic
from unilth.theory.theorems.growing_penalty.recoverable_fraction import INSTANCES, in_range, losses


def hessian(rng: np.random.Generator, n: int) -> np.ndarray:
    root = rng.normal(size=(n + 2, n))
    return root.T @ root / n + 0.1 * np.eye(n)


@pytest.mark.parametrize("seed", range(20))
def test_sign_of_the_separation(seed):
    rng = np.random.default_rng(seed)
    h, w = hessian(rng, 2), rng.normal(size=2)
    lam = np.exp(rng.normal())
    r = np.linalg.solve(h + lam * np.eye(2), h @ w) / w
    assert np.sign(r[0] - r[1]) == np.sign(h[0, 0] - h[1, 1] + h[0, 1] * (w[1] / w[0] - w[0] / w[1]))


def test_a_large_uniform_penalty_ranks_by_the_gradient_at_zero():
    rng = np.random.default_rng(1)
    h, w = hessian(rng, 6), rng.normal(size=6)
    lam = 1e6
    assert np.allclose(lam * np.linalg.solve(h + lam * np.eye(6), h @ w), h @ w, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_descent_diverges_beyond_the_ceiling_and_the_proximal_step_does_not(seed):
    rng = np.random.default_rng(seed)
    h, pruned = hessian(rng, 5), np.arange(5) < 2
    eta = 1.0 / np.linalg.eigvalsh(h)[-1]
    safe = 2 / eta - np.linalg.eigvalsh(h)[-1]
    unsafe = 2 / eta - np.linalg.eigvalsh(h[:2, :2])[-1]
    assert safe <= unsafe

    def size_after(lam, proximal, steps=20_000):
        w = rng.normal(size=5)
        for _ in range(steps):
            w = w - eta * (h @ w + (0 if proximal else lam * pruned * w))
            if proximal:
                w = w / (1 + eta * lam * pruned)
            if np.abs(w).max() > 1e6:
                break
        return np.abs(w).max()

    assert size_after(0.999 * safe, False) < 1e-3
    assert size_after(1.02 * unsafe, False) > 1e6
    assert size_after(50 * unsafe, True) < 1e-3


@pytest.mark.parametrize("seed", range(3))
def test_saliencies_add_up_in_every_order(seed):
    rng = np.random.default_rng(seed)
    h, w0 = hessian(rng, 5), rng.normal(size=5)
    p = PenalisedQuadratic(h, w0, [True, False, True, False, False])
    for order in permutations([1, 3, 4]):
        active, w, total = list(range(5)), w0.copy(), 0.0
        for j in order:
            inverse = np.linalg.inv(h[np.ix_(active, active)])
            at = active.index(j)
            total += w[j] ** 2 / (2 * inverse[at, at])
            w[active] -= w[j] / inverse[at, at] * inverse[:, at]
            active.remove(j)
        assert total == pytest.approx(p.limit_loss)
        assert np.allclose(w, p.limit)


@pytest.mark.parametrize("seed", range(10))
def test_recovered_fraction_lies_between_the_canonical_correlations(seed):
    rng = np.random.default_rng(seed)
    h = hessian(rng, 6)
    kept = np.arange(6) < 3
    values_m, vectors_m = np.linalg.eigh(h[:3, :3])
    values_c, vectors_c = np.linalg.eigh(h[3:, 3:])
    root_m = (vectors_m / np.sqrt(values_m)) @ vectors_m.T
    root_c = (vectors_c / np.sqrt(values_c)) @ vectors_c.T
    left, sigma, right = np.linalg.svd(root_m @ h[:3, 3:] @ root_c)
    kappa = np.divide(*np.linalg.eigvalsh(h)[[-1, 0]])
    for _ in range(20):
        p = PenalisedQuadratic(h, rng.normal(size=6), kept)
        assert sigma[-1] ** 2 - 1e-12 <= 1 - p.limit_loss / p.plain_loss <= sigma[0] ** 2 + 1e-12
    top = PenalisedQuadratic(h, np.concatenate([np.zeros(3), root_c @ right[0]]), kept)
    assert top.plain_loss / top.limit_loss == pytest.approx(1 / (1 - sigma[0] ** 2))
    assert 1 / (1 - sigma[0] ** 2) <= (kappa + 1) ** 2 / (4 * kappa)
    assert left.shape == (3, 3)


def test_the_least_canonical_correlation_counts_one_per_pruned_weight():
    """T6.7: with one kept and two pruned weights it is 0; read as the smallest of min(m, c) it is refuted."""
    three = next(b for b in INSTANCES if "three weights" in str(b))
    plain, limit = losses(three)
    p, fraction = three.problem, 1 - limit / plain
    assert in_range(p.part("c", "m") * p.coupling, p.part("c", "c"), fraction)
    on_kept = p.part("m", "c") * p.part("c", "c").inv() * p.part("c", "m")
    assert not in_range(on_kept, p.part("m", "m"), fraction)
    assert not in_range(p.part("c", "m") * p.coupling, p.part("c", "c"), 1 - plain / (plain + limit))


@pytest.mark.parametrize("seed", range(20))
def test_the_recovered_fraction_is_between_the_squared_correlations(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    p = PenalisedQuadratic(hessian(rng, n), rng.normal(size=n), np.arange(n) < int(rng.integers(1, n)))
    kept = p.kept
    cross, root = p.hessian[np.ix_(~kept, kept)], np.linalg.cholesky(p.hessian[np.ix_(~kept, ~kept)])
    inner = np.linalg.solve(root, cross @ np.linalg.solve(p.hessian[np.ix_(kept, kept)], cross.T))
    squares = np.linalg.eigvalsh(np.linalg.solve(root, inner.T))
    assert squares[0] - 1e-9 <= 1 - p.limit_loss / p.plain_loss <= squares[-1] + 1e-9
