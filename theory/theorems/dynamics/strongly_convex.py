r"""Flow against ridge under strong convexity, on quadratics (catalogue T4.5).

Statement: H = H' with spectrum in [m, M], c = 2m/(M+m), \nu(t) = (e^{cMt}-1)/(cm). Then for every start and t > 0
    ||\theta(t) - argmin(f + ||.-\theta_0||^2/(2\nu))|| <= (||\nabla f(\theta_0)||/m)(e^{-mt} + c/(1-e^{cMt}-c)),
    attained along the eigenvalue m. For m = M the bound is 0: flow and ridge coincide.
Assumptions: every eigenvalue at least m; at most M.
Source: Suggala, Prasad and Ravikumar, NeurIPS 2018, theorem 1, for m-strongly convex and M-smooth f (its constants are
    quoted from memory in the catalogue); the proof for quadratics here: not found in the literature.
Bound: tight.
Proof: per eigenvalue \lambda = ym, with E = e^{-mt}, D = 1/E, N = m\nu, E_0 = 1/(1+N), p = cM/m = 2y_M/(1+y_M): the
    distance is h(y) = E^y - 1/(1+yN) and the claim |h(y)| <= y h(1).
    (i) h(y) <= y h(1): yE - E^y increases in E <= 1 and E >= E_0, so it is at least yE_0 - E_0^y >= yE_0 - 1/(1+yN)
    (Bernoulli). (ii) -h(y) <= y h(1): 1+yN >= D^p and 1+N >= D^p, so 1/(1+yN) + y/(1+N) <= (1+y) D^{-p}
    <= (1+y) D^{-2y/(1+y)} <= D^{-y} + y D^{-1}, since 2y/(1+y) <= p and D^{-x} is convex.
Evidence: SymPy for every step; balls on instances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import sympy
from flint import arb

from unilth.theory.balls import precision
from unilth.theory.certify import ball
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

TIMES = tuple(Fraction(x) for x in ("1/20", "1/3", "1", "5/2", "8"))


@dataclass(frozen=True)
class Setting:
    """m, M, eigenvalues and the start's distance to the minimiser along each."""

    name: str
    least: Fraction
    most: Fraction
    eigenvalues: tuple[Fraction, ...]
    distances: tuple[Fraction, ...]

    def __str__(self) -> str:
        s, d = ([str(x) for x in values] for values in (self.eigenvalues, self.distances))
        return f"{self.name}: m = {self.least}, M = {self.most}, eigenvalues {s}, distances {d}"


def setting(name: str, least: str, most: str, eigenvalues: Sequence[str], distances: Sequence[str]) -> Setting:
    values, away = (tuple(map(Fraction, x)) for x in (eigenvalues, distances))
    return Setting(name, Fraction(least), Fraction(most), values, away)


INSTANCES = (
    setting("along a middle eigenvalue", "1", "4", ["1", "5/2", "4"], ["1/5", "1", "0"]),
    setting("three eigenvalues", "1", "4", ["1", "2", "4"], ["1", "-2", "1/3"]),
    setting("stiff only", "1/2", "20", ["20"], ["1"]),
    setting("one eigenvalue in the middle", "1", "9", ["3"], ["2"]),
    setting("softer than m", "1", "1", ["1/2"], ["1"]),
    setting("stiffer than M", "1", "1", ["3"], ["1"]),
)
HYPOTHESES: dict[str, Callable[[Setting], bool]] = {
    "strongly-convex": lambda x: all(s >= x.least for s in x.eigenvalues),
    "smooth": lambda x: all(s <= x.most for s in x.eigenvalues),
}


def on_instance(x: Setting, statement: Statement) -> Verdict:
    """Squared distance and squared bound in balls at several times."""
    c = statement.exact("C") * x.least / (x.most + x.least)
    decided = True
    with precision():
        for t in TIMES:
            rise = (ball(c * x.most * t)).exp()
            nu = (rise - 1) / ball(c * x.least)
            slope = sum(((s * d) ** 2 for s, d in zip(x.eigenvalues, x.distances, strict=True)), Fraction(0))
            bound = (-ball(x.least * t)).exp() + ball(c) / (1 - rise - ball(c))
            apart = arb(0)
            for s, d in zip(x.eigenvalues, x.distances, strict=True):
                apart += ((-ball(s * t)).exp() - 1 / (1 + ball(s) * nu)) ** 2 * ball(d * d)
            allowed = ball(slope / x.least**2) * bound**2
            if bound < 0 or apart > allowed:
                return False, f"at t = {t}: squared distance {apart.str(10)}, squared bound {allowed.str(10)}"
            decided = decided and bool(apart < allowed)
    return True if decided else None, "balls too wide"


def of_constant(statement: Statement) -> list[Evidence]:
    """What depends on the 2 in c = 2m/(M+m)."""
    m, M, y, k, X, rise = sympy.symbols("m M y kappa X R", positive=True)  # X = e^{mt}, R = e^{cMt}
    share = sympy.Rational(*statement.exact("C").as_integer_ratio())
    c = share * m / (M + m)
    attained = sympy.cancel(-1 / (1 + m * (rise - 1) / (c * m)) - c / (1 - rise - c))
    half = share / 2
    equal = 1 / X + half / (1 - X**half - half)
    exponents = sympy.cancel(share * k / (1 + k) - 2 * y / (1 + y) - 2 * (k - y) / ((1 + k) * (1 + y)))
    return [
        shown("along the eigenvalue m the distance is the bound", attained == 0, "all m, M, t (SymPy)"),
        shown("for m = M the bound is 0", equal == 0, "all m, t (SymPy)", f"it is {equal}"),
        shown("2y/(1+y) <= p for y <= kappa", exponents == 0, "all y, kappa (SymPy)", f"residual {exponents}"),
    ]


@cache
def steps() -> tuple[Evidence, ...]:
    """The elementary inequalities of the proof."""
    y, N, D, E, P, c = sympy.symbols("y N D E P c", positive=True)
    rising = sympy.simplify(sympy.diff(y * E - E**y, E) - y * (1 - E ** (y - 1)))
    bernoulli = sympy.simplify(sympy.diff((1 + N) ** y - 1 - y * N, N) - y * ((1 + N) ** (y - 1) - 1))
    # with D^p = P: 1 + yN = P + (y/c - 1)(P - 1), and y >= 1 >= c
    lower = sympy.cancel(1 + y * (P - 1) / c - (P + (y / c - 1) * (P - 1)))
    mean = sympy.cancel((y + y * 1) / (1 + y) - 2 * y / (1 + y))  # weights 1 and y on the exponents y and 1
    convex = sympy.simplify(sympy.diff(D**-y, y, 2) - sympy.log(D) ** 2 * D**-y)
    return (
        shown("yE - E^y increases in E < 1 for y >= 1", rising == 0, "slope y(1-E^{y-1}) (SymPy)"),
        shown("(1+N)^y >= 1+yN for y >= 1", bernoulli == 0, "slope y((1+N)^{y-1}-1), 0 at N = 0 (SymPy)"),
        shown("1+yN = D^p + (y/c-1)(D^p-1) >= D^p for y >= 1 >= c", lower == 0, "all y, c (SymPy)"),
        shown("2y/(1+y) is the mean of the exponents y and 1 with weights 1 and y", mean == 0, "all y (SymPy)"),
        shown("D^{-x} is convex in x", convex == 0, "all D (SymPy)"),
    )


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *of_constant(statement),
        *steps(),
        judged("distance and bound", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="strongly-convex-flow",
    catalogue="T4.5",
    title="Under strong convexity flow stays within Suggala's bound of ridge; on quadratics it is attained",
    statement=r"\mathrm{spec}(H)\subset[m,M],\ c=\tfrac{2m}{M+m},\ \nu=\tfrac{e^{cMt}-1}{cm}:\quad "
    r"\Big\|\theta(t)-\arg\min\big(f+\tfrac{\|\cdot-\theta_0\|^2}{2\nu}\big)\Big\|\le\frac{\|\nabla f(\theta_0)\|}m"
    r"\Big(e^{-mt}+\frac c{1-e^{cMt}-c}\Big)",
    source="Suggala, Prasad and Ravikumar, NeurIPS 2018, theorem 1 (general f, constants from memory, not proved "
    "here); the proof for quadratics not found in the literature",
    bound="tight",
    proof="Per eigenvalue ym, h(y) = E^y - 1/(1+yN) with E = e^{-mt} = 1/D >= E0 = 1/(1+N). (i) yE - E^y increases "
    "in E, so it is at least yE0 - E0^y >= yE0 - 1/(1+yN) by Bernoulli: h(y) <= y h(1). (ii) 1+yN and 1+N are at "
    "least D^p, p = cM/m, and (1+y)D^{-p} <= (1+y)D^{-2y/(1+y)} <= D^{-y} + yD^{-1} (2y/(1+y) <= p; convexity): "
    "-h(y) <= y h(1). Sum the squares.",
    check=check,
    near_miss=Drop("smooth"),
    witness=lambda: witnessed(INSTANCES[1], HYPOTHESES),
    assumptions={"strongly-convex": "every eigenvalue is at least m", "smooth": "every eigenvalue is at most M"},
    constants={"C": "2"},
)
