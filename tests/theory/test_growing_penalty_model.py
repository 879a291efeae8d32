"""The Schur-complement model against the linear system, a numerical optimiser and plain pruning."""

import numpy as np
import pytest
from scipy.optimize import minimize

from unilth.errors import UserError
from unilth.theory.models.growing_penalty import PenalisedQuadratic


def random_problem(seed: int, *, rank: int | None = None, n: int = 7) -> PenalisedQuadratic:
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(rank or n + 2, n))
    kept = np.zeros(n, bool)
    kept[rng.permutation(n)[: n // 2]] = True
    return PenalisedQuadratic(root.T @ root, rng.normal(size=n), kept)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("rank", [None, 3])
def test_closed_form_solves_the_first_order_condition(seed, rank):
    p = random_problem(seed, rank=rank)
    penalties = np.array([1e-3, 0.3, 2.0, 50.0])
    w = p.weights(penalties)
    for lam, point in zip(penalties, w, strict=True):
        gradient = p.hessian @ (point - p.minimiser) + lam * np.where(p.kept, 0, point)
        assert np.abs(gradient).max() < 1e-9 * (1 + lam)


def test_an_optimiser_finds_nothing_lower():
    p = random_problem(3)
    w = p.weights(1.7)
    found = minimize(lambda x: float(p.penalised_loss(x, 1.7)), np.zeros(7), tol=1e-12)
    assert found.fun >= p.penalised_loss(w, 1.7) - 1e-12
    assert np.abs(found.x - w).max() < 1e-4


@pytest.mark.parametrize("seed", range(5))
def test_loss_rises_and_pruned_weights_shrink_along_the_path(seed):
    p = random_problem(seed)
    penalties = np.logspace(-3, 4, 60)
    w = p.weights(penalties)
    assert (np.diff(p.loss(w)) > 0).all()
    assert (np.diff(np.linalg.norm(w[:, ~p.kept], axis=1)) < 0).all()
    distance = np.linalg.norm(w - p.limit, axis=1)
    spread = np.sqrt(1 + np.linalg.norm(p.coupling, 2) ** 2)
    bound = spread * np.linalg.norm(p.schur @ p.minimiser[~p.kept]) / penalties
    assert (distance <= bound * (1 + 1e-12)).all()
    assert distance[-1] > 0.9 * np.linalg.norm(p.schur @ p.minimiser[~p.kept]) / penalties[-1]


@pytest.mark.parametrize("rank", [None, 3])
def test_extrusion_saves_what_the_identity_says(rank):
    p = random_problem(11, rank=rank)
    pruned = np.where(p.kept, p.weights(2.0), 0.0)
    assert p.prune_excess(2.0) == pytest.approx(p.loss(pruned) - p.limit_loss)
    assert p.loss(p.limit) == pytest.approx(p.limit_loss)
    assert p.plain_loss - p.limit_loss == pytest.approx(
        0.5 * (p.minimiser - p.limit)[p.kept] @ (p.hessian[np.ix_(p.kept, p.kept)] @ (p.minimiser - p.limit)[p.kept])
    )
    # nothing with this mask does better than the limit
    others = np.where(p.kept, p.limit + np.random.default_rng(0).normal(size=(50, 7)), 0.0)
    assert (p.loss(others) >= p.limit_loss - 1e-12).all()


def test_ends_of_the_path():
    p = random_problem(5)
    assert np.allclose(p.weights(0.0), p.minimiser)
    assert np.allclose(p.weights(np.inf), p.limit)
    assert (p.limit[~p.kept] == 0).all()
    assert p.weights(np.ones((2, 3))).shape == (2, 3, 7)


@pytest.mark.parametrize("kept", [np.ones(3, bool), np.zeros(3, bool)])
def test_masks_that_keep_everything_or_nothing(kept):
    p = PenalisedQuadratic(np.diag([1.0, 2.0, 3.0]), [1.0, 1.0, 1.0], kept)
    expected = np.ones(3) if kept.all() else np.array([1, 2, 3]) / (np.array([1, 2, 3]) + 4)
    assert np.allclose(p.weights(4.0), expected)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        ((np.eye(2), [1.0], [True, False]), "minimiser"),
        (([[1.0, 2.0], [0.0, 1.0]], [1.0, 1.0], [True, False]), "symmetric"),
        (([[1.0, 0.0], [0.0, -1.0]], [1.0, 1.0], [True, False]), "eigenvalue"),
        ((np.eye(2), [1.0, np.nan], [True, False]), "finite"),
    ],
)
def test_bad_problems_are_refused_in_one_sentence(arguments, names):
    with pytest.raises(UserError, match=names):
        PenalisedQuadratic(*arguments)


def test_negative_penalties_are_refused():
    with pytest.raises(UserError, match="penalty"):
        random_problem(0).weights([-1.0])
