r"""Early stopping can be better than every ridge penalty by any factor.

Statement
    One eigenvalue s = 1 with signal β² = B and M eigenvalues 1/M without signal, σ²/n = 1. For B >= 4 and
    M >= √2 B^{1/4}: Risk(ES, t = ½ ln B) <= OFFSET + SLOPE ln² B, the best such OFFSET, and Risk(ridge(a)) >= ½√B for
    every a. Hence the ratio is unbounded; at B = 10^6, M = 45, min_a Risk(ridge)/Risk(ES, ½ ln B) = RATIO.
Assumptions
    large signal: B >= 4. null directions: M >= √2 B^{1/4}.
Source
    Explicit form not found in the literature; qualitatively Wu, Bartlett, Kakade, Lee and Yu 2025, and saturation.
Bound
    Upper for early stopping (OFFSET and SLOPE sharp), lower for ridge (order √B; the factor ½ is not sharp).
Proof
    ES: bias B e^{-2t} = 1, variance (1-e^{-t})² <= 1 and M² (1-e^{-t/M})² <= t² = ¼ ln² B. Ridge: null directions cost
    M²/(1+aM)², the signal B a²/(1+a)²; for a <= 1/M the first is >= M²/4 >= √B/2; for 1/M <= a <= 1 the sum is
    >= 1/(4a²) + Ba²/4 >= √B/2; for a >= 1 the second is >= B/4 >= √B/2.
Evidence
    Symbolic: each inequality becomes a polynomial with nonnegative coefficients in the slacks, or a square; exact and
    ball evaluation of instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import sympy as sp
from flint import arb

from unilth.theory.balls import ball, precision
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem
from unilth.theory.theorems.comparison.rational_problem import RationalProblem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

Instance = tuple[Fraction, int]  # (√B, M)
INSTANCES: tuple[Instance, ...] = (
    (Fraction(2), 2),
    (Fraction(1000), 45),
    (Fraction(10**4), 142),
    (Fraction(1, 100), 1),  # violates large signal
    (Fraction(10**4), 1),  # violates null directions
)
HYPOTHESES = {
    "large signal": lambda instance: instance[0] ** 2 >= 4,
    "null directions": lambda instance: instance[1] ** 2 >= 2 * instance[0],
}


def ridge_problem(root: Fraction, directions: int) -> RationalProblem:
    """The problem with B = root² and M = `directions`, its equal eigenvalues merged."""
    if directions == 1:
        return RationalProblem((Fraction(1),), (root**2,), multiplicity=(2,))
    signal = (Fraction(0), root**2)
    return RationalProblem((Fraction(1, directions), Fraction(1)), signal, multiplicity=(directions, 1))


def flow_excess(root: arb, directions: arb, slope: arb) -> arb:
    """Risk(ES, ½ ln B) - slope ln² B in balls."""
    t = root.log()
    return 1 + (1 - 1 / root) ** 2 + (directions * (1 - (-t / directions).exp())) ** 2 - slope * (2 * t) ** 2


def on_instance(instance: Instance, statement: Statement) -> Verdict:
    """ridge >= ½√B for every a, exactly; early stopping below the claimed bound, in balls."""
    root, directions = instance
    if not ridge_problem(root, directions).ridge.stays_above(root / 2, strict=False):
        return False, f"B={root**2}, M={directions}: some ridge has risk below ½√B = {root / 2}"
    excess = flow_excess(ball(root), ball(Fraction(directions)), ball(statement.exact("SLOPE")))
    offset = ball(statement.exact("OFFSET"))
    holds = True if excess <= offset else False if excess > offset else None
    return holds, f"B={root**2}, M={directions}: Risk(ES) - SLOPE ln²B = {excess.str(12)}"


def nonnegative(expression: sp.Expr, slacks: tuple[sp.Symbol, ...]) -> bool:
    """Whether numerator and denominator are polynomials with nonnegative coefficients in the nonnegative slacks."""
    parts = sp.fraction(sp.together(expression))
    return all(coefficient >= 0 for part in parts for coefficient in sp.Poly(sp.expand(part), *slacks).coeffs())


@cache
def ridge_bound() -> tuple[Evidence, ...]:
    p, q, m, beta = sp.symbols("p q m beta", positive=True)  # slacks; m = M, beta = √B

    def null(a: sp.Expr) -> sp.Expr:
        return m**2 / (1 + a * m) ** 2

    def signal(a: sp.Expr) -> sp.Expr:
        return beta**2 * a**2 / (1 + a) ** 2

    a = sp.Symbol("a", positive=True)
    square = sp.Rational(1, 4) * (beta * a - 1 / a) ** 2
    mean = sp.simplify(beta**2 * a**2 / 4 + 1 / (4 * a**2) - beta / 2 - square) == 0
    flat = nonnegative(null(1 / (m * (1 + p))) - m**2 / 4, (p, m))
    steep = nonnegative(null((1 + p) / m) - (m / (1 + p)) ** 2 / 4, (p, m))
    small = nonnegative(signal(1 / (1 + p)) - beta**2 / (1 + p) ** 2 / 4, (p, beta))
    large = nonnegative(signal(1 + p) - beta**2 / 4, (p, beta))
    return (
        shown("a = 1/(M(1+p)): null directions >= M²/4", flat, "a <= 1/M"),
        shown("aM = 1+p: null directions >= 1/(4a²)", steep, "a >= 1/M"),
        shown("a = 1/(1+p): signal >= Ba²/4", small, "a <= 1"),
        shown("Ba²/4 + 1/(4a²) - √B/2 is a square", mean, "all a"),
        shown("a = 1+p: signal >= B/4", large, "a >= 1"),
        shown("√B = 2+q: B/4 >= √B/2", nonnegative(((2 + q) ** 2 / 4 - (2 + q) / 2), (q,)), "B >= 4"),
    )


def flow_bound(statement: Statement) -> list[Evidence]:
    """OFFSET is the supremum of Risk(ES) - SLOPE ln² B: bounded for all B, M, and approached."""
    x, y = sp.symbols("x y", positive=True)
    term = sp.integrate(1 - sp.exp(-y), (y, 0, x)) - (x - 1 + sp.exp(-x))
    pieces = shown("1-e^{-x} <= x: the difference is ∫_0^x (1-e^{-y}) dy", sp.simplify(term) == 0, "all x >= 0")
    slope, offset = ball(statement.exact("SLOPE")), ball(statement.exact("OFFSET"))
    quarter = arb(1) / 4
    # Proved: Risk(ES) <= 2 + ¼ ln² B, hence Risk(ES) - SLOPE ln² B <= 2 - (SLOPE-¼) ln² 4 if SLOPE >= ¼.
    proved = 2 - (slope - quarter) * arb(4).log() ** 2
    near = flow_excess(arb(10) ** 20, arb(10) ** 40, slope)
    if near > offset:
        return [
            pieces,
            Evidence("OFFSET bounds all", Level.CERTIFIED, False, "B=10^40, M=10^40", f"excess {near.str(12)}"),
        ]
    if proved < offset or near < offset - arb("1e-9"):
        detail = f"no instance exceeds {proved.str(12)}, claimed supremum {offset.str(12)}"
        return [pieces, Evidence("OFFSET is attained in the limit", Level.CERTIFIED, False, "all B >= 4", detail)]
    holds = True if proved >= offset - arb("1e-30") and proved <= offset + arb("1e-30") else None
    what = "OFFSET bounds all and is approached to 1e-9 at B = 10^40, M = 10^40"
    return [pieces, Evidence(what, Level.CERTIFIED, holds, "all B >= 4, all M", f"excess there {near.str(14)}")]


def ratio(statement: Statement) -> Evidence:
    """The ratio at B = 10^6, M = 45: exact for ridge, a ball for early stopping."""
    claimed = statement.value("RATIO")
    unit = ball(Fraction(1, 10 ** len(claimed.partition(".")[2])))
    curve = ridge_problem(Fraction(1000), 45).ridge
    upper = curve.best[1]
    lower = upper - Fraction(1, 10**12)
    flow = flow_excess(arb(1000), arb(45), arb(0))
    low, high = ball(lower) / flow, ball(upper) / flow
    target = ball(Fraction(claimed))
    if not curve.stays_above(lower):
        holds: bool | None = None
    elif low > target + unit or high < target - unit:
        holds = False
    else:
        holds = True if low > target - unit and high < target + unit else None
    detail = f"ratio in [{low.str(14)}, {high.str(14)}], claimed {claimed}"
    return Evidence("the ratio at B = 10^6, M = 45", Level.CERTIFIED, holds, "all a >= 0, t = ½ ln B", detail)


def check(statement: Statement) -> Sequence[Evidence]:
    with precision(400):  # 10^40 beside 1e-9
        return [
            *ridge_bound(),
            *flow_bound(statement),
            ratio(statement),
            judged("instances", statement, INSTANCES, HYPOTHESES, on_instance),
        ]


THEOREM = Theorem(
    id="unbounded-separation",
    catalogue="T5.6",
    title="Early stopping can be better than every ridge penalty by any factor",
    statement=r"s=(1;\tfrac1M^{(M)}),\ \beta^2=(B;0),\ \sigma^2/n=1,\ B\ge4,\ M\ge\sqrt2B^{1/4}:\quad "
    r"R_{\mathrm{ES}}(\tfrac12\ln B)\le2+\tfrac14\ln^2B,\qquad \min_aR_{\mathrm{ridge}}(a)\ge\tfrac12\sqrt B",
    source="explicit form not found in the literature; qualitatively Wu, Bartlett, Kakade, Lee and Yu 2025 "
    "(saturation)",
    bound="upper",
    proof="ES: bias 1, variance (1-e^{-t})² + M²(1-e^{-t/M})² <= 1 + t². Ridge: three ranges of a, each by one "
    "inequality (M²/4; arithmetic-geometric mean; B/4).",
    check=check,
    near_miss=Move("OFFSET", "-1e-6"),
    witness=lambda: witnessed(INSTANCES[1], HYPOTHESES),
    assumptions={"large signal": "B >= 4", "null directions": "M >= √2 B^{1/4}"},
    constants={"OFFSET": "2", "SLOPE": "1/4", "RATIO": "21.63322112"},
)
