"""Certified bounds, extrema and roots of one-variable functions on an interval, by adaptive bisection with balls.

A function maps a ball (`arb`) or a truncated power series of balls (`arb_series`) to the same kind, so it is written
once, with operators and methods (`x.exp()`), and its derivative comes from evaluating it on a series. The mean-value
form makes flat maxima cheap; a function that cannot take a series is evaluated on balls alone.

Nothing here is derived from "not (a < b)": on balls an undecided comparison is False in both directions. A verdict is
True or False with a certificate, or None. Where a tape runs (`unilth.theory.certificates`), a search leaves its
certificate on it, or checks the recorded one instead of searching.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from flint import arb, arb_series

from unilth.theory import certificates
from unilth.theory.balls import BITS, Bracket, Number, agrees, ball, bracket, precision, rational
from unilth.theory.evidence import Evidence, Level

Function = Callable[[Any], Any]
Cut = Fraction
BOXES = 200_000

__all__ = [
    "Bracket", "Result", "agrees", "ball", "bounded", "bracket", "certified", "infimum", "monotone", "positive", "root",
    "slope", "supremum",
]  # fmt: skip


@dataclass(frozen=True)
class Result:
    """True (certified), False (a certified counterexample, in `detail`) or None (undecided), and the boxes it took."""

    holds: bool | None
    detail: str
    boxes: int


def _point(x: Cut) -> arb:
    return ball(x)


def _box(lo: Cut, hi: Cut) -> arb:
    return ball(lo).union(ball(hi))


def slope(f: Function, x: arb) -> arb | None:
    """An enclosure of f' over the ball `x`, or None where f cannot take a series or is not differentiable there."""
    try:
        value = f(arb_series([x, 1], prec=2))
    except (TypeError, AttributeError, ValueError, ZeroDivisionError):
        return None
    if not isinstance(value, arb_series):
        return arb(0)  # a constant
    if value.prec < 2:  # a removable singularity took an order away, and the missing coefficient reads as 0
        return None
    derivative = value[1]
    return derivative if derivative.is_finite() else None


def _value(f: Function, x: arb) -> arb:
    value = f(x)
    return value if isinstance(value, arb) else arb(value)


def _enclosure(f: Function, lo: Cut, hi: Cut) -> arb:
    """f over [lo, hi]: the better of the plain evaluation and the mean-value form."""
    box = _box(lo, hi)
    plain = _value(f, box)
    derivative = slope(f, box)
    if derivative is None:
        return plain
    middle = _point((lo + hi) / 2)
    centred = _value(f, middle) + derivative * (box - middle)
    if not plain.is_finite():
        return centred
    try:
        return plain.intersection(centred)
    except ValueError:  # two enclosures of one value cannot be disjoint; rounding can leave the intersection empty
        return plain


def _at_most(a: arb, b: arb) -> bool:
    """a <= b for certain."""
    return bool(a.upper() <= b.lower())


def _in_order(lo: Cut, hi: Cut) -> None:
    if lo > hi:
        raise ValueError(f"the interval [{lo}, {hi}] is empty; give the lower end first")


def _covers(cuts: list[Cut], lo: Cut, hi: Cut) -> bool:
    if lo == hi:
        return cuts == [lo, hi]
    return len(cuts) >= 2 and cuts[0] == lo and cuts[-1] == hi and all(a < b for a, b in itertools.pairwise(cuts))


def _every_box(test: Callable[[Cut, Cut], bool], lo: Cut, hi: Cut, what: str) -> bool | None:
    """Check a recorded partition of [lo, hi]: None where no tape is being replayed."""
    recorded = certificates.replayed(what)
    if recorded is None:
        return None
    cuts = [Fraction(cut) for cut in recorded["cuts"]]
    return _covers(cuts, lo, hi) and all(test(a, b) for a, b in itertools.pairwise(cuts))


def _partition(
    test: Callable[[Cut, Cut], bool], refute: Callable[[Cut], str], lo: Cut, hi: Cut, what: str, max_boxes: int
) -> Result:
    """Bisect [lo, hi] until `test` certifies every box; `refute` names a midpoint that is a counterexample, or ''."""
    _in_order(lo, hi)
    if lo == hi:  # nothing to search, so nothing on the tape
        detail = refute(lo)
        return Result(False, detail, 1) if detail else Result(True if test(lo, lo) else None, f"at {lo}", 1)
    checked = _every_box(test, lo, hi, what)
    if checked is not None:
        return Result(True, "recorded partition", 0) if checked else Result(None, "the recorded partition fails", 0)
    todo, cuts, boxes = deque([(lo, hi)]), [hi], 0
    while todo:
        a, b = todo.popleft()  # widest first: a counterexample elsewhere is found before one corner eats the budget
        boxes += 1
        if test(a, b):
            cuts.append(a)
            continue
        middle = (a + b) / 2
        detail = refute(middle)
        if detail:
            return Result(False, detail, boxes)
        if boxes >= max_boxes:
            return Result(None, f"undecided on [{float(a):.12g}, {float(b):.12g}] after {boxes} boxes", boxes)
        todo += [(a, middle), (middle, b)]
    certificates.recorded(what, {"cuts": [str(cut) for cut in sorted(cuts)]})
    return Result(True, f"{boxes} boxes", boxes)


def bounded(
    f: Function,
    lo: Number,
    hi: Number,
    *,
    below: Number | arb | None = None,
    above: Number | arb | None = None,
    max_boxes: int = BOXES,
) -> Result:
    """Certify below <= f <= above on [lo, hi]. A bound that is attained inside cannot be certified: use `supremum`."""
    with precision():
        low = below if below is None or isinstance(below, arb) else ball(below)
        high = above if above is None or isinstance(above, arb) else ball(above)

        def test(a: Cut, b: Cut) -> bool:
            value = _enclosure(f, a, b)
            return (low is None or _at_most(low, value)) and (high is None or _at_most(value, high))

        def refute(x: Cut) -> str:
            value = _value(f, _point(x))
            if (low is not None and value.upper() < low.lower()) or (high is not None and value.lower() > high.upper()):
                return f"f({float(x):.15g}) = {value.str(15)}"
            return ""

        return _partition(test, refute, Fraction(lo), Fraction(hi), "bounded", max_boxes)


def positive(f: Function, lo: Number, hi: Number, *, max_boxes: int = BOXES) -> Result:
    """Certify f > 0 on [lo, hi]."""
    with precision():
        return _partition(
            lambda a, b: bool(_enclosure(f, a, b) > 0),
            lambda x: f"f({float(x):.15g}) = {y.str(15)}" if (y := _value(f, _point(x))) <= 0 else "",
            Fraction(lo), Fraction(hi), "positive", max_boxes,
        )  # fmt: skip


def monotone(
    f: Function, lo: Number, hi: Number, direction: Literal["increasing", "decreasing"], *, max_boxes: int = BOXES
) -> Result:
    """Certify that f is strictly increasing or decreasing on [lo, hi]: its derivative has that sign on every box."""
    if direction not in ("increasing", "decreasing"):
        raise ValueError(f"direction is {direction!r}; give 'increasing' or 'decreasing'")
    sign = 1 if direction == "increasing" else -1
    with precision():

        def signed(x: arb) -> arb:
            derivative = slope(f, x)
            return arb.nan() if derivative is None else sign * derivative

        return _partition(
            lambda a, b: bool(signed(_box(a, b)) > 0),
            lambda x: f"f'({float(x):.15g}) = {(sign * y).str(15)}" if (y := signed(_point(x))) < 0 else "",
            Fraction(lo), Fraction(hi), "monotone", max_boxes,
        )  # fmt: skip


def supremum(
    f: Function, lo: Number, hi: Number, width: str = "1e-12", *, max_boxes: int = BOXES
) -> tuple[Bracket, Bracket] | None:
    """A bracket of sup f over [lo, hi] and one of the points where it may be attained, or None if boxes run out.

    The lower end is a certified value at a point, the upper end bounds every box.
    """
    lo, hi = Fraction(lo), Fraction(hi)
    _in_order(lo, hi)
    with precision():
        goal = ball(width)
        recorded = certificates.replayed("supremum")
        if recorded is not None:
            return _supremum_recheck(f, lo, hi, goal, recorded)
        best, best_at = max(
            ((_value(f, _point(x)).lower(), x) for x in (lo, hi, (lo + hi) / 2)), key=lambda v: float(v[0])
        )
        heap: list[tuple[float, int, Cut, Cut, arb]] = []
        settled: list[tuple[Cut, Cut, arb]] = []
        boxes = 0

        def push(a: Cut, b: Cut) -> None:
            nonlocal boxes
            boxes += 1
            top = _enclosure(f, a, b).upper()
            heapq.heappush(heap, (-float(top), boxes, a, b, top))

        push(lo, hi)
        while heap:
            _, _, a, b, top = heapq.heappop(heap)
            if top.is_finite() and (top - best) <= goal:
                settled.append((a, b, top))
                continue
            if boxes >= max_boxes or a == b:
                return None
            middle = (a + b) / 2
            value = _value(f, _point(middle)).lower()
            if value > best:
                best, best_at = value, middle
            push(a, middle)
            push(middle, b)
        cuts = [str(a) for a in sorted(a for a, _, _ in settled)] + [str(hi)]
        certificates.recorded("supremum", {"cuts": cuts, "at": str(best_at)})
        return _extremum(best, settled)


def _extremum(best: arb, tops: list[tuple[Cut, Cut, arb]]) -> tuple[Bracket, Bracket]:
    """The brackets of the supremum and of its place, from a value that is attained and a bound of every box."""
    candidates = [(a, b) for a, b, top in tops if not top < best]
    where = bracket(_point(min(a for a, _ in candidates)), _point(max(b for _, b in candidates)))
    return bracket(best, max((top for _, _, top in tops), key=rational)), where


def _supremum_recheck(
    f: Function, lo: Cut, hi: Cut, goal: arb, recorded: Mapping[str, Any]
) -> tuple[Bracket, Bracket] | None:
    cuts, at = [Fraction(cut) for cut in recorded["cuts"]], Fraction(recorded["at"])
    if not _covers(cuts, lo, hi) or not lo <= at <= hi:
        return None
    best = _value(f, _point(at)).lower()
    tops = [(a, b, _enclosure(f, a, b).upper()) for a, b in itertools.pairwise(cuts)]
    if not all(top.is_finite() and (top - best) <= 2 * goal for _, _, top in tops):
        return None
    return _extremum(best, tops)


def infimum(
    f: Function, lo: Number, hi: Number, width: str = "1e-12", *, max_boxes: int = BOXES
) -> tuple[Bracket, Bracket] | None:
    """A bracket of inf f over [lo, hi] and one of the points where it may be attained, or None if boxes run out."""
    found = supremum(lambda x: -f(x), lo, hi, width, max_boxes=max_boxes)
    if found is None:
        return None
    value, where = found
    return bracket(-ball(value.upper), -ball(value.lower), digits=21), where


def root(
    f: Function, lo: Number, hi: Number, width: str = "1e-25", *, unique: bool = False, max_boxes: int = BOXES
) -> Bracket | None:
    """A bracket of a zero of f on [lo, hi]: f certainly changes sign between its ends.

    With `unique`, the derivative is certified to have one sign on [lo, hi], so there is no other zero. None where
    the ends have no certified opposite signs, where f has a pole there, or where boxes or bits run out first.
    """
    left, right, goal = Fraction(lo), Fraction(hi), Fraction(width)
    _in_order(left, right)
    with precision(max(BITS, 4 * len(str(goal.denominator)) + 64)):

        def sign(x: Cut) -> int:
            value = _value(f, _point(x))
            return 1 if value > 0 else -1 if value < 0 else 0

        def continuous(a: Cut, b: Cut) -> bool:
            """f is defined on all of [a, b]: a sign change across a pole is no zero."""
            return bool(_value(f, _box(a, b)).is_finite())

        if unique and not _one_sign(f, lo, hi, max_boxes):
            return None
        recorded = certificates.replayed("root")
        if recorded is not None:
            a, b = Fraction(recorded["lower"]), Fraction(recorded["upper"])
            good = left <= a < b <= right and b - a <= 2 * goal and sign(a) * sign(b) < 0 and continuous(a, b)
            return bracket(_point(a), _point(b), digits=len(str(goal.denominator)) + 2) if good else None
        low = sign(left)
        if low * sign(right) >= 0:
            return None
        while right - left > goal:
            for share in (Fraction(1, 2), Fraction(3, 8), Fraction(5, 8)):  # a cut on the zero itself has no sign
                middle = left + share * (right - left)
                at_middle = sign(middle)
                if at_middle:
                    break
            else:
                return None
            left, right = (middle, right) if at_middle == low else (left, middle)
        if not continuous(left, right):
            return None
        certificates.recorded("root", {"lower": str(left), "upper": str(right)})
        return bracket(_point(left), _point(right), digits=len(str(goal.denominator)) + 2)


def _one_sign(f: Function, lo: Number, hi: Number, max_boxes: int) -> bool:
    """Whether f' is certified to have one sign on [lo, hi]; the sign is read off the ends."""
    rising = bool(_value(f, _point(Fraction(lo))) < _value(f, _point(Fraction(hi))))
    return monotone(f, lo, hi, "increasing" if rising else "decreasing", max_boxes=max_boxes).holds is True


def certified(
    what: str,
    result: Result | bool | None,
    scope: str,
    constants: Mapping[str, Bracket] | None = None,
    detail: str = "",
) -> Evidence:
    """Evidence of level "certified" from a result (or from a verdict such as that of `agrees`)."""
    verdict = result.holds if isinstance(result, Result) else result
    text = detail or (result.detail if isinstance(result, Result) else "")
    pairs = {name: value.pair() for name, value in (constants or {}).items()}
    return Evidence(what, Level.CERTIFIED, verdict, scope, text, pairs)


def claimed(what: str, certificate: Bracket | None, claim: str, name: str, scope: str) -> Evidence:
    """Evidence that a constant is as claimed: the bracket confirms the decimal to one unit of its last digit."""
    if certificate is None:
        return Evidence(what, Level.CERTIFIED, None, scope, "no bracket: boxes or bits ran out")
    verdict = agrees(certificate, claim)
    detail = f"{name} in [{certificate.lower}, {certificate.upper}], claimed {claim}"
    return Evidence(what, Level.CERTIFIED, verdict, scope, detail, {name: certificate.pair()})


def both(results: Iterable[Result]) -> Result:
    """All of several results: False if one is False, None if one is None."""
    parts = list(results)
    holds = False if any(r.holds is False for r in parts) else None if any(r.holds is None for r in parts) else True
    detail = "; ".join(r.detail for r in parts if r.holds is not True) or f"{sum(r.boxes for r in parts)} boxes"
    return Result(holds, detail, sum(r.boxes for r in parts))
