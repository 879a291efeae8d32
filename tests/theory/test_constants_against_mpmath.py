"""Certified constants of sections 1 and 4 once more, by mpmath: intervals, and 50 digits for Bessel functions."""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from typing import Any

import mpmath
import pytest

from unilth.theory.theorems.dynamics import descent_risk, nesterov
from unilth.theory.theorems.quadratic import euler_ladder, scalar_recalibration, uniform_gap


def brackets(theorem: Any) -> dict[str, tuple[str, str]]:
    """Every constant's bracket from the theorem's evidence."""
    return {name: pair for e in theorem.check(theorem.claim) for name, pair in e.constants.items()}


CERTIFIED = {
    **brackets(uniform_gap.THEOREM),
    **brackets(euler_ladder.THEOREM),
    **brackets(scalar_recalibration.THEOREM),
    **{f"T4.1 {name}": pair for name, pair in brackets(descent_risk.THEOREM).items()},
    **{f"T4.3 {name}": pair for name, pair in brackets(nesterov.THEOREM).items()},
}


def interval(name: str) -> Any:
    lower, upper = CERTIFIED[name]
    return mpmath.iv.mpf([mpmath.mpf(lower), mpmath.mpf(upper)])


@pytest.fixture(autouse=True)
def digits() -> Any:
    before = mpmath.iv.dps
    mpmath.iv.dps = 40
    with mpmath.workdps(50):
        yield
    mpmath.iv.dps = before


def sign_changes(f: Callable[[Any], Any], name: str) -> bool:
    """Whether interval arithmetic sees different signs at the ends of a bracket."""
    low, high = (f(mpmath.iv.mpf(end)) for end in CERTIFIED[name])
    return bool((low < 0 and high > 0) or (low > 0 and high < 0))


def test_the_stationary_point_of_the_gap_and_its_value() -> None:
    assert sign_changes(lambda x: mpmath.iv.exp(x) - (1 + x) ** 2, "A1_AT")
    x = interval("A1_AT")
    value, bracket = 1 / (1 + x) - mpmath.iv.exp(-x), interval("A1")
    assert value.a <= bracket.b and bracket.a <= value.b
    assert (x / (1 + x) ** 2).a <= bracket.b and bracket.a <= (x / (1 + x) ** 2).b


def covering(f: Callable[[Any], Any], lo: Fraction, hi: Fraction, boxes: int) -> Any:
    """The largest upper end of an interval function over equal boxes."""
    width = (hi - lo) / boxes
    ends = [mpmath.mpf((lo + i * width).numerator) / (lo + i * width).denominator for i in range(boxes + 1)]
    return max(f(mpmath.iv.mpf([a, b])).b for a, b in pairwise(ends))


@pytest.mark.parametrize(
    ("name", "f", "lo", "hi"),
    [
        ("A1", lambda x: 1 / (1 + x) - mpmath.iv.exp(-x), 0, 12),
        ("D2", lambda u: 1 / (1 + 2 * u) - (1 - u) ** 2, 0, 1),
        ("D3", lambda u: 1 / (1 + 3 * u) - (1 - u) ** 3, 0, 1),
        ("T4.1 K1", lambda x: (1 - mpmath.iv.exp(-x)) * (1 + 1 / x), Fraction(1, 2), 6),
        ("T4.1 C3", lambda u: (3 - 3 * u + u**2) * (1 + 3 * u) / 3, 0, 1),
    ],
)
def test_no_interval_exceeds_a_supremum_by_much(name: str, f: Callable[[Any], Any], lo: int, hi: int) -> None:
    top = covering(f, Fraction(lo), Fraction(hi), 4000)
    assert interval(name).a <= top <= interval(name).b + mpmath.mpf("0.01")


def test_the_gap_of_one_step_is_one_over_e() -> None:
    value, bracket = mpmath.iv.exp(mpmath.iv.mpf(-1)), interval("GAP")
    assert bracket.a <= value.a and value.b <= bracket.b


def test_the_recalibrated_distance() -> None:
    """Both parts at the certified c reach A2, found by maximising at 50 digits."""
    c = mpmath.mpf("0.531698517196024371022242")

    def f(x: Any) -> Any:
        return mpmath.exp(-x) - c / (x + c)

    extremes = [abs(f(mpmath.findroot(lambda x: mpmath.diff(f, x), start))) for start in (0.3, 3.5)]
    lower, upper = (mpmath.mpf(end) for end in CERTIFIED["A2"])
    assert all(lower <= value <= upper for value in extremes)


def test_nesterov_s_constants() -> None:
    def r(z: Any) -> Any:
        return 2 * mpmath.besselj(1, z) / z

    def within(value: Any, name: str) -> bool:
        lower, upper = (mpmath.mpf(end) for end in CERTIFIED[f"T4.3 {name}"])
        return bool(lower <= value <= upper)

    zero = mpmath.besseljzero(2, 1)
    assert within(zero, "MIN_AT")
    assert within(r(zero), "MIN_RESIDUAL")
    z = mpmath.findroot(lambda z: mpmath.diff(lambda y: r(y) - 1 / (1 + y * y / 8), z), 4.5)
    assert within(z * z / 8, "GAP_AT")
    assert within(1 / (1 + z * z / 8) - r(z), "GAP")
    z = mpmath.findroot(lambda z: mpmath.diff(lambda y: mpmath.sqrt(y) * mpmath.besselj(1, y), z), 2.2)
    assert within(2 * mpmath.sqrt(z) * mpmath.besselj(1, z), "PEAK")


def test_nesterov_s_variance_constant_is_larger_than_the_catalogue_says() -> None:
    """The catalogue's 1.55025954675108 is no upper bound: the ratio of gains exceeds it by 3.6e-11."""

    def ratio(z: Any) -> Any:
        return (1 - 2 * mpmath.besselj(1, z) / z) * (1 + 8 / z**2)

    z = mpmath.findroot(lambda z: mpmath.diff(ratio, z), 4.1)
    lower, upper = (mpmath.mpf(end) for end in CERTIFIED["T4.3 VARIANCE"])
    assert lower <= ratio(z) <= upper
    assert ratio(mpmath.mpf("4.098078960301005")) > mpmath.mpf("1.55025954675108") + mpmath.mpf("3.6e-11")
