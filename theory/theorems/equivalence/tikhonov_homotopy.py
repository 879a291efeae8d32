r"""Iterated Tikhonov leads from ridge to early stopping: less bias, more variance with every iteration (catalogue
T2.3).

Statement: the residual (1+x/k)^{-k}, x = st, penalty k/t each time, is ridge's for k = 1, tends to e^{-x} as k grows,
    and decreases strictly in k at every x > 0: squared bias decreases and variance increases strictly. Its
    qualification is k: sup_x x^q (1+x/k)^{-k} is finite iff 0 <= q <= k.
Assumptions: s > 0 and t > 0.
Source: Engl, Hanke and Neubauer 1996 (iterated Tikhonov and its qualification); the homotopy: folklore.
Bound: identity.
Proof: d/dk of -k ln(1+x/k) is -(ln(1+y) - y/(1+y)) < 0 with y = x/k; x^q r grows like x^{q-k}.
Evidence: SymPy for all k; exact rational instances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import sympy

from unilth.theory.balls import precision
from unilth.theory.certify import ball
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

INSTANCES = tuple(Fraction(x) for x in ("0", "1/1000", "1/3", "1", "5/2", "10", "1000"))
ITERATIONS = range(1, 12)
HYPOTHESES: dict[str, Callable[[Fraction], bool]] = {"positive": lambda x: x > 0}


def on_instance(x: Fraction, statement: Statement) -> Verdict:
    """The residuals from ridge on, exactly; the flow's below them all, in balls."""
    residuals = [(1 + x / k) ** -k for k in ITERATIONS]
    if residuals[0] != 1 / (1 + x):
        return False, "one iteration is not ridge"
    if not all(a > b for a, b in pairwise(residuals)):
        return False, f"residuals {[str(r) for r in residuals[:3]]}... do not decrease strictly at x = {x}"
    with precision():
        return bool((-ball(x)).exp() < ball(residuals[-1])), "the flow's residual is not below"


def check(statement: Statement) -> Sequence[Evidence]:
    x, y, k = sympy.symbols("x y k", positive=True)
    log_residual = -k * sympy.log(1 + x / k)
    slope = sympy.diff(log_residual, k) + sympy.log(1 + y) - y / (1 + y)
    falls = sympy.simplify(slope.subs(x, k * y))
    # ln(1+y) - y/(1+y) is 0 at 0 and has the slope y/(1+y)^2
    positive = sympy.cancel(sympy.diff(sympy.log(1 + y) - y / (1 + y), y) - y / (1 + y) ** 2)
    flow = sympy.limit(log_residual.subs(x, k * y).subs(y, x / k), k, sympy.oo)
    decay = sympy.limit(log_residual / sympy.log(x), x, sympy.oo)
    q = sympy.Rational(*statement.exact("QUALIFICATION").as_integer_ratio()) * k
    growth = sympy.simplify(q + decay)  # x^q r grows like x^growth
    p = sympy.symbols("p", positive=True)
    at_zero = sympy.limit(x**-p * sympy.exp(log_residual), x, 0, "+")
    at_most = sympy.limit((x / (1 + x / k)), x, sympy.oo)  # and rises to k: sup x^k r = k^k
    return [
        shown("d/dk ln residual = -(ln(1+y) - y/(1+y)), y = x/k", falls == 0, "all x, k > 0 (SymPy)"),
        shown("which is negative", positive == 0, "all y > 0 (SymPy)"),
        shown("k to infinity: e^{-x}", flow == -x, "all x (SymPy)"),
        shown("x^q r is bounded up to q = k and not beyond", growth == 0, "growth exponent (SymPy)", f"x^({growth})"),
        shown("q = -p < 0: x^q r is unbounded at 0", at_zero == sympy.oo, "all p, k (SymPy)", f"limit {at_zero}"),
        shown("sup x^k r = k^k", at_most == k, "limit (SymPy)"),
        judged("residuals on instances", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="tikhonov-homotopy",
    catalogue="T2.3",
    title="Iterated Tikhonov leads from ridge to early stopping, bias falling and variance rising all the way",
    statement=r"(1+\tfrac xk)^{-k}:\ k=1\text{ ridge},\ k\to\infty\ e^{-x},\ \text{strictly decreasing in }k;\quad "
    r"\sup_xx^q(1+\tfrac xk)^{-k}<\infty\iff0\le q\le k",
    source="Engl, Hanke and Neubauer 1996 (qualification); homotopy folklore",
    bound="identity",
    proof="The logarithm of the residual has the derivative -(ln(1+y) - y/(1+y)) in k, y = x/k, negative for y > 0. "
    "A smaller residual in [0, 1] has less squared bias b r^2 and more variance v (1-r)^2. ln r / ln x tends to -k,"
    " and r to 1 as x -> 0.",
    check=check,
    near_miss=Drop("positive"),
    witness=lambda: witnessed(INSTANCES[3], HYPOTHESES),
    assumptions={"positive": "s t > 0"},
    constants={"QUALIFICATION": "1"},
)
