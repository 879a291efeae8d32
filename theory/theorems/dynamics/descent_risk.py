r"""The risk of k descent steps against ridge: twice at worst after one step, AKT's constant in the limit (catalogue
T4.1).

Statement: 0 <= \varepsilon s <= 1 and a = 1/(\varepsilon k): Risk(GD_k) <= C_k^2 Risk(ridge(a)) for every problem,
    C_k = sup_{(0,1]} (1-(1-u)^k)(1+ku)/(ku), sharp: C_1 = 2, C_2 = 25/16, C_3 = 1.4598..., decreasing to K1. For one
    step the best calibration is a = 1/(3\varepsilon), with factor 16/9. With \varepsilon s in (1, 2) allowed no
    factor holds for all k: the bias ratio tends to (1+2k)^2.
Assumptions: \varepsilon s <= 1; a = 1/(\varepsilon k).
Source: remark in Ali, Kolter and Tibshirani 2019, arXiv 1810.10082; the constants not found in the literature.
Bound: tight.
Proof: termwise. Bias: (1-u)^k <= 1/(1+ku) (Bernoulli). Variance: the ratio of gains is at most C_k. 1-(1-x/k)^k
    decreases in k, so C_k does.
Evidence: SymPy for C_1, C_2, C_3 and 16/9; balls for C_3 and K1; exact rational problems.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import sympy

from unilth.theory.balls import precision
from unilth.theory.certify import bracket, certified, claimed, root, supremum
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed


@dataclass(frozen=True)
class Problem:
    """Eigenvalues s, signals b, noise sigma^2/n, k steps of size 1, and a ridge penalty."""

    name: str
    eigenvalues: tuple[Fraction, ...]
    signals: tuple[Fraction, ...]
    noise: Fraction
    steps: int
    penalty: Fraction

    def __str__(self) -> str:
        s, b = ([str(x) for x in values] for values in (self.eigenvalues, self.signals))
        return f"{self.name}: s = {s}, b = {b}, noise {self.noise}, {self.steps} steps of 1, penalty {self.penalty}"

    def risk(self, residual: Callable[[Fraction], Fraction]) -> Fraction:
        """Estimation risk; a direction with s = 0 keeps its bias."""
        total = Fraction(0)
        for s, b in zip(self.eigenvalues, self.signals, strict=True):
            r = residual(s)
            total += b * r**2 + (self.noise / s * (1 - r) ** 2 if s else 0)
        return total


def problem(name: str, s: Sequence[str], b: Sequence[str], noise: str, steps: int, penalty: str = "") -> Problem:
    a = Fraction(penalty) if penalty else Fraction(1, steps)
    return Problem(name, tuple(map(Fraction, s)), tuple(map(Fraction, b)), Fraction(noise), steps, a)


INSTANCES = (
    problem("pure noise, one step, the worst case", ["1"], ["0"], "1", 1),
    problem("pure noise, two steps, the worst case", ["3/4"], ["0"], "1", 2),
    problem("signal and noise", ["0", "1/10", "1/2", "1"], ["1", "4", "1/3", "2"], "1/5", 2),
    problem("three steps", ["1/8", "6/11", "1"], ["1", "0", "2"], "1", 3),
    problem("unstable", ["19/10"], ["1"], "0", 2),
    problem("another penalty", ["1/10"], ["1"], "0", 1, "1/1000"),
)
HYPOTHESES: dict[str, Callable[[Problem], bool]] = {
    "stable": lambda p: all(0 <= s <= 1 for s in p.eigenvalues),
    "penalty": lambda p: p.penalty == Fraction(1, p.steps),
}


def on_instance(p: Problem, statement: Statement) -> Verdict:
    """Both risks exactly, against the claimed C_k."""
    descent = p.risk(lambda s: (1 - s) ** p.steps)
    ridge = p.risk(lambda s: p.penalty / (s + p.penalty))
    factor = statement.exact(f"C{p.steps}") ** 2
    return descent <= factor * ridge, f"risks {descent} and {ridge}: ratio {float(descent / ridge):.6g}"


def gain_ratio(k: int) -> Callable[[Any], Any]:
    """(1-(1-u)^k)(1+ku)/(ku) with the u divided out, so that u = 0 is no pole."""
    return lambda u: sum(((1 - u) ** j for j in range(1, k)), 1 + 0 * u) * (1 + k * u) / k


def exact_constants(statement: Statement) -> list[Evidence]:
    """C_1, C_2 and the best calibration of one step, each a maximum of a polynomial."""
    u, c = sympy.symbols("u c", positive=True)
    claims = {n: sympy.Rational(*statement.exact(n).as_integer_ratio()) for n in ("C1", "C2", "BEST1", "BEST1_AT")}
    ratio = {k: sympy.cancel((1 - (1 - u) ** k) * (1 + k * u) / (k * u)) for k in (1, 2)}
    first = sympy.expand(2 - ratio[1] - (1 - u))
    second = sympy.expand(sympy.Rational(25, 16) - ratio[2] - (u - sympy.Rational(3, 4)) ** 2)
    # one step, ridge c/eps: variance (u+c)^2 <= (1+c)^2, bias ((1-u)(u+c)/c)^2 <= ((1+c)^2/(4c))^2 at u = (1-c)/2
    bias = sympy.expand((1 + c) ** 2 / 4 - (1 - u) * (u + c) - (u - (1 - c) / 2) ** 2)
    # the first increases in c; the second decreases for c < 1: they balance where 4c = 1+c
    falling = sympy.cancel(sympy.diff((1 + c) ** 2 / (4 * c), c) - (c**2 - 1) / (4 * c**2))
    at = claims["BEST1_AT"]
    balance = (1 + at) ** 2 == claims["BEST1"] and ((1 + at) ** 2 / (4 * at)) ** 2 == claims["BEST1"]
    out = [
        shown(
            "C_1: 2 - ratio = 1-u >= 0", first == 0 and claims["C1"] == 2, "all u (SymPy)", f"claimed {claims['C1']}"
        ),
        shown(
            "C_2: 25/16 - ratio = (u-3/4)^2", second == 0 and claims["C2"] == sympy.Rational(25, 16), "all u (SymPy)"
        ),
        shown(
            "one step, a = c/eps: the bias ratio is at most ((1+c)^2/(4c))^2",
            bias == 0 and falling == 0,
            "all u, c (SymPy)",
        ),
        shown("it balances the variance ratio (1+c)^2 at c = 1/3, with 16/9", balance, "exact rationals"),
    ]
    for k in (1, 2):
        found = supremum(gain_ratio(k), 0, 1, "1e-15")
        if found:
            name = f"C{k}"
            inside = found[0].contains(statement.exact(name))
            pair = {name: found[0].pair()}
            out.append(Evidence(f"{name} by covering", Level.CERTIFIED, inside, "u in [0, 1]", str(found[0]), pair))
    return out


def limits(statement: Statement) -> list[Evidence]:
    """C_3 and K1 in balls, the order of the C_k and the loss of uniformity beyond u = 1."""
    x, u = sympy.symbols("x u", positive=True)
    k = sympy.symbols("k", positive=True, integer=True)
    mean = sympy.cancel((k * (1 - x / k) + 1) / (k + 1) - (1 - x / (k + 1)))
    at_two = sympy.limit((1 - u) ** (2 * k) * (1 + k * u) ** 2, u, 2) - (1 + 2 * k) ** 2
    third = supremum(gain_ratio(3), 0, 1, "1e-17")
    at = root(lambda y: y.exp() - (1 + y + y * y), "3/2", "3", "1e-33", unique=True)
    with precision(160):
        value = bracket((1 + at.ball()) ** 2 / (1 + at.ball() + at.ball() ** 2), digits=32) if at else None
    covered = supremum(lambda y: (1 - (-y).exp()) * (1 + y) / y, "1/10", 10)
    inside = covered[0].contains(statement.value("K1")) if covered else None
    tails = Fraction(11, 10) < statement.exact("K1")
    found = [supremum(gain_ratio(n), 0, 1, "1e-10") for n in range(1, 9)]
    ends = [(Fraction(b[0].lower), Fraction(b[0].upper)) for b in found if b]
    falls = len(ends) == 8 and all(a[0] > b[1] for a, b in pairwise(ends))
    return [
        claimed("C_3", third and third[0], statement.value("C3"), "C3", "u in [0, 1]"),
        claimed("K1 at the root of e^x = 1+x+x^2", value, statement.value("K1"), "K1", "the only root in [1.5, 3]"),
        certified("K1 is the supremum", inside, "x in [0.1, 10]", detail=str(covered[0]) if covered else ""),
        certified("the ratio is below 1+x for x < 0.1 and below 1+1/x for x > 10", tails, "elementary: 1.1 < K1"),
        certified("C_1 > ... > C_8 > K1", falls and ends[-1][0] > statement.exact("K1"), "k = 1 ... 8"),
        shown(
            "mean of k copies of 1-x/k and one 1 is 1-x/(k+1): the gain decreases in k", mean == 0, "all k, x (SymPy)"
        ),
        shown("u to 2: the bias ratio tends to (1+2k)^2", sympy.simplify(at_two) == 0, "all k (SymPy)"),
    ]


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *exact_constants(statement),
        *limits(statement),
        judged("risks on instances", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="descent-risk",
    catalogue="T4.1",
    title="k steps of gradient descent have at most C_k^2 times the risk of ridge with a = 1/(eps k)",
    statement=r"0\le\varepsilon s\le1,\ a=\tfrac1{\varepsilon k}:\quad \mathrm{Risk}(GD_k)\le C_k^2\,"
    r"\mathrm{Risk}(\mathrm{ridge}(a)),\quad C_1=2,\ C_2=\tfrac{25}{16},\ C_k\downarrow K_1;\quad "
    r"k=1,\ a=\tfrac1{3\varepsilon}:\ \tfrac{16}9",
    source="remark in Ali, Kolter and Tibshirani 2019, arXiv 1810.10082; constants not found in the literature",
    bound="tight",
    proof="Bias terms: (1-u)^k <= 1/(1+ku). Variance terms: ratio of gains squared <= C_k^2, attained by pure noise. "
    "At fixed x = ku the gain 1-(1-x/k)^k decreases in k (means), and for x in (k, k+1] the ratio is at most (1+x)/x "
    "<= (1+k)/k, the value of C_k's ratio at u = 1: C_{k+1} <= C_k. For x <= 1/5 the ratio is at most 1+x, beyond "
    "that it exceeds the flow's by at most 6/(ek) (Euler ladder): C_k tends to K1.",
    check=check,
    near_miss=Drop("stable"),
    witness=lambda: witnessed(INSTANCES[2], HYPOTHESES),
    assumptions={"stable": "0 <= eps s <= 1", "penalty": "a = 1/(eps k)"},
    constants={
        "C1": "2",
        "C2": "25/16",
        "C3": "1.4598704433516",
        "K1": "1.298425607525639119484474421064",
        "BEST1": "16/9",
        "BEST1_AT": "1/3",
    },
    depends_on=("euler-ladder",),
)
