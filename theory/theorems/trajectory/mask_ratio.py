r"""Tuned ridge guarantees a better mask than tuned early stopping, at every condition number (T7.5, extended).

Statement: for every \kappa > 1, with ES at its best time and ridge at a = \sqrt{\mu L},
    1 < \rho_ES(\kappa)/\rho_ridge(\kappa) < RATIO = 4 PHI^2, and RATIO is the limit as \kappa grows.
    (The catalogue checked this on a grid of 200 condition numbers; here it is proved for all.)
Assumptions: \kappa > 1; ES at its best time; ridge at its best penalty.
Source: not found in the literature.
Bound: tight on both sides (\kappa -> 1 and \kappa -> infinity).
Proof: let D be the drop of log \phi from its peak to the ends of the best window and \ell = ln \kappa. For ES
    d\ell/dD = 1/|E(y_1)| + 1/|E(y_2)| with the elasticity E = y/(e^y-1) - 1/2, for ridge d\ell/dD = 4/\sqrt{1-e^{-2D}}.
    F = 4E^2 + \phi^2/PHI^2 - 1 > 0 for y != y* makes the first smaller, so at equal \ell ES drops more.
    Upper: \rho_ES/\rho_ridge = 4 PHI^2/Q^2 with Q = \phi(A+B)/\sqrt{AB}, A = 1-e^{-y_1} < B = 1-e^{-y_2}. If \phi >=
    1/2 then Q > 2\phi >= 1; else A < .31, B >= 1 - .15A, and Q^2 >= (A+B)^2/(B(1 + A/2 + A^2/(3(1-A)))) > 1.
Evidence: balls on compact intervals, elementary tails, SymPy for the identities.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sympy
from flint import arb, arb_series, fmpq

from unilth.theory.balls import Number, ball, bracket, precision
from unilth.theory.certify import both, certified, claimed, positive, root
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem
from unilth.theory.exact import rational
from unilth.theory.theorems.trajectory.mask_guarantee import phi
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

# F is convex on NEAR, which contains y*; balls decide F > 0 on the rest of [LOW, HIGH], an inequality beyond.
LOW, NEAR, HIGH = "0.1", ("1.15", "1.37"), "20"
PEAK = ("1.256431208626169676982737616608", "1.256431208626169676982737616610")


@dataclass(frozen=True)
class Window:
    """kappa, ES's time and ridge's penalty as multiples of the best ones."""

    kappa: fmpq
    time: fmpq = fmpq(1)  # noqa: RUF009  (fmpq is immutable)
    penalty: fmpq = fmpq(1)  # noqa: RUF009

    def __str__(self) -> str:
        return f"kappa = {self.kappa}, time x {self.time}, penalty x {self.penalty}"


def window(kappa: Number, time: Number = 1, penalty: Number = 1) -> Window:
    return Window(rational(kappa), rational(time), rational(penalty))


INSTANCES = (
    *(window(k) for k in ("101/100", 2, 10, 100, 10**4, 10**8)),
    window(10**18),
    window(1),
    window(4, 1, 9),
    window(10**4, 30),
)
HYPOTHESES = {
    "spread": lambda w: w.kappa > 1,
    "best-time": lambda w: w.time == 1,
    "best-penalty": lambda w: w.penalty == 1,
}


def elasticity(y: Any) -> Any:
    """d log phi / d log y."""
    return y / (y.exp() - 1) - ball("1/2")


def excess(y: Any) -> Any:
    """F: how much steeper phi falls than ridge's score at the same height."""
    return 4 * elasticity(y) ** 2 + phi(y) ** 2 / phi(peak_ball()) ** 2 - 1


def peak_ball() -> arb:
    """A ball around y*; `check` verifies the change of sign at its ends."""
    return ball(PEAK[0]).union(ball(PEAK[1]))


def best_time(kappa: fmpq) -> arb:
    """t mu with phi(t) = phi(kappa t)."""
    top = peak_ball()
    if kappa == 1:
        return top
    low = (top / kappa).lower().man_exp()
    start = fmpq(int(low[0])) * fmpq(2) ** int(low[1]) * fmpq(999, 1000)
    found = root(lambda t: phi(t) - phi(t * kappa), str(start), "1.26", "1e-40")
    if found is None:
        raise ValueError(f"no best time was certified at kappa = {kappa}")
    return found.ball()


def rho_es(w: Window) -> arb:
    """(max phi/min phi)^2 over the window; the peak counts only where the window contains it for certain."""
    low = best_time(w.kappa) * w.time
    ends = [phi(low), phi(low * w.kappa)]
    inside = low < peak_ball() < low * w.kappa
    top = phi(peak_ball()) if inside else ends[0].max(ends[1])
    return (top / ends[0].min(ends[1])) ** 2


def rho_ridge(w: Window) -> arb:
    """(max psi/min psi)^2 with psi^2 = h/(h+a)^2 on [1, kappa], a = sqrt(kappa) times the factor."""
    a = arb(w.kappa).sqrt() * w.penalty
    ends = [h / (h + a) ** 2 for h in (arb(1), arb(w.kappa))]
    top = 1 / (4 * a) if 1 < a < arb(w.kappa) else ends[0].max(ends[1])
    return top / ends[0].min(ends[1])


def on_instance(w: Window, statement: Statement) -> Verdict:
    ratio = arb(1) if w.kappa == 1 else rho_es(w) / rho_ridge(w)
    bound = ball(statement.value("RATIO"))
    if ratio <= 1 or ratio >= bound:
        return False, f"the ratio is {ratio.str(12)}"
    return (True, "") if 1 < ratio < bound else (None, f"ratio {ratio}")


@cache  # nothing in it depends on the statement
def identities() -> tuple[Evidence, ...]:
    y, p, v = sympy.symbols("y PHI v", positive=True)
    e = y / (sympy.exp(y) - 1) - sympy.Rational(1, 2)
    ph = (1 - sympy.exp(-y)) / sympy.sqrt(y)
    # at y*: E = 0 and phi = PHI, so F = 0; F' = 8EE' + 2 phi^2 E/(y PHI^2) is a multiple of E
    f = 4 * e**2 + ph**2 / p**2 - 1
    multiple = sympy.simplify(sympy.diff(f, y) - e * (8 * sympy.diff(e, y) + 2 * ph**2 / (y * p**2))) == 0
    factored = sympy.expand(4 * (v - sympy.Rational(1, 2)) ** 2 - 1 + 4 * v * (1 - v)) == 0
    ell = sympy.Symbol("l", positive=True)
    drop = sympy.log(sympy.cosh(ell / 4))
    speed = sympy.simplify(sympy.diff(drop, ell) ** 2 - (1 - sympy.exp(-2 * drop)) / 16) == 0
    a, b, height, k = sympy.symbols("A B phi k", positive=True)
    # sqrt(y) = A/phi and B/phi at the two ends, kappa = (B/A)^2, rho_ridge = (k+1/k)^2/4 with k^2 = B/A
    ends = sympy.simplify((height * (k + 1 / k)).subs(k, sympy.sqrt(b / a)) - height * (a + b) / sympy.sqrt(a * b)) == 0
    square = sympy.expand((sympy.sqrt(a) - sympy.sqrt(b)) ** 2 - (a + b - 2 * sympy.sqrt(a * b))) == 0
    return (
        shown("F vanishes with its slope at y*", multiple, "SymPy"),
        shown("4E^2 - 1 = -4v(1-v), v = y/(e^y-1)", factored, "SymPy"),
        shown("ridge: (dD/dl)^2 = (1-e^{-2D})/16", speed, "all l > 0 (SymPy)"),
        shown("Q = phi(A+B)/sqrt(AB)", ends, "all A, B (SymPy)"),
        shown("A + B > 2 sqrt(AB) for A != B", square, "SymPy"),
    )


def lower_side() -> list[Evidence]:
    """F > 0 for every y != y*."""

    def curvature(x: arb) -> arb:
        return 2 * excess(arb_series([x, 1, 0], prec=3))[2]

    away = both([positive(excess, LOW, NEAR[0]), positive(excess, NEAR[1], HIGH)])
    peak2 = phi(peak_ball()) ** 2
    # near 0: v >= 1-y/2 and v <= 1 give 4v(1-v) <= 2y; 1-e^{-y} >= y - y^2/2 gives phi^2 >= y(1-y/2)^2
    near_zero = (1 - ball(LOW) / 2) ** 2 / peak2 > 2
    # far out: 4v(1-v) <= 4y/(e^y-1) <= 24/y^2 and phi^2 >= (1-e^{-HIGH})^2/y, so F y >= const - 24/y
    far = (1 - (-ball(HIGH)).exp()) ** 2 / peak2 > 24 / ball(HIGH)
    scope = f"y < {LOW} and y > {HIGH}, elementary"
    return [
        certified("F > 0 away from y*", away, f"y in [{LOW}, {HIGH}] without {NEAR}"),
        certified("F'' > 0 around y*", positive(curvature, *NEAR), f"y in {NEAR}"),
        certified("F > 0 near 0 and far out", bool(near_zero and far) or None, scope),
    ]


@cache
def expanded() -> tuple[sympy.Poly, sympy.Poly]:
    """((A+b)^2 - b(1 + A/2 + A^2/(3(1-A))))/A with b = 1 - .15A, as a fraction of polynomials in A."""
    a = sympy.Symbol("A")
    b = 1 - sympy.Rational(15, 100) * a
    numerator, denominator = sympy.fraction(sympy.cancel(((a + b) ** 2 - b * (1 + a / 2 + a**2 / (3 * (1 - a)))) / a))
    return sympy.Poly(numerator, a), sympy.Poly(denominator, a)


def upper_side() -> list[Evidence]:
    """Q > 1 where phi < 1/2."""
    numerator, denominator = expanded()
    half, most = ball("1/2"), ball("0.31")
    # phi rises before y* and falls after it: phi < 1/2 forces y_1 < .36 and y_2 > 3.8
    ends = phi(ball("0.36")) > half and phi(ball("3.8")) > half
    small = 1 - (-ball("0.36")).exp() < most
    # y_2 = (B/phi)^2 >= B^2/A because phi^2 = A^2/y_1 <= A; and e^{-x/A}/A increases for A < x
    b2 = (1 - (-ball("3.8")).exp()) ** 2
    close = b2 > most and (-b2 / most).exp() / most < ball("0.15")
    gap = positive(lambda x: horner(numerator, x) / horner(denominator, x), 0, "0.31")
    return [
        certified("phi < 1/2 forces A < .31 and B >= 1 - .15A", bool(ends and small and close) or None, "elementary"),
        certified("Q^2 > 1 for A in (0, .31]", gap, "A in [0, .31], after division by A"),
    ]


def approached(statement: Statement) -> Evidence:
    """RATIO is the limit: at kappa = 10^18 the ratio is within 1e-7 below it."""
    w = window(10**18)
    short = ball(statement.value("RATIO")) - rho_es(w) / rho_ridge(w)
    holds = True if 0 < short < ball("1e-7") else False if short < 0 or short > ball("1e-7") else None
    return certified("RATIO is approached", holds, str(w), detail=f"short by {short.str(5)}")


def horner(polynomial: sympy.Poly, x: arb) -> arb:
    value = arb(0)
    for coefficient in polynomial.all_coeffs():
        value = value * x + ball(str(coefficient))
    return value


def check(statement: Statement) -> Sequence[Evidence]:
    with precision(200):
        limit = bracket(4 * phi(peak_ball()) ** 2, digits=28)
        ends = [ball(PEAK[0]), ball(PEAK[1])]
        located = bool(ends[0].expm1() - 2 * ends[0] < 0 < ends[1].expm1() - 2 * ends[1]) or None
        return [
            certified("e^y - 1 - 2y changes sign where y* is taken to be", located, f"y* in {PEAK}"),
            *identities(),
            *lower_side(),
            *upper_side(),
            approached(statement),
            claimed("RATIO = 4 PHI^2", limit, statement.value("RATIO"), "RATIO", "the limit as kappa grows"),
            judged("ratio on instances", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
        ]


THEOREM = Theorem(
    id="mask-ratio",
    catalogue="T7.5",
    title="Tuned ridge guarantees a better mask than tuned early stopping, at every condition number",
    statement=r"1<\rho_{ES}(\kappa)/\rho_{ridge}(\kappa)<4\,\mathrm{PHI}^2\quad\forall\kappa>1",
    source="not found in the literature; the catalogue has it on a grid, here for all kappa",
    bound="tight",
    proof="Compare the window's logarithmic width as a function of the drop D of log phi: ES needs less width for "
    "the same drop because 4E^2 > 1 - phi^2/PHI^2 away from y*, hence at equal width it drops more. Above, "
    "the ratio is 4PHI^2/Q^2 and Q > 1: by A + B > 2 sqrt(AB) if phi >= 1/2, otherwise by expanding in A. Q "
    "-> 1 as kappa grows.",
    check=check,
    near_miss=Move("RATIO", "-1e-6"),
    witness=lambda: witnessed(window(100), HYPOTHESES),
    assumptions={
        "spread": "kappa > 1",
        "best-time": "ES stops at its best time",
        "best-penalty": "ridge has its best penalty sqrt(mu L)",
    },
    constants={"RATIO": "1.629057510356295000557171"},
    depends_on=("mask-guarantee",),
)
