"""Comparing balls with claimed decimals, and writing balls as outward-rounded decimal brackets."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from types import MappingProxyType

from flint import arb, ctx

from unilth.theory.evidence import Evidence, Level
from unilth.theory.exact import rational

DIGITS = 25  # of a bracket's ends


def unit(text: str) -> Fraction:
    """What a claimed decimal is accurate to: one unit of its last digit; 0 for an integer or a rational."""
    return Fraction(1, 10 ** len(text.partition(".")[2])) if "." in text and "/" not in text else Fraction(0)


def bracket(ball: arb, digits: int = DIGITS) -> tuple[str, str]:
    """Decimal strings below and above everything in a finite ball."""
    return _decimal(_scaled(ball.lower(), digits, up=False), digits), _decimal(
        _scaled(ball.upper(), digits, up=True), digits
    )


def _scaled(end: arb, digits: int, up: bool) -> int:
    mantissa, exponent = end.man_exp()
    value = Fraction(int(mantissa)) * Fraction(2) ** int(exponent) * 10**digits
    return -((-value.numerator) // value.denominator) if up else value.numerator // value.denominator


def _decimal(scaled: int, digits: int) -> str:
    sign, scaled = ("-" if scaled < 0 else ""), abs(scaled)
    return f"{sign}{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"


def matched(name: str, ball: arb, claimed: str, scope: str, *, what: str = "") -> Evidence:
    """Evidence that `claimed` is the number that `ball` encloses, to one unit of the claimed decimal's last digit.

    A claimed rational must lie in the ball, which must be narrower than 1e-12: refuted outside, never more than that
    shown inside. Exact equality with a rational is decided by the caller, without balls.
    """
    off = abs(ball - arb(rational(Fraction(claimed))))
    allowed = unit(claimed) or Fraction(1, 10**12)
    margin = arb(rational(allowed))
    holds = False if off > margin else True if off <= margin else None
    ends = MappingProxyType({name: bracket(ball)})
    return Evidence(what or f"{name} = {claimed}", Level.CERTIFIED, holds, scope, f"enclosed by {ball.str(25)}", ends)


def root(f: Callable[[arb], arb], lo: str, hi: str, *, bits: int = 110) -> arb:
    """A ball around a zero of a continuous f that changes its sign between lo and hi, by bisection with certain signs.

    Raises ValueError if the signs at the ends are not certainly different. Uniqueness is the caller's to show.
    """
    with ctx.workprec(max(ctx.prec, 2 * bits)):
        a, b = arb(lo), arb(hi)
        left = f(a)
        if not (left * f(b) < 0):
            raise ValueError(f"no certain change of sign between {lo} and {hi}")
        for _ in range(bits):
            middle = ((a + b) / 2).mid()
            value = f(middle) * left
            if value > 0:
                a = middle
            elif value < 0:
                b = middle
            else:
                break
        return a.union(b)
