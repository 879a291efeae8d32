"""Balls: exact entry into ball arithmetic, and outward-rounded decimal brackets out of it.

No float ever becomes a ball: `arb(0.1)` does not enclose 1/10, `ball("0.1")` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction

from flint import arb, ctx, fmpq

Number = int | str | Fraction
BITS = 128


@contextmanager
def precision(bits: int = BITS) -> Iterator[None]:
    """Work with `bits` bits and restore what was set before: the library's precision is global."""
    before = ctx.prec
    ctx.prec = bits
    try:
        yield
    finally:
        ctx.prec = before


def ball(x: Number) -> arb:
    """An enclosure of an exact number: an integer, a fraction, or a decimal or rational string. Floats are refused."""
    if isinstance(x, bool) or not isinstance(x, int | str | Fraction):
        raise TypeError(f"{x!r} is a {type(x).__name__}; give an int, a Fraction or a string: they say what is meant")
    value = Fraction(x)
    return arb(fmpq(value.numerator, value.denominator))


def rational(point: arb) -> Fraction:
    """The value of an exact ball (radius 0)."""
    mantissa, exponent = point.man_exp()
    return Fraction(int(mantissa)) * Fraction(2) ** int(exponent)


def decimal(value: Fraction, digits: int, *, up: bool) -> str:
    """`value` with `digits` decimals, rounded towards +infinity or -infinity."""
    scaled = value * 10**digits
    whole = -((-scaled.numerator) // scaled.denominator) if up else scaled.numerator // scaled.denominator
    sign, whole = ("-" if whole < 0 else ""), abs(whole)
    return f"{sign}{whole // 10**digits}.{whole % 10**digits:0{digits}d}" if digits else f"{sign}{whole}"


@dataclass(frozen=True)
class Bracket:
    """A certified enclosure of a real number by two decimal strings, lower then upper."""

    lower: str
    upper: str

    def __post_init__(self) -> None:
        if Fraction(self.lower) > Fraction(self.upper):
            raise ValueError(f"the bracket [{self.lower}, {self.upper}] is empty; give the lower end first")

    @property
    def width(self) -> Fraction:
        return Fraction(self.upper) - Fraction(self.lower)

    def contains(self, value: Number) -> bool:
        return Fraction(self.lower) <= Fraction(value) <= Fraction(self.upper)

    def pair(self) -> tuple[str, str]:
        return self.lower, self.upper

    def ball(self) -> arb:
        """A ball that covers the bracket."""
        return ball(self.lower).union(ball(self.upper))


def bracket(lower: arb, upper: arb | None = None, *, digits: int = 20) -> Bracket:
    """The decimal bracket of one ball, or of everything from one ball to another. ValueError if it is not finite."""
    upper = lower if upper is None else upper
    if not (lower.is_finite() and upper.is_finite()):
        raise ValueError(f"[{lower}, {upper}] is not finite; raise the precision or shrink the domain")
    return Bracket(
        decimal(rational(lower.lower()), digits, up=False), decimal(rational(upper.upper()), digits, up=True)
    )


def agrees(certified: Bracket, claim: str) -> bool | None:
    """Whether a certified bracket confirms a decimal claim to one unit in its last digit.

    True: the bracket lies within one unit of the claim. False: it is disjoint from that. None: neither.
    """
    unit = Fraction(1, 10 ** len(claim.partition(".")[2]))
    lower, upper, value = Fraction(certified.lower), Fraction(certified.upper), Fraction(claim)
    if value - unit <= lower and upper <= value + unit:
        return True
    if upper < value - unit or value + unit < lower:
        return False
    return None
