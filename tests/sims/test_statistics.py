"""Statistics of a comparison: against SciPy, against enumeration by hand, and on known near misses."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unilth.sims.statistics import FLIPS, Cell, describe, half_interval, holm, paired, sign_flip_p, smallest_p


def test_a_cell_of_five_seeds_against_scipy() -> None:
    from scipy import stats

    values = [0.91, 0.93, 0.90, 0.95, 0.92]
    cell = describe(values)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(values), scale=stats.sem(values))
    assert cell.n == 5
    assert math.isclose(cell.mean, 0.922) and math.isclose(cell.deviation, np.std(values, ddof=1))
    assert math.isclose(cell.mean - cell.half, low) and math.isclose(cell.mean + cell.half, high)
    # The near misses: the normal quantile and the deviation over n are both visibly off with five seeds.
    assert abs(cell.half - 1.959964 * cell.deviation / math.sqrt(5)) > 0.005
    assert cell.half != half_interval(float(np.std(values)), 5)


def test_nothing_is_guessed_from_one_value_or_none() -> None:
    assert describe([]) == Cell(0, None, None, None)
    assert describe([0.5]) == Cell(1, 0.5, None, None)
    assert describe([0.5, 0.5]) == Cell(2, 0.5, 0.0, 0.0)


@pytest.mark.parametrize("bad", [[float("nan")], [1.0, float("inf")]])
def test_values_that_are_no_numbers_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        describe(bad)
    with pytest.raises(ValueError, match="finite"):
        sign_flip_p(bad)


@pytest.mark.parametrize("level", [0.0, 1.0, 1.5])
def test_an_impossible_level_is_refused(level: float) -> None:
    with pytest.raises(ValueError, match="level"):
        half_interval(1.0, 5, level=level)
    with pytest.raises(ValueError, match="two values"):
        half_interval(1.0, 1)


@given(st.lists(st.integers(-50, 50), min_size=1, max_size=8))
def test_p_is_the_share_of_sign_patterns_at_least_as_far(differences: list[int]) -> None:
    # Integers, so that the reference counts ties exactly.
    observed = abs(sum(differences))
    patterns = list(itertools.product((1, -1), repeat=len(differences)))
    far = sum(abs(sum(s * d for s, d in zip(signs, differences, strict=True))) >= observed for signs in patterns)
    assert sign_flip_p([float(d) for d in differences]) == far / len(patterns)


def test_p_against_scipy_and_its_smallest_value() -> None:
    from scipy import stats

    differences = [0.013, -0.004, 0.021, 0.009, 0.002, 0.017]
    reference = stats.permutation_test(
        (np.array(differences),), np.mean, permutation_type="samples", n_resamples=np.inf, alternative="two-sided"
    )
    assert math.isclose(sign_flip_p(differences), reference.pvalue)
    assert sign_flip_p([0.1, 0.2, 0.3, 0.4, 0.5]) == 2 / 32  # five seeds never get below 0.0625
    assert sign_flip_p([0.0, 0.0]) == 1.0


def test_ties_from_rounding_count() -> None:
    # 0.1 + 0.2 - 0.3 is 5.6e-17, not 0: without slack some patterns equal to the observed sum would be lost.
    differences = [0.1, 0.2, -0.3]
    assert sign_flip_p(differences) == 1.0
    assert sign_flip_p([-d for d in reversed(differences)]) == 1.0


def test_beyond_twenty_pairs_p_is_drawn_and_close_to_exact() -> None:
    assert sign_flip_p([1.0] * 21) == 1 / (1 + FLIPS) == smallest_p(21)  # a drawn p is never 0
    assert sign_flip_p([0.0] * 21) == 1.0
    assert sign_flip_p([1.0] * 20) == 2 / 2**20 == smallest_p(20)
    draw = np.random.default_rng(0)
    for shift in (0.0, 0.2, 0.5):
        differences = [float(n) for n in draw.integers(-40, 41, 24) + round(40 * shift)]
        drawn = sign_flip_p(differences)
        assert drawn == sign_flip_p(differences) == sign_flip_p([-d for d in differences])  # the same every time
        sums = {0: 1}
        for value in differences:  # integers: how many sign patterns give each sum
            new: dict[int, int] = {}
            for total, count in sums.items():
                for sign in (1, -1):
                    new[total + sign * int(value)] = new.get(total + sign * int(value), 0) + count
            sums = new
        far = sum(count for total, count in sums.items() if abs(total) >= abs(sum(differences)))
        exact = far / 2**24
        assert abs(drawn - exact) < 5 * math.sqrt(exact * (1 - exact) / FLIPS) + 1 / FLIPS


def test_no_pairs_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one pair"):
        sign_flip_p([])


def test_pairs_are_by_seed_not_by_order() -> None:
    difference = paired({3: 0.9, 1: 0.7, 2: 0.8}, {1: 0.6, 2: 0.7, 3: 0.8, 4: 0.1})
    assert difference.n == 3
    assert math.isclose(difference.mean, 0.1) and difference.half < 1e-12
    assert difference.p == 2 / 8
    nothing = paired({1: 0.5}, {2: 0.5})
    assert (nothing.n, nothing.mean, nothing.half, nothing.p) == (0, None, None, None)


def test_holm_by_hand() -> None:
    # The example in Holm's order: 0.01*4, max(.., 0.02*3), max(.., 0.03*2), max(.., 0.04).
    assert np.allclose(holm([0.02, 0.01, 0.04, 0.03]), [0.06, 0.04, 0.06, 0.06])
    assert holm([]) == []
    assert holm([0.7, 0.9]) == [1.0, 1.0]
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        holm([0.5, 1.5])


@given(st.lists(st.floats(0, 1), max_size=8), st.randoms(use_true_random=False))
def test_holm_lies_between_raw_and_bonferroni_and_ignores_order(p_values: list[float], random) -> None:
    adjusted = holm(p_values)
    for raw, corrected in zip(p_values, adjusted, strict=True):
        assert raw <= corrected <= min(1.0, raw * len(p_values)) or corrected == raw
    order = list(range(len(p_values)))
    random.shuffle(order)
    assert holm([p_values[i] for i in order]) == [adjusted[i] for i in order]
