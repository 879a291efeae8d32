r"""The best fixed calibration: stop at 0.579/lambda, not at 1/lambda (catalogue T3.6).

Statement: for lambda = c/t, 0 < c < 1, the supremum over all problems of Risk(GF(t))/Risk(ridge(c/t)) is max{B(c),
    V(c)}, B(c) = e^{-2(1-c)}/c^2, V(c) = sup_x ((1-e^{-x})(x+c)/x)^2; both are attained. Its minimum over c is KC =
    1.2851897214 at c* = 0.5789994858. Under an isotropic prior the best fixed stopping time is C_BAYES/lambda* =
    0.4571096619/lambda*, and costs KBC = 1.0785828275.
Assumptions: the ridge penalty is c*/t; the eigenvalues are >= 0.
Source: not found in the literature.
Bound: tight.
Proof: the bias ratio e^{-x}(x+c)/c is largest at x = 1-c. The variance ratio is stationary where e^x = 1+x+x^2/c,
    that is c = x^2/(e^x-1-x), which decreases in x, so each c has one x. B decreases and V increases in c, so where
    they are equal the larger is least (c >= 1 is worse: V(1) = K already). Isotropic: the ratio is 1 + h^2/x, h =
    (1+x)e^{-cx} - 1, and h decreases in c at each x: one point with h > 0 and one with h < 0 bound the minimum from
    below, the supremum at C_BAYES from above.
Evidence: symbolic stationarity and monotonicity; root and suprema certified; tails elementary.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from unilth.theory.balls import Bracket, agrees, bracket, precision
from unilth.theory.certify import ball, certified, claimed, monotone, root, supremum
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem, Witness
from unilth.theory.verdicts import judged, shown

PEAK, DIP = "0.68029831023046350194", "9.78906065734884319188"  # where h^2/x is largest with h > 0, with h < 0
# (calibration lambda t, x = s t, noise): pure bias or pure variance of one direction
INSTANCES = (
    ("0.578999485798", "0.421000514202", "0"),
    ("0.578999485798", "2.5", "1"),
    ("1", "1.793282132900761", "1"),  # the usual lambda = 1/t
    ("0.578999485798", "-3", "0"),  # s < 0
)
HYPOTHESES = {
    "calibrated": lambda p: p[0] == "0.578999485798",
    "psd": lambda p: Fraction(p[1]) >= 0,
}


def curvature(x: Any) -> Any:
    """The c whose variance ratio is stationary at x."""
    return x * x / (x.exp() - 1 - x)


def balance(x: Any) -> Any:
    """Square roots of V(c) minus of B(c) at c = curvature(x): zero at c*."""
    c = curvature(x)
    return (1 - (-x).exp()) * (x + c) / x - (c - 1).exp() / c


def steps() -> list[Evidence]:
    x, c = sp.symbols("x c", positive=True)
    bias = sp.log(sp.exp(-x) * (x + c) / c)
    peak = sp.simplify(sp.diff(bias, x).subs(x, 1 - c)) == 0 and sp.simplify(sp.diff(bias, x, 2) + (x + c) ** -2) == 0
    ratio = (1 - sp.exp(-x)) * (x + c) / x
    stationary = sp.expand(sp.diff(ratio, x) * x**2 * sp.exp(x) - (x**2 + c * x + c - c * sp.exp(x)))
    falling = sp.simplify(sp.diff(sp.log(sp.exp(-2 * (1 - c)) / c**2), c) - (2 - 2 / c)) == 0
    rising = sp.simplify(sp.diff(ratio, c) - (1 - sp.exp(-x)) / x) == 0
    # d/dx log c(x) = 2/x - (e^x-1)/(e^x-1-x) < 0 iff x(e^x-1) > 2(e^x-1-x): coefficients of x^k/k!: k - 2 >= 0, k >= 2
    slope = sp.simplify(
        sp.diff(sp.log(x**2 / (sp.exp(x) - 1 - x)), x) - (2 / x - (sp.exp(x) - 1) / (sp.exp(x) - 1 - x))
    )
    h = sp.simplify(sp.diff((1 + x) * sp.exp(-c * x) - 1, c) + x * (1 + x) * sp.exp(-c * x))
    return [
        shown("the bias ratio is log-concave with its maximum at x = 1-c", peak, "all c, x > 0 (SymPy)"),
        shown("the variance ratio is stationary iff c = x^2/(e^x-1-x)", stationary == 0, "all c, x > 0 (SymPy)"),
        shown("that c decreases in x", slope == 0, "x(e^x-1) - 2(e^x-1-x) = sum (k-2) x^k/k! over k >= 3"),
        shown("B decreases and V increases in c", falling and rising, "0 < c < 1 (SymPy)"),
        shown("h decreases in c", h == 0, "all c, x > 0 (SymPy)"),
    ]


def all_problems(statement: Statement) -> list[Evidence]:
    """c* and KC from the root of `balance`, the only one because c(x) and both ratios are monotone."""
    at = root(balance, 2, 5, "1e-24")
    falling = monotone(curvature, 2, 5, "decreasing")
    if at is None:
        return [Evidence("where B = V", Level.CERTIFIED, None, "x in [2, 5]", "no certified root")]
    with precision():
        x = at.ball()
        c = curvature(x)
        value = ((1 - (-x).exp()) * (x + c) / x) ** 2
        best, worst = bracket(c), bracket(value)
    return [
        certified("c(x) decreases", falling, "x in [2, 5]"),
        claimed("where B = V", best, statement.value("CSTAR"), "CSTAR", "the only c in (0, 1)"),
        claimed("the value there", worst, statement.value("KC"), "KC", "all problems"),
    ]


def isotropic(statement: Statement) -> list[Evidence]:
    """KBC: the supremum at C_BAYES from above, two points from below."""
    claim = statement.value("KBC")
    with precision():
        c = ball(statement.exact("C_BAYES"))

        def ratio(x: Any) -> Any:
            h = (1 + x) * (-c * x).exp() - 1
            return 1 + h * h / x

        top = supremum(ratio, "1/100", 100, "1e-13")
        signs = [(1 + ball(x)) * (-c * ball(x)).exp() - 1 for x in (PEAK, DIP)]
        bounds = [ratio(ball(x)) for x in (PEAK, DIP)]
        lower = min((bracket(b) for b in bounds), key=lambda b: Fraction(b.lower))
        opposite = bool(signs[0] > 0) and bool(signs[1] < 0)
    # |h| <= x max(1, ...): (1+x)e^{-cx} - 1 is at most x and at least -1, so the excess is <= x and <= max(h^2)/x
    value = Fraction(claim)
    tails = 1 + Fraction(1, 100) < value and 1 + Fraction(1, 100) < value
    evidence = [
        claimed(
            "isotropic: the worst x at C_BAYES", top and top[0], claim, "KBC", "x in [1/100, 100], tails elementary"
        ),
        certified("isotropic: no calibration is better", opposite and agrees(lower, claim), "two points, all c"),
        shown("isotropic: the tails stay below", tails, "-1 <= h <= x, and h <= 0 beyond 100: excess <= x, <= 1/x"),
    ]
    if top is not None and Fraction(lower.lower) <= Fraction(top[0].upper):
        both = Bracket(lower.lower, top[0].upper)
        evidence.append(claimed("isotropic: both sides together", both, claim, "KBC", "all calibrations"))
    return evidence


def on_instance(problem: tuple[str, ...], statement: Statement) -> tuple[bool | None, str]:
    """Whether one direction's risk ratio is at most KC."""
    with precision():
        c, x = ball(problem[0]), ball(problem[1])
        if problem[2] == "1":
            ratio = ((1 - (-x).exp()) * (x + c) / x) ** 2
        else:
            ratio = ((-x).exp() * (x + c) / c) ** 2
        limit = ball(statement.exact("KC") + Fraction(1, 10**9))
        return (True if ratio <= limit else False if ratio > limit else None), f"ratio {ratio.str(12)}"


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *steps(),
        *all_problems(statement),
        *isotropic(statement),
        judged("the ratio of single directions", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="best-calibration",
    catalogue="T3.6",
    title="The best fixed calibration is t = 0.579/lambda (1.2852), isotropic t = 0.4571/lambda* (1.0786)",
    statement=r"\min_c\sup\frac{\mathrm{Risk}(\mathrm{GF}(t))}{\mathrm{Risk}(\mathrm{ridge}(c/t))}=\min_c\max\Big\{"
    r"\frac{e^{-2(1-c)}}{c^2},\sup_x\Big(\frac{(1-e^{-x})(x+c)}{x}\Big)^2\Big\}=K_C=1.28518\ldots\text{ at "
    r"}c^*=0.57899\ldots;"
    r"\quad\text{isotropic: }K_{BC}=1.07858\ldots",
    source="not found in the literature",
    bound="tight",
    proof="The bias part falls and the variance part rises in c, so their crossing is the minimum; stationarity e^x = "
    "1+x+x^2/c makes the crossing a root in x. Isotropic: 1 + ((1+x)e^{-cx}-1)^2/x, whose positive and negative "
    "parts move "
    "in opposite directions with c.",
    check=check,
    near_miss=Move("KC", "1e-6"),
    witness=lambda: Witness(
        "one eigenvalue, pure signal", {name: test(INSTANCES[0]) for name, test in HYPOTHESES.items()}
    ),
    assumptions={"calibrated": "the ridge penalty is c*/t", "psd": "the eigenvalues s_i are >= 0"},
    constants={
        "KC": "1.285189721433",
        "CSTAR": "0.578999485798",
        "KBC": "1.078582827462",
        "C_BAYES": "0.457109661894306715593",
    },
)
