"""Searches of `certify` at their edges: what a replay must refuse, ends that are zeros, texts, empty conjunctions.

Each test here is the one that a mutant of `theory/certify.py` escaped before it was written.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import pytest
from flint import arb

from unilth.theory import certificates
from unilth.theory.balls import Bracket, ball
from unilth.theory.certify import (
    Result,
    both,
    bounded,
    certified,
    claimed,
    infimum,
    monotone,
    positive,
    root,
    slope,
    supremum,
)
from unilth.theory.evidence import Level


def parabola(x):
    return x * (1 - x)


def replayed(search: Callable[[], object], kind: str, **certificate: object) -> object:
    tape = certificates.Tape([{"kind": kind, **certificate}], position=0)
    with certificates.running(tape):
        answer = search()
    assert tape.position == 1
    return answer


PARTITIONS = [
    (["0", "1/2", "1"], True),
    (["0", "1/4", "1/2", "1"], True),
    ([], None),
    (["0"], None),
    (["1"], None),
    (["1/4", "1/2", "1"], None),  # begins late
    (["-1", "1/2", "1"], None),  # begins early
    (["0", "1/2", "3/4"], None),  # ends early
    (["0", "1/2", "2"], None),  # ends late
    (["0", "3/4", "1/2", "1"], None),  # goes back
    (["0", "1/2", "1/2", "1"], None),  # stands still
]


@pytest.mark.parametrize(("cuts", "verdict"), PARTITIONS)
def test_a_replayed_partition_must_cover_the_interval_exactly(cuts: list[str], verdict: bool | None) -> None:
    result = replayed(lambda: bounded(parabola, 0, 1, above=1, below=-1), "bounded", cuts=cuts)
    assert result.holds is verdict and result.boxes == 0
    assert ("fails" in result.detail) is (verdict is None)
    assert replayed(lambda: positive(lambda x: x + 1, 0, 1), "positive", cuts=cuts).holds is verdict
    assert replayed(lambda: monotone(lambda x: x.exp(), 0, 1, "increasing"), "monotone", cuts=cuts).holds is verdict
    found = replayed(lambda: supremum(parabola, 0, 1, "4"), "supremum", cuts=cuts, at="1/2")
    assert (found is not None) is (verdict is True)


def test_every_box_of_a_replayed_partition_is_evaluated() -> None:
    """Fine where the bound is far away, too coarse where it is near: only the coarse box must be enough to refuse."""
    near = lambda: bounded(parabola, 0, 1, above="0.2501")  # noqa: E731
    assert replayed(near, "bounded", cuts=["0", "1/8", "1/4", "1"]).holds is None
    assert replayed(near, "bounded", cuts=["0", "3/4", "7/8", "1"]).holds is None


@pytest.mark.parametrize(("at", "accepted"), [("1/2", True), ("0", False), ("-1/2", False), ("3/2", False)])
def test_a_replayed_supremum_needs_a_point_inside_that_is_good_enough(at: str, accepted: bool) -> None:
    cuts = [str(Fraction(n, 64)) for n in range(65)]
    found = replayed(lambda: supremum(parabola, 0, 1, "0.02"), "supremum", cuts=cuts, at=at)
    assert (found is not None) is accepted


@pytest.mark.parametrize(("sign", "at"), [(1, "3"), (-1, "-3")])
def test_a_point_outside_is_refused_even_if_its_value_is_higher(sign: int, at: str) -> None:
    found = replayed(lambda: supremum(lambda x: x * sign, 0, 1, "4"), "supremum", cuts=["0", "1"], at=at)
    assert found is None


@pytest.mark.parametrize(("cuts", "accepted"), [(["1", "1"], True), ([], False), (["2", "2"], False), (["1"], False)])
def test_a_replayed_supremum_over_one_point_is_about_that_point(cuts: list[str], accepted: bool) -> None:
    found = replayed(lambda: supremum(lambda x: -x, 1, 1), "supremum", cuts=cuts, at="1")
    assert (found is not None) is accepted


def test_a_bound_that_is_attained_is_undecided_and_no_counterexample() -> None:
    for sign in (1, -1):
        limit = {"below": 0} if sign > 0 else {"above": 0}
        assert bounded(lambda x, sign=sign: sign * abs(x), -1, 1, **limit, max_boxes=50).holds is not False


def test_a_slope_that_only_cutting_shows_to_be_positive_is_no_counterexample() -> None:
    def slow(x):  # f' = x^2 - 2x + 1.1, at least 0.1, which a ball over the whole interval cannot see
        return x * x * x / 3 - x * x + x * 11 / 10

    assert monotone(slow, 0, 2, "increasing").holds is True and monotone(slow, 0, 2, "decreasing").holds is False


def test_two_enclosures_that_do_not_meet_leave_the_plain_one() -> None:
    def torn(x):  # no function: its balls and its points do not agree, as rounding can make them
        return x - 10 if isinstance(x, arb) and x.rad() == 0 else x + 0

    found = supremum(torn, 0, 1, "12")
    assert found is not None and found[0].contains(1)


def test_a_replayed_supremum_is_no_wider_than_asked() -> None:
    tape = certificates.Tape()
    with certificates.running(tape):
        wide = supremum(parabola, 0, 1, "0.01")
    assert wide is not None
    (entry,) = tape.entries
    again = replayed(lambda: supremum(parabola, 0, 1, "0.01"), **entry)
    assert again == wide
    assert replayed(lambda: supremum(parabola, 0, 1, "1e-6"), **entry) is None


def test_a_wide_supremum_bounds_every_box_and_says_where() -> None:
    for width in ("0.5", "0.1", "0.01"):
        found = supremum(lambda x: x * (2 - x) * (3 - x), 0, 3, width)
        assert found is not None
        value, where = found
        assert Fraction(value.upper) >= Fraction("2.1126") >= Fraction(value.lower) - Fraction("1e-3")
        assert value.width <= Fraction(width) + Fraction("1e-19")
        assert where.contains("0.7847")
    two = supremum(lambda x: (x * x - 1) ** 2 * -1, -2, 2, "1e-6")  # attained at -1 and at 1
    assert two is not None and two[1].contains(-1) and two[1].contains(1) and two[1].width < Fraction("2.1")


def test_the_search_starts_from_the_best_of_both_ends() -> None:
    for f, at in ((lambda x: x, 4), (lambda x: -x, 3)):
        found = supremum(f, 3, 4, max_boxes=200)
        assert found is not None and found[1].contains(at) and found[0].contains(4 if at == 4 else -3)


def test_the_infimum_is_the_mirror_image() -> None:
    found = infimum(lambda x: x, 3, 4, "0.01")
    assert found is not None and Fraction(found[0].lower) <= 3 <= Fraction(found[0].upper)
    assert found[0].width <= Fraction("0.0101") and len(found[0].lower.partition(".")[2]) == 21
    assert infimum(lambda x: x * x, -1, 1, max_boxes=2) is None


@pytest.mark.parametrize(
    ("lower", "upper", "accepted"),
    [
        ("-1/10", "1/10", True),
        ("1/10", "-1/10", False),  # the wrong way round
        ("0", "0", False),
        ("1/10", "2/10", False),  # no change of sign
        ("-2/10", "-1/10", False),
        ("-1/10", "0", False),  # the end is a zero: no certain sign
        ("0", "1/10", False),
        ("-1/2", "1/2", False),  # too wide
        ("9/10", "11/10", False),  # a change of sign, outside on the right
        ("-11/10", "-9/10", False),  # and on the left
    ],
)
def test_a_replayed_root_must_be_a_change_of_sign_inside(lower: str, upper: str, accepted: bool) -> None:
    def cubic(x):
        return x * (x - 1) * (x + 1)

    found = replayed(lambda: root(cubic, "-0.95", "0.95", "0.1"), "root", lower=lower, upper=upper)
    assert (found is not None) is accepted
    if accepted:
        assert found.contains(lower) and found.contains(upper)


def test_a_replayed_root_is_no_pole_and_no_wider_than_twice_the_goal() -> None:
    pole = replayed(lambda: root(lambda x: 1 / x, -1, 1, "0.1"), "root", lower="-1/20", upper="1/20")
    assert pole is None
    for half, accepted in (("1/10", True), ("1/9", False)):
        found = replayed(lambda: root(lambda x: x, -1, 1, "0.1"), "root", lower=f"-{half}", upper=half)
        assert (found is not None) is accepted


def test_a_replayed_root_keeps_the_digits_of_its_ends() -> None:
    ends = {"lower": "-1/100000000000000000000000000", "upper": "1/100000000000000000000000000"}
    found = replayed(lambda: root(lambda x: x, -1, 1), "root", **ends)
    assert found is not None and found.width <= Fraction("2.1e-26")
    assert len(found.lower.partition(".")[2]) == 28


def test_a_zero_at_an_end_has_no_certain_sign() -> None:
    for lo, hi in ((0, 1), (-1, 0)):
        assert root(lambda x: x, lo, hi) is None
    assert root(lambda x: x - 2, 0, 1) is None and root(lambda x: x + 2, 0, 1) is None


def test_a_root_has_the_digits_of_its_width() -> None:
    for width, digits in (("1e-25", 28), ("1e-8", 11), ("1e-40", 43)):
        found = root(lambda x: x * x - 2, 1, 2, width, unique=True)
        assert found is not None and found.width <= Fraction(width) * Fraction("1.03")
        assert len(found.upper.partition(".")[2]) == digits
        assert Fraction(found.lower) ** 2 < 2 < Fraction(found.upper) ** 2


def test_a_unique_root_falls_or_rises_and_a_flat_function_has_none() -> None:
    falling = root(lambda x: 2 - x * x, 1, 2, unique=True)
    assert falling is not None and Fraction(falling.lower) ** 2 < 2 < Fraction(falling.upper) ** 2
    assert root(lambda x: x * 0, -1, 1, unique=True, max_boxes=50) is None


def test_a_function_that_is_never_certain_gives_no_root() -> None:
    fuzzy = lambda x: x + ball(-1).union(ball(1)) * ball("0.01")  # noqa: E731
    assert root(fuzzy, -1, 1) is None


def test_zero_is_not_positive_and_a_little_below_is_refuted() -> None:
    assert positive(lambda x: x - ball("1/2"), "0.6", 1).holds is True
    below = positive(lambda x: x - ball("3/4"), 0, 1)
    assert below.holds is False and below.detail.startswith("f(0.5) = -0.25")
    assert positive(lambda x: x * 0, 0, 1).holds is False, "0 at a midpoint is a counterexample"
    assert positive(lambda x: x, 0, 1, max_boxes=50).holds is None, "0 at the end only"
    assert positive(lambda x: x, 0, 0).holds is False and positive(lambda x: x, 1, 1).holds is True


def test_a_constant_is_not_strictly_monotone() -> None:
    for direction in ("increasing", "decreasing"):
        assert monotone(lambda x: arb(3), 0, 1, direction, max_boxes=20).holds is None
        assert monotone(lambda x: x * 0, 0, 1, direction, max_boxes=20).holds is None


def test_a_refutation_names_a_point_and_its_value() -> None:
    rising = monotone(lambda x: -x * 3, 0, 1, "increasing")
    assert rising.holds is False and rising.detail.startswith("f'(0.5) = -3.0")
    falling = monotone(lambda x: x * 3, 0, 1, "decreasing")
    assert falling.holds is False and falling.detail.startswith("f'(0.5) = 3.0")
    assert bounded(lambda x: x, 0, 1, above="0.4").detail.startswith("f(0.5) = 0.5")
    assert bounded(lambda x: x, 1, 1, above="0.4").detail.startswith("f(1) = 1.0")
    assert bounded(lambda x: x, 1, 1, above="0.4").boxes == 1
    open_end = bounded(parabola, 0, 1, above="1/4", max_boxes=9)
    assert open_end.holds is None and open_end.detail.endswith("after 9 boxes") and open_end.boxes == 9


def test_a_bound_may_be_a_ball_and_is_taken_at_its_safe_end() -> None:
    top = ball("1/4").union(ball("1/2"))
    assert bounded(parabola, 0, 1, above=top, max_boxes=200).holds is None
    assert bounded(parabola, 0, 1, above=ball("0.26")).holds is True
    assert bounded(parabola, 0, 1, below=ball("-0.01")).holds is True
    assert bounded(parabola, 0, 1, below=ball("0.01").union(ball("-0.01")), max_boxes=200).holds is None


def test_boxes_are_counted() -> None:
    assert bounded(lambda x: x, 0, 1, above=2).boxes == 1
    assert bounded(lambda x: x.tanh(), 0, 4, above="1", below="-0.5").detail.endswith(" boxes")


def test_the_slope_of_what_is_not_differentiable_is_none() -> None:
    assert slope(lambda x: x.sqrt(), arb(0)) is None
    two = slope(lambda x: x * x, ball(1))
    assert two is not None and two.contains(arb(2)) and slope(lambda x: arb(7), ball(1)) == 0


HOLDS, FAILS, OPEN = Result(True, "fine", 2), Result(False, "wrong", 3), Result(None, "open", 5)


@pytest.mark.parametrize(
    ("parts", "holds", "detail", "boxes"),
    [
        ([HOLDS, HOLDS], True, "4 boxes", 4),
        ([HOLDS, OPEN], None, "open", 7),
        ([OPEN, FAILS], False, "open; wrong", 8),
        ([FAILS, HOLDS], False, "wrong", 5),
        ([HOLDS], True, "2 boxes", 2),
    ],
)
def test_a_conjunction_is_as_bad_as_its_worst_part(
    parts: list[Result], holds: bool | None, detail: str, boxes: int
) -> None:
    assert both(iter(parts)) == Result(holds, detail, boxes)


def test_evidence_takes_its_verdict_and_words_from_the_result() -> None:
    for given in (HOLDS, FAILS, OPEN):
        part = certified("what", given, "scope")
        assert (part.what, part.level, part.holds, part.scope) == ("what", Level.CERTIFIED, given.holds, "scope")
        assert part.detail == given.detail and part.constants == {}
        assert certified("what", given, "scope", detail="mine").detail == "mine"
    for verdict in (True, False, None):
        part = certified("what", verdict, "scope", {"K": Bracket("1", "2")})
        assert part.holds is verdict and part.detail == "" and part.constants == {"K": ("1", "2")}


def test_a_claim_without_a_bracket_is_open_and_with_one_is_compared() -> None:
    nothing = claimed("K", None, "1.5", "K", "scope")
    assert nothing.holds is None and "ran out" in nothing.detail and nothing.constants == {}
    for claim, verdict in (("1.50", True), ("1.60", False)):
        part = claimed("K", Bracket("1.499", "1.501"), claim, "K", "scope")
        assert part.holds is verdict and part.constants == {"K": ("1.499", "1.501")} and part.level is Level.CERTIFIED
        assert part.detail == f"K in [1.499, 1.501], claimed {claim}"
