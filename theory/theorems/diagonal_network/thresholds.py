r"""A small start thresholds hard along the path and softly on average.

Statement
    In the diagonal network at time t = ln(1/α²)/(RATE τ), as α -> 0: w(t) -> y if |y| > τ, 0 if |y| < τ, and
    y/(1+|y|) if |y| = τ. The time average is exactly w̄ = y - arcsinh(w(t)/2α²)/(RATE t) and tends to the soft
    threshold sign(y) max(|y|-τ, 0). So "early stopping of a diagonal network is the lasso" is true of the averaged
    path, not of the stopped point.
Assumptions
    vanishing start: α -> 0 (not a fixed α).
Source
    Average: Berthier 2025, Theorem 2.1. Pointwise limit: folklore, not found in this form.
Bound
    Identity and exact limits.
Proof
    For y > 0 (the rest by oddness) Az = (Az_+ + q Az_-)/(1+q) with q ~ y A^{4y/(RATE τ) - 1}, A = α²: q -> 0, y or ∞.
    (ln z)' = 4(y-w), and arcsinh(w/2A) = ln z; ln z/ln(1/A) -> min(1, |y|/τ).
Evidence
    Symbolic limits; exact exponents on instances as close as 1e-7 to the threshold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import sympy as sp

from unilth.theory.evidence import Evidence, Move, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed


@dataclass(frozen=True)
class Target:
    """A target y, a threshold τ, and whether the start vanishes (else it is fixed at α = 1)."""

    y: Fraction
    tau: Fraction
    vanishing: bool = True


NEAR = Fraction(1, 10**7)
INSTANCES = (
    Target(Fraction(2), Fraction(1)),
    Target(Fraction(-3), Fraction(2)),
    Target(1 + NEAR, Fraction(1)),
    Target(1 - NEAR, Fraction(1)),
    Target(Fraction(5, 4), Fraction(5, 4)),
    Target(Fraction(-1, 3), Fraction(1)),
    Target(Fraction(2), Fraction(1), vanishing=False),  # violates vanishing start
)
HYPOTHESES = {"vanishing start": lambda target: target.vanishing}


def limits(target: Target, rate: Fraction) -> tuple[Fraction, Fraction]:
    """Limits of w(t) and of its time average, from the exponent of q; exact."""
    size, sign = abs(target.y), (1 if target.y > 0 else -1)
    if not target.vanishing:
        return Fraction(0), Fraction(0)  # α = 1: the time is ln(1)/(RATE τ) = 0, nothing has moved
    exponent = 4 * size / (rate * target.tau) - 1
    point = size if exponent > 0 else Fraction(0) if exponent < 0 else size / (1 + size)
    climbed = 1 + min(exponent, Fraction(0))  # lim ln z / ln(1/A)
    return sign * point, sign * (size - climbed * rate * target.tau / 4)


def on_target(target: Target, statement: Statement) -> Verdict:
    size, sign = abs(target.y), (1 if target.y > 0 else -1)
    hard = sign * (size if size > target.tau else Fraction(0) if size < target.tau else size / (1 + size))
    soft = sign * max(size - target.tau, Fraction(0))
    found = limits(target, statement.exact("RATE"))
    return found == (hard, soft), f"{target}: limits {found}, claimed {(hard, soft)}"


@cache
def asymptotics() -> tuple[Evidence, ...]:
    """q ~ y A^{4y/(RATE τ)-1}, and what Az and ln z do in each case; y > 0."""
    a, y, p, q, c = sp.symbols("A y p q c", positive=True)  # A = α²
    d = sp.sqrt(y**2 + 4 * a**2)
    up, down = (y + d) / 2, (y - d) / 2  # A z_+, A z_-
    # q = ((z_+ - 1)/(1 - z_-)) A^{c D} with c = 4/(RATE τ); its leading factor over y A^{cy - 1}:
    front, share, power = (up - a) / y, 1 - down / a, sp.log(a) * c * (d - y)
    pieces = [sp.limit(piece, a, 0, "+") for piece in (front, share, power)]
    scaled = (up + q * down) / (1 + q)  # A z
    at_zero = sp.limit(scaled.subs(q, a**p), a, 0, "+")
    at_tie = sp.limit(scaled.subs(q, y), a, 0, "+")
    # q = A^{-p}, p = 1/(1+r) < 1: Az/(y A^p) = (Az_+ + Az_- A^{-p})/(y (1 + A^p)), and Az_- = -2A²/(y+D)
    r = sp.Symbol("r", positive=True)
    conjugate = sp.simplify(down + 2 * a**2 / (y + d)) == 0
    rest = [sp.limit(piece, a, 0, "+") for piece in (up / y, a ** ((1 + 2 * r) / (1 + r)), a ** (1 / (1 + r)))]
    # q = A^{-p} has p = 1 - cy < 1, so ln z/ln(1/A) -> 1 - p = cy
    return (
        shown("q/(y A^{4y/(RATE τ)-1}) -> 1", pieces == [1, 1, 0], "all y > 0, τ > 0", f"limits {pieces}"),
        shown("q -> 0: Az -> y, hence w -> y", sp.simplify(at_zero - y) == 0, "q = A^p, all p, y > 0"),
        shown("q -> y: Az -> y/(1+y)", sp.simplify(at_tie - y / (1 + y)) == 0, "all y > 0"),
        shown("q -> ∞: Az ~ y/q, hence w -> 0", conjugate and rest == [1, 0, 0], "q = A^{-p}, all 0 < p < 1, y > 0"),
    )


def check(statement: Statement) -> Sequence[Evidence]:
    z, a, y = sp.symbols("z A y", positive=True)
    rate = sp.Rational(statement.value("RATE"))
    w = a * (z - 1 / z)
    z_dot = 4 * z * (y - w)  # the Riccati equation of the closed form
    average = sp.simplify(z_dot / z - rate * (y - w))
    inverse = sp.simplify(sp.sinh(sp.log(z)).rewrite(sp.exp) - w / (2 * a))
    return [
        *asymptotics(),
        shown("(ln z)' = RATE (y-w), so ln z = RATE t (y - w̄)", average == 0, "all z, A > 0, y", f"residual {average}"),
        shown("arcsinh(w/2A) = ln z", inverse == 0, "all z, A > 0"),
        judged("hard threshold pointwise, soft on average", statement, INSTANCES, HYPOTHESES, on_target),
    ]


THEOREM = Theorem(
    id="hard-and-soft-threshold",
    catalogue="T9.2",
    title="A small start thresholds hard along the path and softly (lasso) on average",
    statement=r"t=\frac{\ln(1/\alpha^2)}{4\tau},\ \alpha\to0:\quad w(t)\to y\,1\{|y|>\tau\}\ (|y|\ne\tau),\ "
    r"\tfrac y{1+|y|}\ (|y|=\tau);\qquad "
    r"\bar w=y-\frac{\operatorname{arcsinh}(w(t)/2\alpha^2)}{4t}\to\operatorname{sign}(y)(|y|-\tau)_+",
    source="average: Berthier 2025 (arXiv 2509.18766), Theorem 2.1; pointwise limit folklore, not found in this form",
    bound="identity",
    proof="Az=(Az_+ + qAz_-)/(1+q) with q ~ y A^{y/τ-1}; (ln z)'=4(y-w) and ln z/ln(1/A) -> min(1,|y|/τ).",
    check=check,
    near_miss=Move("RATE"),
    witness=lambda: witnessed(INSTANCES[0], HYPOTHESES),
    assumptions={"vanishing start": "α -> 0"},
    constants={"RATE": "4"},
    depends_on=("diagonal-network-closed-form",),
)
