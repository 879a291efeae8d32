r"""Signals that follow a power of the eigenvalue: b_i = c s_i^q.

Statement
    q <= 0: ridge is strictly better. Any q with ψ(SNR_max) <= 1+q, ψ(y) = (1+y) ln(1+y)/y: early stopping is strictly
    better. ψ increases from 1, and the condition is necessary for the crossing theorem's order if the spectrum fills an
    interval. For q = 1 it says SNR_max <= Y1 = -2/W_0(-2e^{-2}) - 1.
Assumptions
    noise, two eigenvalues, signal (c > 0) as in the crossing theorem; exponent: q <= 0 in the first part;
    low snr: ψ(SNR_max) <= 1+q in the second.
Source
    Not found in the literature.
Bound
    Tight: Y1 is the sharp threshold of the order hypothesis.
Proof
    b_i is nonincreasing iff q <= 0. With y(s) = SNR ∝ s^{1+q}, d/ds [ln(1+y)/s] = y (1+q-ψ(y))/((1+y)s²), and
    ψ(y) = ∫_0^1 (1+y)/(1+uy) du increases because its integrand does.
Evidence
    Symbolic for all q, c, s; Y1 by signs in balls on both sides and monotonicity; exact rational instances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import sympy as sp
from flint import arb, fmpq

from unilth.theory.balls import decimal
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem, Witness
from unilth.theory.theorems.comparison.rational_problem import RationalProblem
from unilth.theory.verdicts import Verdict, judged, shown


@dataclass(frozen=True)
class PowerLaw:
    """b_i = c s_i^q with an integer q, so that everything is rational."""

    eigenvalues: str
    q: int
    c: Fraction
    noise: str = "1"

    @property
    def problem(self) -> RationalProblem:
        signal = " ".join(str(self.c * Fraction(s) ** self.q) for s in self.eigenvalues.split())
        return RationalProblem.of(self.eigenvalues, signal, self.noise)


def low_snr(law: PowerLaw) -> bool:
    """ψ(SNR_max) <= 1+q, decided in balls (no instance sits on the boundary)."""
    if law.problem.noise == 0:
        return law.c == 0
    y = arb(fmpq(*max(law.problem.snr).as_integer_ratio()))
    return y == 0 or bool((1 + y) * (1 + y).log() <= (1 + law.q) * y)


COMMON: dict[str, Callable[[PowerLaw], bool]] = {
    "noise": lambda law: law.problem.noise > 0,
    "two eigenvalues": lambda law: len(law.problem.eigenvalues) >= 2,
    "signal": lambda law: law.c > 0,
}
RIDGE_HYPOTHESES = {**COMMON, "exponent": lambda law: law.q <= 0, "low snr": lambda law: True}
FLOW_HYPOTHESES = {**COMMON, "exponent": lambda law: True, "low snr": low_snr}

RIDGE_INSTANCES = (
    PowerLaw("1 2 4", 0, Fraction(2)),
    PowerLaw("1/2 1 3", -1, Fraction(1)),
    PowerLaw("1 2", -2, Fraction(9), "1/3"),
    PowerLaw("1 2", 0, Fraction(2), "0"),  # violates noise
    PowerLaw("2", 0, Fraction(3)),  # violates two eigenvalues
    PowerLaw("1 2", 0, Fraction(0)),  # violates signal
    PowerLaw("1 2", 1, Fraction(1)),  # violates exponent
)
FLOW_INSTANCES = (
    PowerLaw("1 2", 1, Fraction(49, 50)),  # SNR_max = 3.92, just below Y1
    PowerLaw("1 2 3", 2, Fraction(1, 2)),
    PowerLaw("1/2 3/2", 3, Fraction(1)),
    PowerLaw("2", 1, Fraction(1, 4)),  # violates two eigenvalues
    PowerLaw("1 2", 1, Fraction(0)),  # violates signal
    PowerLaw("1 2", 1, Fraction(30)),  # violates low snr
    PowerLaw("1 2", 0, Fraction(2)),  # violates low snr
)


def winner_is(expected: str) -> Callable[[PowerLaw, Statement], Verdict]:
    def claim(law: PowerLaw, statement: Statement) -> Verdict:
        winner = law.problem.winner
        return (None if winner is None else winner == expected), f"{law.problem}: decided: {winner}"

    return claim


@cache
def calculus() -> tuple[Evidence, ...]:
    """The derivative of the Wiener time along the spectrum and the monotonicity of ψ."""
    s, c, u, y = sp.symbols("s c u y", positive=True)
    q = sp.Symbol("q", real=True)
    snr = c * s ** (1 + q)
    psi = (1 + y) * sp.log(1 + y) / y
    slope = sp.diff(sp.log(1 + snr) / s, s) - snr * (1 + q - psi.subs(y, snr)) / ((1 + snr) * s**2)
    integrand = (1 + y) / (1 + u * y)
    rising = sp.simplify(sp.diff(integrand, y).subs(u, 1 / (1 + c)))  # u = 1/(1+c) covers (0, 1)
    lambert = sp.symbols("w", negative=True)  # w = -2/(1+y), i.e. w e^w = -2e^{-2} on the branch -1 < w < 0
    at = -2 / lambert - 1
    equation = (1 + at) * (2 + lambert) - 2 * at  # (1+y) ln(1+y) = 2y once ln(1+y) = 2+w
    return (
        shown("d/ds ln(1+SNR)/s has the sign of 1+q-ψ(SNR)", sp.simplify(slope) == 0, "all q, c, s"),
        shown(
            "ψ(y) = ∫_0^1 (1+y)/(1+uy) du increases: the integrand does for u < 1; ψ(0+) = 1",
            sp.simplify(sp.integrate(integrand, (u, 0, 1)) - psi) == 0
            and bool(rising.is_positive)
            and sp.limit(psi, y, 0, "+") == 1,
            "all y > 0",
        ),
        shown(
            "Y1 = -2/W_0(-2e^{-2}) - 1",
            sp.simplify(equation) == 0 and sp.simplify(sp.exp(2 + lambert) + 2 / lambert).subs(lambert, -2) == 0,
            "w e^w = -2e^{-2} is 1+y = e^{2+w}; w = -2 is the other branch, y = 0",
        ),
    )


def threshold(statement: Statement) -> Evidence:
    """(1+y) ln(1+y) - 2y changes sign within one unit of the last digit of Y1; it is increasing past its minimum."""
    claimed = statement.value("Y1")
    digits = len(claimed.partition(".")[2])
    ends = [Fraction(claimed) + k * Fraction(1, 10**digits) for k in (-1, 1)]
    low, high = ((1 + y) * (1 + y).log() - 2 * y for y in (arb(fmpq(x.numerator, x.denominator)) for x in ends))
    holds = True if low < 0 and high > 0 else False if low > 0 or high < 0 else None
    bracket = (decimal(ends[0], digits, up=False), decimal(ends[1], digits, up=True))
    constants = {"Y1": bracket} if holds else {}
    detail = f"(1+y)ln(1+y)-2y is {low.str(5)} below and {high.str(5)} above"
    return Evidence("Y1 is the root of ψ(y) = 2", Level.CERTIFIED, holds, "unique since ψ increases", detail, constants)


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *calculus(),
        threshold(statement),
        judged("q <= 0: ridge strictly better", statement, RIDGE_INSTANCES, RIDGE_HYPOTHESES, winner_is("ridge")),
        judged(
            "low SNR: early stopping strictly better", statement, FLOW_INSTANCES, FLOW_HYPOTHESES, winner_is("flow")
        ),
    ]


def witness() -> Witness:
    first, second = RIDGE_INSTANCES[1], FLOW_INSTANCES[0]
    met = {name: test(first) and test(second) for name, test in COMMON.items()}
    met |= {"exponent": first.q <= 0, "low snr": low_snr(second)}
    return Witness(f"{first.problem}; {second.problem}", met)


THEOREM = Theorem(
    id="power-law-signals",
    catalogue="T5.7",
    title="Power-law signals: ridge wins for q <= 0, early stopping for q > 0 at low signal-to-noise ratio",
    statement=r"b_i=c\,s_i^q:\quad q\le0\Rightarrow\text{ridge wins};\quad \psi(\mathrm{SNR}_{\max})\le1+q\Rightarrow"
    r"\text{ES wins},\ \psi(y)=\tfrac{(1+y)\ln(1+y)}{y};\quad q=1:\ \mathrm{SNR}_{\max}\le-\tfrac{2}{W_0(-2e^{-2})}-1",
    source="not found in the literature",
    bound="tight",
    proof="The crossing theorem; d/ds[ln(1+y)/s] = y(1+q-ψ(y))/((1+y)s²) with y=SNR∝s^{1+q}, and ψ is increasing as "
    "the integral of (1+y)/(1+uy) over u in (0,1).",
    check=check,
    near_miss=Move("Y1"),
    witness=witness,
    assumptions={
        "noise": "σ² > 0",
        "two eigenvalues": "at least two eigenvalues are distinct",
        "signal": "c > 0",
        "exponent": "q <= 0 (first part)",
        "low snr": "ψ(SNR_max) <= 1+q (second part)",
    },
    constants={"Y1": "3.921553634567"},
    depends_on=("crossing",),
)
