"""Section 8 on generated cases, apart from the theorems' own code."""

from fractions import Fraction
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from unilth.theory.models.trajectory import magnitude_mask

WEIGHTS = st.lists(st.floats(-100, 100, allow_nan=False), min_size=1, max_size=7)


@settings(max_examples=100, deadline=None)
@given(WEIGHTS, st.integers(0, 7), st.sampled_from([0.5, 1, 2, 5, np.inf]))
def test_no_mask_of_the_same_size_changes_the_weights_less(weights, count, p):
    w = np.abs(np.array(weights))
    count = min(count, len(w))
    pruned = ~magnitude_mask(weights, Fraction(count, len(w)))
    assert pruned.sum() == count

    def change(indices):
        gone = w[list(indices)]
        return 0.0 if not len(gone) else gone.max() if p == np.inf else (gone**p).sum()

    chosen = change(np.flatnonzero(pruned))
    assert all(chosen <= change(other) * (1 + 1e-9) for other in combinations(range(len(w)), count))


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 10_000), st.fractions(Fraction(1, 50), Fraction(49, 50), max_denominator=60))
def test_the_integer_rule_lags_by_less_than_one_over_p(n, share):
    size, k = n, 0
    while True:
        assert n * (1 - share) ** k <= size < n * (1 - share) ** k + 1 / share
        gone = int(share * size)
        if gone == 0 or k > 60:
            break
        size, k = size - gone, k + 1
    assert gone > 0 or size < 1 / share


@settings(max_examples=100, deadline=None)
@given(
    WEIGHTS, st.sampled_from([-2.0, 0.5, 4.0]), st.fractions(0, 1, max_denominator=9), st.randoms(use_true_random=False)
)
def test_scaling_and_permuting(weights, factor, sparsity, random):
    w = np.array(weights)
    kept = magnitude_mask(w, sparsity)
    assert (magnitude_mask(factor * w, sparsity) == kept).all()
    if len(set(np.abs(w))) == len(w):
        order = list(range(len(w)))
        random.shuffle(order)
        assert (magnitude_mask(w[order], sparsity) == kept[order]).all()


def test_a_random_mask_costs_its_share_on_average():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(6, 6))
    h, w, k = root @ root.T, rng.normal(size=6), 3
    losses = []
    for pruned in combinations(range(6), k):
        x = np.where(np.isin(np.arange(6), pruned), w, 0)
        losses.append(0.5 * x @ h @ x)
    diagonal = (np.diag(h) * w**2).sum()
    mixed = w @ h @ w - diagonal
    assert np.isclose(np.mean(losses), 0.5 * (k / 6 * diagonal + k * (k - 1) / 30 * mixed))
    assert not np.isclose(np.mean(losses), k / 6 * 0.5 * w @ h @ w)
