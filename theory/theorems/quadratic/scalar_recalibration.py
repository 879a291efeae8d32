r"""The ridge penalty a = c/t that is uniformly nearest to early stopping at t, and how near it is (catalogue T1.6).

Statement: min_c sup_{x>=0} |e^{-x} - c/(x+c)| = A2, attained at c = A2_AT: half of A1 to 0.08%.
Assumptions: none.
Source: not found in the literature.
Bound: tight.
Proof: c/(x+c) increases in c at every x > 0, so the largest positive part decreases in c and the largest negative part
    increases: the c that makes them equal is optimal, and any c has at least the smaller of the two parts of another.
Evidence: SymPy for the monotonicity, balls on [0, 200], an elementary tail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import sympy

from unilth.theory.balls import Bracket
from unilth.theory.certify import ball, certified, claimed, supremum
from unilth.theory.evidence import Evidence, Move, Statement, Theorem, Witness
from unilth.theory.theorems.quadratic.euler_ladder import last_digit
from unilth.theory.verdicts import shown

TAIL = 200
# Where the two parts were found to be equal: only the bracket's width depends on it.
BALANCE = Fraction("0.531698517196024371022242")


def distance(c: Fraction, sign: int) -> Callable[[Any], Any]:
    return lambda x: sign * ((-x).exp() - ball(c) / (x + ball(c)))


def parts(c: Fraction) -> tuple[Bracket, Bracket] | None:
    """The largest positive and the largest negative part of e^{-x} - c/(x+c) on [0, 200]."""
    found = [supremum(distance(c, sign), 0, TAIL, "1e-15") for sign in (1, -1)]
    return (found[0][0], found[1][0]) if found[0] and found[1] else None


def value() -> Bracket | None:
    """A bracket of the minimum over c: no c does better than the smaller part at BALANCE, which does the larger."""
    at = parts(BALANCE)
    if at is None:
        return None
    return Bracket(min((p.lower for p in at), key=Fraction), max((p.upper for p in at), key=Fraction))


def location(claim: Fraction, margin: Fraction) -> bool | None:
    """Whether the two parts become equal within `margin` of the claimed c: their difference changes its sign there."""
    ends = [parts(claim - margin), parts(claim + margin)]
    if None in ends:
        return None
    signs = []
    for positive, negative in (e for e in ends if e):
        more, less = (
            Fraction(positive.lower) > Fraction(negative.upper),
            Fraction(positive.upper) < Fraction(negative.lower),
        )
        if not (more or less):
            return None
        signs.append(more)
    return signs == [True, False]


def check(statement: Statement) -> Sequence[Evidence]:
    x, c = sympy.symbols("x c", positive=True)
    rising = sympy.cancel(sympy.diff(c / (x + c), c) - x / (x + c) ** 2)
    bracket = value()
    at = statement.exact("A2_AT")
    there = location(at, last_digit(statement.value("A2_AT")))
    # beyond 200 both terms are positive and below 1/200, c/(x+c) because c < 1
    below = Fraction(1, TAIL) < statement.exact("A2") and at < 1
    return [
        shown("c/(x+c) increases in c", rising == 0, "all x, c > 0 (SymPy)"),
        claimed(
            "A2 = the balanced largest distance", bracket, statement.value("A2"), "A2", f"x in [0, {TAIL}], every c"
        ),
        certified(
            "the two parts are balanced at A2_AT", there, "sign change", {"A2_AT": around(statement)} if there else {}
        ),
        certified(f"beyond {TAIL} both terms are below 1/{TAIL} < A2", below, f"x > {TAIL} (elementary)"),
    ]


def around(statement: Statement) -> Bracket:
    """One unit of the claimed digits on both sides."""
    margin, at = last_digit(statement.value("A2_AT")), statement.exact("A2_AT")
    digits = len(statement.value("A2_AT").partition(".")[2])
    low, high = (str(int((at + d) * 10**digits)).zfill(digits) for d in (-margin, margin))
    return Bracket(f"0.{low}", f"0.{high}")


THEOREM = Theorem(
    id="scalar-recalibration",
    catalogue="T1.6",
    title="With a = 0.53169.../t ridge is within 0.1019 of early stopping, and no scalar penalty is nearer",
    statement=r"\min_c\sup_{x\ge0}\Big|e^{-x}-\frac c{x+c}\Big|=A_2",
    source="not found in the literature",
    bound="tight",
    proof="c/(x+c) increases in c, so with M+(c), M-(c) the largest positive and negative parts, M+ decreases and M- "
    "increases. For any c and the balanced c0, c <= c0 gives M+(c) >= M+(c0) and c >= c0 gives M-(c) >= M-(c0): "
    "nothing beats the balance.",
    check=check,
    near_miss=Move("A2", "1e-6"),
    witness=lambda: Witness("c = 1", {}),
    constants={"A2": "0.10189259905126", "A2_AT": "0.53169851720"},
)
