r"""How far early stopping and the ridge it is said to be are apart, at most (catalogue T1.4).

Statement: H = H' >= 0 with largest eigenvalue L, \varepsilon L <= 1, ridge of penalty a = 1/(\varepsilon k) centred
    at w_0. Then 0 <= ridge residual - descent residual <= D_k in every eigendirection, so ||w_k - \tilde w_a|| <= D_k
    ||w* - w_0||, D_k = sup_{[0,1]} 1/(1+ku) - (1-u)^k; for gradient flow with a = 1/t the constant is A1. All are
    sharp; D_1 = 1/2, D_2 = (3\sqrt3)/2 - 9/4, D_3 = 8/27, and D_k decreases to A1.
Assumptions: H >= 0 and symmetric; \varepsilon L <= 1; a = 1/(\varepsilon k); ridge centred at w_0.
Source: not found in the literature as sharp constants.
Bound: tight.
Proof: Bernoulli's inequality gives the sign; the suprema by stationarity (e^x = (1+x)^2 for the flow) and balls with
    the tail 1/(1+x); (1-x/k)^k increases in k by the inequality of the means, so D_k decreases.
Evidence: SymPy for D_1, D_2, D_3 and the order; balls for A1 and D_k on the whole domain; exact rational instances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import sympy
from flint import fmpq, fmpq_mat

from unilth.theory.balls import precision
from unilth.theory.certify import bounded, bracket, certified, claimed, root, supremum
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import identity, rational
from unilth.theory.theorems.quadratic.rational_descent import (
    Descent,
    descent,
    is_psd,
    is_symmetric,
    squared_norm,
    steps_positive,
    steps_up_to_one,
)
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

TAIL = 60


@dataclass(frozen=True, eq=False)
class Pair:
    """A descent with one step size and a ridge to compare it with."""

    descent: Descent
    penalty: fmpq
    centred: bool

    def __str__(self) -> str:
        return f"{self.descent}; ridge with penalty {self.penalty} centred at {'w0' if self.centred else '0'}"

    @property
    def steps(self) -> int:
        return len(self.descent.steps)

    def ridge(self) -> fmpq_mat:
        """argmin L + a/2 ||w - centre||^2, from the first-order condition."""
        d = self.descent
        centre = d.start if self.centred else d.start * fmpq(0)
        shifted = d.curvature + identity(d.hessian.nrows()) * self.penalty
        return shifted.inv() * (d.curvature * d.minimiser + centre * self.penalty)


def pair(
    name: str, hessian: list[list[Any]], minimiser: list[Any], start: list[Any], step: str, steps: int, **other: Any
) -> Pair:
    d = descent(name, hessian, minimiser, start, [step] * steps)
    return Pair(d, other.get("penalty", 1 / (rational(step) * steps)), other.get("centred", True))


INSTANCES = (
    pair("the worst case of one step", [[1, 0], [0, 0]], [2, 1], [0, 1], "1", 1),
    pair("the worst case of three steps", [["2/3"]], [3], [1], "1", 3),
    pair("near the worst case of two steps", [["433/500"]], [1], [0], "1", 2),
    pair("coupled and singular", [[1, 1, 0], [1, 1, 0], [0, 0, 2]], [3, 1, -1], [1, -2, "1/2"], "1/2", 3),
    pair("coupled", [[2, 1], [1, 2]], [1, -2], [0, 0], "1/4", 2),
    pair("a step of 2/L", [[1]], [1], [0], "2", 1),
    pair("a negative curvature", [["-3/4"]], [1], [0], "1", 1),
    pair("a negative step", [["3/4"]], [1], [0], "-1", 1),
    pair("H not symmetric", [[1, 1], ["-3", 1]], [1, 1], [0, 0], "1/2", 1),
    pair("another penalty", [[1]], [1], [0], "1", 1, penalty=fmpq(9)),
    pair("ridge centred at 0", [["1/2"]], [1], [1], "1", 3, centred=False),
)
HYPOTHESES: dict[str, Callable[[Pair], bool]] = {
    "psd": lambda p: is_symmetric(p.descent) and is_psd(p.descent),
    "stable": lambda p: steps_positive(p.descent) and steps_up_to_one(p.descent),
    "penalty": lambda p: p.penalty == 1 / (p.descent.steps[0] * p.steps),
    "centre": lambda p: p.centred,
}


def on_instance(p: Pair, statement: Statement) -> Verdict:
    """Both points exactly; their distance against the claimed D_k."""
    d = p.descent
    end = d.iterates()[-1]
    apart = squared_norm(end - p.ridge())
    allowed = rational(statement.exact(f"D{p.steps}")) ** 2 * squared_norm(d.minimiser - d.start)
    return apart <= allowed, f"squared distance {apart}, allowed {allowed}"


def gap(k: int) -> Callable[[Any], Any]:
    """1/(1+ku) - (1-u)^k."""
    return lambda u: 1 / (1 + k * u) - (1 - u) ** k


def flow_gap(x: Any) -> Any:
    return 1 / (1 + x) - (-x).exp()


def exact_suprema(statement: Statement) -> list[Evidence]:
    """D_1, D_2, D_3 in closed form: the distance to the supremum is a square times something that is not negative."""
    u = sympy.symbols("u", nonnegative=True)
    # D_k - gap_k, with the point where it vanishes and what is left after the square is divided out
    peaks = {
        1: (sympy.Rational(1, 2), sympy.Integer(1)),
        2: (3 * sympy.sqrt(3) / 2 - sympy.Rational(9, 4), sympy.sqrt(3) / 2),
    }
    peaks[3] = (sympy.Rational(8, 27), sympy.Rational(2, 3))
    out = []
    for k, (value, at) in peaks.items():
        numerator = sympy.Poly(sympy.expand((value + (1 - u) ** k) * (1 + k * u) - 1), u, extension=True)
        order = 1 if k == 1 else 2
        quotient, remainder = sympy.div(numerator, sympy.Poly((u - at) ** order, u, extension=True))
        # (1-u)(u/2+...) for k = 1, otherwise positive on [0, 1]: no root there and positive at 0
        sign = quotient.eval(0) * (-1 if k == 1 else 1) > 0
        clean = all(not (r.is_real and 0 <= r <= 1) for r in sympy.roots(quotient.as_expr(), u))
        holds = remainder.is_zero and bool(sign) and clean
        scope = "all u in [0, 1] (SymPy)"
        out.append(shown(f"D_{k} = {value}, attained at u = {at}", holds, scope))
        found = supremum(gap(k), 0, 1, "1e-17")
        name = f"D{k}"
        if "/" in statement.value(name):
            exact = sympy.Rational(*statement.exact(name).as_integer_ratio()) == value
            pairs = {name: found[0].pair()} if found else {}
            out.append(
                Evidence(
                    f"{name} = {statement.value(name)}", Level.SYMBOLIC, bool(exact), scope, f"it is {value}", pairs
                )
            )
        else:
            out.append(
                claimed(f"{name} = sup of the gap", found and found[0], statement.value(name), name, "u in [0, 1]")
            )
    return out


@cache
def order() -> tuple[Evidence, ...]:
    """The signs, and D_k decreasing to A1."""
    x = sympy.symbols("x", positive=True)
    k = sympy.symbols("k", positive=True, integer=True)
    mean = sympy.cancel((k * (1 - x / k) + 1) / (k + 1) - (1 - x / (k + 1)))
    # Bernoulli by induction: q <= 1/(1+ku) gives q(1-u) <= (1-u)/(1+ku) <= 1/(1+(k+1)u)
    u = sympy.symbols("u", nonnegative=True)
    bernoulli = sympy.cancel(
        1 / (1 + (k + 1) * u) - (1 - u) / (1 + k * u) - (k + 1) * u**2 / ((1 + k * u) * (1 + (k + 1) * u))
    )
    base = sympy.cancel(1 / (1 + u) - (1 - u) - u**2 / (1 + u))
    corner = sympy.cancel((1 / (1 + k * u) - (1 - u) ** k).subs(u, 1) - 1 / (1 + k))
    scope = "all k, x (SymPy)"
    return (
        shown("(1-u)^k <= 1/(1+ku) on [0, 1]: base and induction step", base == 0 and bernoulli == 0, scope),
        shown("mean of k copies of 1-x/k and one 1 is 1-x/(k+1): (1-x/k)^k increases in k", mean == 0, scope),
        shown("beyond x = k the gap is at most 1/(1+k), the gap at u = 1", corner == 0, scope),
    )


def flow(statement: Statement) -> list[Evidence]:
    """A1: one stationary point, its value in balls; once more by covering [0, 60], and 1/(1+x) beyond."""
    x = sympy.symbols("x", positive=True)
    slope = sympy.diff(1 / (1 + x) - sympy.exp(-x), x)
    stationary = sympy.expand(slope * (1 + x) ** 2 * sympy.exp(x) - ((1 + x) ** 2 - sympy.exp(x)))
    # x - 2 ln(1+x) is 0 at 0, falls up to 1 and rises after: one more zero
    single = sympy.cancel(sympy.diff(x - 2 * sympy.log(1 + x), x) - (x - 1) / (1 + x))
    at = root(lambda y: y.exp() - (1 + y) ** 2, "2", "3", "1e-33", unique=True)
    with precision(160):
        value = bracket(flow_gap(at.ball()), digits=32) if at else None
    found = supremum(flow_gap, 0, TAIL)
    covered = found[0].contains(statement.value("A1")) if found else None
    below = Fraction(1, 1 + TAIL) < statement.exact("A1")
    return [
        shown("the gap is stationary where e^x = (1+x)^2", sympy.simplify(stationary) == 0, "all x > 0 (SymPy)"),
        shown("which has one root x > 0", single == 0, "slope of x - 2 ln(1+x) (SymPy)"),
        claimed("the stationary point", at, statement.value("A1_AT"), "A1_AT", "the only root in [2, 3]"),
        claimed("A1 is the gap there", value, statement.value("A1"), "A1", "the stationary point"),
        certified("no larger gap", covered, f"x in [0, {TAIL}]", detail=str(found[0]) if found else ""),
        certified(f"beyond {TAIL} the gap is below 1/(1+x) < A1", below, f"x > {TAIL} (elementary)"),
    ]


def decrease() -> list[Evidence]:
    """D_k for the first k, each above the next and above A1."""
    found = [supremum(gap(k), 0, 1, "1e-10") for k in range(1, 9)]
    brackets = [b[0] for b in found if b]
    ordered = all(Fraction(a.lower) > Fraction(b.upper) for a, b in pairwise(brackets))
    above = bounded(lambda x: gap(8)(x / 8) - flow_gap(x), "1/100", 8, below=0)
    holds = len(brackets) == 8 and ordered
    return [
        certified("D_1 > D_2 > ... > D_8", holds, "k = 1 ... 8"),
        certified("descent lags behind flow: gap_8 >= gap of the flow", above, "x in [0.01, 8]"),
    ]


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *order(),
        *exact_suprema(statement),
        *flow(statement),
        *decrease(),
        judged("the distance on instances", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="uniform-gap",
    catalogue="T1.4",
    title="Early stopping and ridge with a = 1/(eps k) differ by at most D_k, flow and ridge by less than 0.2037",
    statement=r"0\le\tfrac1{1+ku}-(1-u)^k\le D_k,\quad \|w_k-\tilde w_{1/(\varepsilon k)}\|\le D_k\|w^*-w_0\|;\quad "
    r"\|w(t)-\tilde w_{1/t}\|\le A_1\|w^*-w_0\|\quad\text{(sharp)},\quad D_k\downarrow A_1",
    source="not found in the literature as sharp constants",
    bound="tight",
    proof="In an eigendirection both points are w* plus residual times (w0-w*), so the distance is at most the "
    "largest gap of residuals, attained by w*-w0 along it. Bernoulli: the gap is not negative. For k = 1, 2, 3 the "
    "constant minus the gap is a square times something positive. (1-x/k)^k increases in k (means), so at equal x "
    "the gap decreases, to that of the flow at a distance of at most 1/(ek) (Euler ladder); beyond x = k it is below "
    "1/(1+k), which D_k is not.",
    check=check,
    near_miss=Drop("centre"),
    witness=lambda: witnessed(INSTANCES[3], HYPOTHESES),
    assumptions={
        "psd": "H = H' >= 0",
        "stable": "0 < eps L <= 1",
        "penalty": "a = 1/(eps k)",
        "centre": "the ridge is centred at w0",
    },
    constants={
        "A1": "0.203632188794536875069646430526",
        "A1_AT": "2.512862417252339353965475",
        "D1": "1/2",
        "D2": "0.348076211353316",
        "D3": "8/27",
    },
    depends_on=("euler-ladder",),
)
