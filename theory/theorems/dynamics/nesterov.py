r"""Nesterov's flow as a filter: effective ridge 8/t^2, overshoot, qualification 3/4, no bias bound (catalogue T4.3).

Statement: x'' + (3/t)x' + s x = 0 from rest has x = r = 2J_1(z)/z, z = t\sqrt s; r = 1 - z^2/8 + ..., so its effective
    ridge is a = 8/t^2. r is not in [0, 1]: its least value is MIN_RESIDUAL, at z = j_{2,1}. With x = z^2/8:
    sup |r - 1/(1+x)| = GAP, the ratio of gains (1-r)(1+x)/x is at most VARIANCE, the ratio of residuals |r|(1+x) is
    unbounded. sup_z z^{2q}|r| is finite iff 0 <= q <= 3/4, and is
    PEAK at 3/4. For damping r/t the qualification is r/4.
Assumptions: none.
Source: the equation: Su, Boyd and Candes 2014; early stopping of it: Pagliana and Rosasco, NeurIPS 2019, arXiv
    1905.13000; the constants not found in the literature. The catalogue gives 1.55025954675108 as a certified bound
    for VARIANCE: the ratio of gains at z = 4.0980789603 is 1.5502595467876, larger by 3.7e-11.
Bound: tight.
Proof: r' = -2J_2(z)/z. Tails by |J_1| <= 1/\sqrt2. For u = \sqrt z J_1, u'' + p u = 0 with p = 1 - 3/(4z^2) increasing:
    u^2 + u'^2/p falls and p u^2 + u'^2 rises (Sonine), so beyond its first peak |u| stays below it, and never dies out.
Evidence: SymPy for the equations and Sonine's slopes; balls on [0.1, 12] or [0.1, 3], elementary bounds outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cache

import sympy
from flint import arb

from unilth.theory.balls import precision
from unilth.theory.certify import ball, bounded, bracket, certified, claimed, infimum, root, supremum
from unilth.theory.evidence import Evidence, Move, Statement, Theorem, Witness
from unilth.theory.theorems.dynamics.bessel import bessel, effective, residual
from unilth.theory.verdicts import shown

NEAR, FAR = "1/10", 12


Z = sympy.symbols("z", positive=True)
J0, J1 = sympy.symbols("J0 J1")
EVERY = "all z > 0 (SymPy, Bessel recurrences)"


def along(f: sympy.Expr) -> sympy.Expr:
    """d/dz with J0' = -J1 and J1' = J0 - J1/z."""
    return sympy.diff(f, Z) - sympy.diff(f, J0) * J1 + sympy.diff(f, J1) * (J0 - J1 / Z)


def equations(statement: Statement) -> list[Evidence]:
    """The equation of motion, the effective penalty and the qualification."""
    r = 2 * J1 / Z
    damping, flat, q = (
        sympy.Rational(*statement.exact(name).as_integer_ratio()) for name in ("DAMPING", "FLAT", "QUALIFICATION")
    )
    moves = sympy.expand(along(along(r)) + damping / Z * along(r) + r)
    start = sympy.expand(sympy.series(2 * sympy.besselj(1, Z) / Z, Z, 0, 4).removeO() - (1 - Z**2 / flat))
    exponent = 2 * q - sympy.Rational(3, 2)  # z^{2q} r = 2 z^{exponent} u
    return [
        shown("2J_1(z)/z solves x'' + (3/z)x' + x = 0", moves == 0, EVERY, f"residual {moves}"),
        shown("r = 1 - z^2/8 + O(z^4): effective ridge 8/t^2", start == 0, "series at 0 (SymPy)", f"rest {start}"),
        shown("z^{2q} r = z^0 2u at q = 3/4: bounded, not dying out", exponent == 0, "exponent", f"z^({exponent})"),
    ]


@cache
def sonine() -> tuple[Evidence, ...]:
    """Slopes of the residual and of Sonine's two functions; the equation with any damping."""
    nu = sympy.symbols("nu", positive=True)
    falls = sympy.expand(along(2 * J1 / Z) + 2 / Z * (2 * J1 / Z - J0))  # J2 = 2 J1/z - J0
    # damping D/t: x = z^{-nu} J_nu, nu = (D-1)/2; K stands for J_nu, L for its slope, L' = -L/z - (1 - nu^2/z^2) K
    K, L = sympy.symbols("K L")

    def general(f: sympy.Expr) -> sympy.Expr:
        bend = -L / Z - (1 - nu**2 / Z**2) * K
        return sympy.diff(f, Z) + sympy.diff(f, K) * L + sympy.diff(f, L) * bend

    x = Z**-nu * K
    damped = sympy.simplify(general(general(x)) + (2 * nu + 1) / Z * general(x) + x)
    u, w = sympy.symbols("u w")  # w = u', u'' = -p u
    p = 1 - sympy.Rational(3, 4) / Z**2

    def oscillates(f: sympy.Expr) -> sympy.Expr:
        return sympy.diff(f, Z) + sympy.diff(f, u) * w - sympy.diff(f, w) * p * u

    upper = sympy.cancel(oscillates(u**2 + w**2 / p) + sympy.diff(p, Z) * w**2 / p**2)
    lower = sympy.cancel(oscillates(p * u**2 + w**2) - sympy.diff(p, Z) * u**2)
    liouville = sympy.expand(along(along(sympy.sqrt(Z) * J1)) + p * sympy.sqrt(Z) * J1)
    grows = sympy.powsimp(2 * Z ** sympy.Rational(-3, 2) * Z**2 / 8)
    return (
        shown("r' = -2J_2(z)/z", falls == 0, EVERY),
        shown(
            "damping D/t: z^{-nu}J_nu, nu = (D-1)/2, solves it; decay z^{-D/2}, qualification D/4", damped == 0, EVERY
        ),
        shown("u = sqrt(z) J_1 has u'' + (1-3/(4z^2)) u = 0", sympy.simplify(liouville) == 0, EVERY),
        shown("u^2 + u'^2/p falls and p u^2 + u'^2 rises", (upper, lower) == (0, 0), "all z > sqrt(3)/2 (SymPy)"),
        shown("|r|x = |u| sqrt(z)/4: the ratio of residuals is unbounded", grows == sympy.sqrt(Z) / 4, EVERY),
    )


def minimum(statement: Statement) -> list[Evidence]:
    """The overshoot: covered on [0.1, 12]; the point is a zero of J_2."""
    at = root(lambda z: bessel(2, z), 5, 6, "1e-30", unique=True)
    with precision(160):
        value = bracket(residual(at.ball()), digits=28) if at else None
    found = infimum(residual, NEAR, FAR, "1e-9")
    covered = found[0].contains(statement.value("MIN_RESIDUAL")) if found else None
    return [
        claimed("j_{2,1}", at, statement.value("MIN_AT"), "MIN_AT", "the only root of J_2 in [5, 6]"),
        claimed("the residual there", value, statement.value("MIN_RESIDUAL"), "MIN_RESIDUAL", "z = j_{2,1}"),
        certified("no smaller one", covered, f"z in [{NEAR}, {FAR}]", detail=str(found[0]) if found else ""),
        certified(
            "sqrt(2)/12 < -MIN_RESIDUAL",
            (FAR * statement.exact("MIN_RESIDUAL")) ** 2 > 2,
            "tail z > 12: |r| <= sqrt(2)/z",
        ),
    ]


def gap(statement: Statement) -> list[Evidence]:
    """Ridge's residual against Nesterov's: the largest distance, where it is, and the ends."""

    def distance(z: arb) -> arb:
        return 1 / (1 + effective(z)) - residual(z)

    at = root(lambda z: 2 * bessel(2, z) / z - z / (4 * (1 + effective(z)) ** 2), "4", "5", "1e-30", unique=True)
    with precision(160):
        value = bracket(distance(at.ball()), digits=28) if at else None
        place = bracket(effective(at.ball()), digits=28) if at else None
    above, below = supremum(distance, NEAR, FAR, "1e-9"), bounded(distance, NEAR, FAR, below="-19/100")
    covered = above[0].contains(statement.value("GAP")) and below.holds if above else None
    # z > 12: |r| < 0.12 and 1/(1+x) < 0.06; z < 0.1: both in [1-x, 1], x < 0.00125
    ends = Fraction(18, 100) < statement.exact("GAP")
    return [
        claimed(
            "where the distance is stationary, x = z^2/8", place, statement.value("GAP_AT"), "GAP_AT", "z in [4, 5]"
        ),
        claimed("the distance there", value, statement.value("GAP"), "GAP", "z in [4, 5]"),
        certified("no larger one", covered, f"z in [{NEAR}, {FAR}]", detail=str(above[0]) if above else ""),
        certified(
            "the distance is below 0.18 outside", ends, "z < 0.1: both in [1-x, 1]; z > 12: sqrt(2)/z + 8/(8+z^2)"
        ),
    ]


def variance(statement: Statement) -> list[Evidence]:
    """The ratio of gains to ridge's."""
    found = supremum(lambda z: (1 - residual(z)) * (1 + effective(z)) / effective(z), NEAR, FAR, "1e-15")
    # z < 0.1: 1-r <= x, so at most 1+x; z > 12: (1 + sqrt(2)/12)(1 + 8/144) < 1.2
    return [
        claimed(
            "VARIANCE = sup of the ratio of gains",
            found and found[0],
            statement.value("VARIANCE"),
            "VARIANCE",
            "z in [0.1, 12]",
        ),
        certified(
            "it is below 1.2 outside", Fraction(12, 10) < statement.exact("VARIANCE"), "z < 0.1 and z > 12 (elementary)"
        ),
    ]


def qualification(statement: Statement) -> list[Evidence]:
    """2 sup |u|: the first peak is the highest, and later ones do not die out."""
    at = root(lambda z: bessel(1, z) / (2 * z) + (bessel(0, z) - bessel(2, z)) / 2, "2", "3", "1e-30", unique=True)
    with precision(160):
        value = bracket(2 * at.ball().sqrt() * bessel(1, at.ball()), digits=28) if at else None
    found = supremum(lambda z: 2 * z.sqrt() * bessel(1, z), NEAR, 3)
    covered = found[0].contains(statement.value("PEAK")) if found else None
    positive = bounded(lambda z: bessel(1, z), NEAR, 3, below=0)
    alive = None
    if at:
        with precision():
            z = at.ball()
            alive = bool((1 - ball("3/4") / (z * z)) * (z.sqrt() * bessel(1, z)) ** 2 > ball("1/2"))
    return [
        claimed(
            "2|u| at its first peak", value, statement.value("PEAK"), "PEAK", "the only stationary point in [2, 3]"
        ),
        certified("the highest on [0.1, 3], where J_1 > 0", covered and positive.holds, "z in [0.1, 3]"),
        certified("p u^2 > 1/2 at the first peak, so u^2 > 1/2 at every later one", alive, "Sonine's rising function"),
    ]


def check(statement: Statement) -> Sequence[Evidence]:
    parts = (equations, minimum, gap, variance, qualification)
    return [*sonine(), *(evidence for part in parts for evidence in part(statement))]


THEOREM = Theorem(
    id="nesterov-flow",
    catalogue="T4.3",
    title="Nesterov's flow stops like ridge with 8/t^2, overshoots by up to 13.23%, and has no bias bound against it",
    statement=r"r=\frac{2J_1(z)}z,\ z=t\sqrt s,\ x=\tfrac{z^2}8:\quad \min r=r(j_{2,1}),\quad "
    r"\sup\Big|r-\frac1{1+x}\Big|=\mathrm{GAP},\quad \frac{(1-r)(1+x)}x\le V,\quad \sup|r|(1+x)=\infty,\quad "
    r"\sup_zz^{2q}|r|<\infty\iff0\le q\le\tfrac34",
    source="ODE: Su, Boyd and Candes 2014; early stopping: Pagliana and Rosasco, NeurIPS 2019, arXiv 1905.13000; "
    "constants not found in the literature",
    bound="tight",
    proof="Insert the Bessel recurrences. Extremes of r are zeros of J_2; |r| <= sqrt(2)/z beyond 12. With u = "
    "sqrt(z) J_1 and p = 1-3/(4z^2) increasing, u^2+u'^2/p falls, so |u| never exceeds its first peak; p u^2 + u'^2 "
    "rises, so at every later peak u^2 > 1/2, and there are infinitely many (p >= 1/4: Sturm). Hence z^{2q}|r| = 2 "
    "z^{2q-3/2}|u| is bounded iff 0 <= q <= 3/4 (r -> 1 at 0), and |r|(1+z^2/8) is not bounded.",
    check=check,
    near_miss=Move("MIN_RESIDUAL", "1e-6"),
    witness=lambda: Witness("s = 1", {}),
    constants={
        "DAMPING": "3",
        "FLAT": "8",
        "MIN_RESIDUAL": "-0.132279487396100031736846149",
        "MIN_AT": "5.135622301840682556301402",
        "GAP": "0.386047622185489814026449962",
        "GAP_AT": "2.588962926215529935",
        "VARIANCE": "1.55025954678764",
        "PEAK": "1.650061791174702772489399",
        "QUALIFICATION": "3/4",
    },
)
