"""Balls and searches: what is certified is true, what is false is refuted, what cannot be decided says so."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import pytest
from flint import arb, ctx
from hypothesis import given
from hypothesis import strategies as st

from unilth.theory import certificates
from unilth.theory.balls import Bracket, agrees, ball, bracket, decimal, precision
from unilth.theory.certify import bounded, infimum, monotone, positive, root, slope, supremum


def parabola(x):
    return x * (1 - x)


def test_floats_never_become_balls() -> None:
    for value in (0.1, True, None):
        with pytest.raises(TypeError):
            ball(value)  # type: ignore[arg-type]
    assert ball("0.1").contains(arb(1) / 10) and not arb(0.1).contains(arb(1) / 10)


def test_precision_is_restored() -> None:
    before = ctx.prec
    with pytest.raises(RuntimeError), precision(400):
        assert ctx.prec == 400
        raise RuntimeError
    assert ctx.prec == before


@given(st.fractions(min_value=-1000, max_value=1000), st.integers(0, 30))
def test_decimals_round_outward(value: Fraction, digits: int) -> None:
    low, high = decimal(value, digits, up=False), decimal(value, digits, up=True)
    assert Fraction(low) <= value <= Fraction(high)
    assert Fraction(high) - Fraction(low) in (0, Fraction(1, 10**digits))


@given(st.fractions(min_value=-5, max_value=5), st.fractions(min_value=0, max_value=1))
def test_brackets_enclose_their_ball(middle: Fraction, radius: Fraction) -> None:
    found = bracket(ball(middle - radius).union(ball(middle + radius)))
    assert found.contains(middle - radius) and found.contains(middle + radius)


def test_an_empty_or_infinite_bracket_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        Bracket("1", "0")
    with pytest.raises(ValueError, match="finite"):
        bracket(arb.pos_inf())


@pytest.mark.parametrize(
    ("claim", "verdict"), [("0.25", True), ("0.250000", True), ("0.2500001", None), ("0.250002", False), ("0.2", True)]
)
def test_agreement_is_to_one_unit_of_the_last_digit(claim: str, verdict: bool | None) -> None:
    assert agrees(Bracket("0.2499999", "0.2500003"), claim) is verdict


def test_bounds_hold_fail_or_stay_open() -> None:
    assert bounded(parabola, 0, 1, above="0.2500001", below="-1e-9").holds is True
    false = bounded(parabola, 0, 1, above="0.2499999")
    assert false.holds is False and "f(0.5)" in false.detail
    assert bounded(parabola, 0, 1, below="0.1").holds is False
    assert bounded(parabola, 0, 1, above="0.25", max_boxes=500).holds is None, "attained: balls cannot decide equality"
    assert bounded(parabola, "0.5", "0.5", above="0.26").holds is True
    with pytest.raises(ValueError, match="empty"):
        bounded(parabola, 1, 0, above=1)


def test_a_pole_is_not_certified() -> None:
    assert bounded(lambda x: 1 / x, -1, 1, above=10, max_boxes=300).holds is not True


def test_positive_and_monotone() -> None:
    assert positive(lambda x: x * x + 1, -3, 3).holds is True
    assert positive(lambda x: x * x - 1, -3, 3).holds is False
    assert monotone(lambda x: x.exp(), -3, 3, "increasing").holds is True
    assert monotone(lambda x: -x, -3, 3, "decreasing").holds is True
    assert monotone(lambda x: x * x, -1, 3, "increasing").holds is False
    with pytest.raises(ValueError, match="direction"):
        monotone(parabola, 0, 1, "up")  # type: ignore[arg-type]


def test_extrema_are_bracketed_on_both_sides() -> None:
    found = supremum(parabola, 0, 1)
    assert found is not None
    value, where = found
    assert value.contains("0.25") and value.width < Fraction("2e-12") and where.contains("0.5")
    low = infimum(lambda x: x * x - 2 * x, 0, 3)
    assert low is not None and low[0].contains(-1) and low[1].contains(1)
    at_the_end = supremum(lambda x: x.exp(), 0, 1)
    assert at_the_end is not None and at_the_end[1].contains(1)
    assert supremum(lambda x: 1 / x, -1, 1, max_boxes=200) is None


def test_extrema_agree_with_interval_arithmetic_of_another_library() -> None:
    found = supremum(lambda x: (1 - (-x).exp()) * (1 + x) / x, "0.001", 1000)
    assert found is not None
    mpmath.iv.prec = 100
    x = mpmath.iv.mpf(["1.79328213290076", "1.79328213290077"])
    other = (1 - mpmath.iv.exp(-x)) * (1 + x) / x
    assert float(other.a) - 1e-11 < float(found[0].lower) and float(found[0].upper) < float(other.b) + 1e-11


def test_roots() -> None:
    found = root(lambda x: x * x - 2, 1, 2, unique=True)
    assert found is not None and Fraction(found.lower) ** 2 < 2 < Fraction(found.upper) ** 2
    assert found.width < Fraction("3e-25")
    assert root(lambda x: x * x + 1, -1, 2) is None
    assert root(lambda x: x * (x - 1) * (x - 2), -1, 3, unique=True) is None, "three zeros are not one"
    assert root(lambda x: x - ball("1/2"), 0, 1) is not None, "a zero on the first cut"
    assert root(lambda x: 1 / x, -1, 2) is None, "a pole changes sign without a zero"


def test_a_function_of_balls_alone_has_no_slope_but_is_bounded() -> None:
    assert slope(lambda x: x.tanh(), arb(1)) is None
    assert bounded(lambda x: x.tanh(), 0, 3, above=1).holds is True


def test_a_removable_singularity_has_no_slope_rather_than_a_wrong_one() -> None:
    assert slope(lambda x: (x.exp() - 1) / x, arb(0)) is None, "the series loses an order; its slope is 1/2, not 0"


def test_every_search_wants_its_interval_in_order() -> None:
    for search in (supremum, infimum, root, positive):
        with pytest.raises(ValueError, match="empty"):
            search(parabola, 1, 0)


def test_an_interval_of_one_point_is_checked_again_like_any_other() -> None:
    def searches() -> list[object]:
        point = bounded(parabola, 1, 1, above=1)
        return [point.holds, supremum(parabola, 1, 1), supremum(parabola, 0, 1), bounded(parabola, 0, 1, above=1).holds]

    tape = certificates.Tape()
    with certificates.running(tape):
        found = searches()
    with certificates.running(certificates.Tape(tape.entries, position=0)):
        assert searches()[0] is found[0] is True
    with certificates.running(certificates.Tape(tape.entries, position=0)):
        assert None not in searches() and None not in found


@given(st.fractions(0, 1), st.integers(0, 3))
def test_no_tampered_partition_certifies_a_false_bound(cut: Fraction, where: int) -> None:
    """Whatever a certificate says, a bound that is false stays uncertified: the check evaluates every box itself."""
    cuts = ["0", "1"]
    cuts.insert(where, str(cut))
    with certificates.running(certificates.Tape([{"kind": "bounded", "cuts": cuts}], position=0)):
        assert bounded(parabola, 0, 1, above="0.2499").holds is None
