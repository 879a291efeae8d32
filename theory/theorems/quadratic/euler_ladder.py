r"""Explicit Euler, flow, implicit Euler, one implicit step: descent, early stopping, iterated Tikhonov, ridge (T1.5).

Statement: for 0 <= x <= k: (1-x/k)^k <= e^{-x} <= (1+x/k)^{-k} <= 1/(1+x), and both gaps to e^{-x} are at most 1/(ek),
    attained only by the first one at k = 1, x = 1.
Assumptions: x >= 0; x <= k.
Source: inequalities classical; the bound 1/(ek): not found in the literature.
Bound: tight.
Proof: ln(1-y) <= -y, ln(1+y) <= y, Bernoulli. Where e^{-x} - (1-x/k)^k is stationary, e^{-x} = (1-x/k)^{k-1}, so the
    gap is (x/k) e^{-x} <= 1/(ek); at x = k it is e^{-k} <= 1/(ek). The implicit side: e^{-x} = (1+x/k)^{-k-1} and the
    same value.
Evidence: SymPy for all k; balls on the whole range for k up to 6; instances in balls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import sympy

from unilth.theory.balls import precision
from unilth.theory.certify import ball, both, bounded, bracket, certified, claimed
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed


@dataclass(frozen=True)
class Rung:
    """k steps over a total of x = eigenvalue times time."""

    steps: int
    x: Fraction

    def __str__(self) -> str:
        return f"k = {self.steps}, x = {self.x}"


INSTANCES = (
    *(Rung(k, Fraction(n * k, 8)) for k in (1, 2, 3, 7, 40) for n in range(1, 9)),
    Rung(2, Fraction(5)),
    Rung(1, Fraction(-3)),
)
HYPOTHESES: dict[str, Callable[[Rung], bool]] = {
    "not-negative": lambda r: r.x >= 0,
    "in-range": lambda r: r.x <= r.steps,
}


def last_digit(claim: str) -> Fraction:
    """One unit of the last digit of a claimed decimal."""
    return Fraction(1, 10 ** len(claim.partition(".")[2]))


def ladder(k: int, x: Any) -> tuple[Any, Any, Any, Any]:
    return (1 - x / k) ** k, (-x).exp(), 1 / (1 + x / k) ** k, 1 / (1 + x)


def scaled_gap(k: int, rung: int, x: Any) -> Any:
    """k times the gap between a rung and the one above it."""
    return k * (ladder(k, x)[rung + 1] - ladder(k, x)[rung])


def on_instance(r: Rung, statement: Statement) -> Verdict:
    """The three inequalities and the two gaps, in balls; equal rungs (k = 1) are compared exactly."""
    with precision():
        rungs = ladder(r.steps, ball(r.x))
        last = (1 + r.x / r.steps) ** r.steps - (1 + r.x)  # exact: implicit Euler's last inequality
        allowed = ball(statement.exact("GAP") + last_digit(statement.value("GAP"))) / r.steps
        tests = [
            (rungs[0] < rungs[1], rungs[0] > rungs[1]),
            (rungs[1] < rungs[2], rungs[1] > rungs[2]),
            (last >= 0, last < 0),
            (rungs[1] - rungs[0] <= allowed, rungs[1] - rungs[0] > allowed),
            (rungs[2] - rungs[1] <= allowed, rungs[2] - rungs[1] > allowed),
        ]
        detail = ", ".join(rung.str(8) for rung in rungs)
    if any(no for _, no in tests):
        return False, f"the rungs are {detail}"
    return True if all(yes for yes, _ in tests) else None, f"the rungs are {detail}"


def identities() -> list[Evidence]:
    x, y = sympy.symbols("x y", positive=True)
    k = sympy.symbols("k", positive=True, integer=True)
    p = sympy.symbols("p", positive=True)  # (1-x/k)^{k-1}, or (1+x/k)^{-k-1}
    slopes = (
        sympy.cancel(sympy.diff(-y - sympy.log(1 - y), y) - y / (1 - y)),
        sympy.cancel(sympy.diff(y - sympy.log(1 + y), y) - y / (1 + y)),
    )
    bernoulli = sympy.expand((1 + k * y) * (1 + y) - (1 + (k + 1) * y) - k * y**2)
    explicit = sympy.powsimp(sympy.diff((1 - x / k) ** k, x) * (1 - x / k) + (1 - x / k) ** k)
    implicit = sympy.simplify(sympy.diff((1 + x / k) ** -k, x) * (1 + x / k) + (1 + x / k) ** -k)
    at_peak = (sympy.expand(p - p * (1 - x / k) - x / k * p), sympy.expand(p * (1 + x / k) - p - x / k * p))
    peak = sympy.diff(x * sympy.exp(-x), x)
    single = sympy.expand(peak - (1 - x) * sympy.exp(-x))
    scope = "all k, x (SymPy)"
    return [
        shown("ln(1-y) <= -y and ln(1+y) <= y", slopes == (0, 0), "0 < y < 1, derivatives (SymPy)"),
        shown("(1+y)^k >= 1+ky: one more step adds ky^2", bernoulli == 0, scope),
        shown("the slopes of the rungs are -(1-x/k)^{k-1} and -(1+x/k)^{-k-1}", explicit == 0 and implicit == 0, scope),
        shown("so where a gap is stationary it is (x/k)e^{-x}", at_peak == (0, 0), scope),
        shown("x e^{-x} has its only peak at x = 1", single == 0, "all x > 0 (SymPy)"),
    ]


def check(statement: Statement) -> Sequence[Evidence]:
    with precision():
        value = bracket(ball(-1).exp(), digits=32)
        most = ball(statement.exact("GAP"))
        steps = range(2, 7)
        covered = both(
            [
                *(bounded(partial(scaled_gap, k, 0), 0, k, above=most) for k in steps),
                *(bounded(partial(scaled_gap, k, 1), 0, k, above=most) for k in steps),
            ]
        )
    return [
        *identities(),
        claimed("the gap of one step at x = 1 is 1/e", value, statement.value("GAP"), "GAP", "k = 1, x = 1"),
        certified("k times both gaps stay below it", covered, "k = 2 ... 6, x in [0, k]"),
        judged("rungs and gaps on instances", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="euler-ladder",
    catalogue="T1.5",
    title="Descent, flow, iterated Tikhonov and ridge are one ladder, with gaps of at most 1/(ek)",
    statement=r"0\le x\le k:\quad(1-\tfrac xk)^k\le e^{-x}\le(1+\tfrac xk)^{-k}\le\tfrac1{1+x},\quad "
    r"e^{-x}-(1-\tfrac xk)^k\le\tfrac1{ek},\quad(1+\tfrac xk)^{-k}-e^{-x}\le\tfrac1{ek}",
    source="inequalities classical; the bound 1/(ek) not found in the literature",
    bound="tight",
    proof="ln(1-y) <= -y, ln(1+y) <= y and Bernoulli give the ladder. A gap is largest at a stationary point, where "
    "it is (x/k) e^{-x} <= 1/(ek), or at x = k, where the first one is e^{-k} = (k e^{-k})/k <= 1/(ek). Equality "
    "asks for x = 1, which is stationary or the end only for k = 1.",
    check=check,
    near_miss=Drop("in-range"),
    witness=lambda: witnessed(INSTANCES[3], HYPOTHESES),
    assumptions={"not-negative": "x >= 0", "in-range": "x <= k"},
    constants={"GAP": "0.367879441171442321595523770161"},
)
