r"""Under an isotropic prior stopping at 1/lambda* costs between 1 and 1.2147 times optimal ridge (catalogue T3.4).

Statement: 1 <= Bayes(GF(1/lambda*)) / Bayes(ridge(lambda*)) <= KB = sup_x (1+x)(e^{-2x} + (1-e^{-x})^2/x) =
    1.2146618408, lambda* = sigma^2/(n b) the optimal penalty; hence 1 <= inf_t Bayes(GF) / inf_lambda Bayes(ridge) <=
    KB. The lower side holds for every linear filter in the place of GF.
Assumptions: the prior is isotropic; the stopping time is 1/lambda*.
Source: Ali, Kolter and Tibshirani, AISTATS 2019 (arXiv 1810.10082), Theorem 3, who print 1.2147.
Bound: tight (of the comparison at t = 1/lambda*; for tuned times see T3.7).
Proof: with x = s/lambda* a direction has bias share 1 and variance share 1/x, and ridge(lambda*) is the Wiener filter
    with risk 1/(1+x): any residual r costs r^2 + (1-r)^2/x = 1/(1+x) + (1+x)(r - 1/(1+x))^2/x. The ratio is 1 +
    ((1+x)e^{-x} - 1)^2/x >= 1. |(1+x)e^{-x} - 1| is at most x^2/2 and at most 1, so the excess is at most x^3/4 and
    1/x in the tails; balls in between.
Evidence: symbolic identity, certified supremum.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy as sp

from unilth.theory.balls import precision
from unilth.theory.certify import ball, claimed, supremum
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem, Witness
from unilth.theory.theorems.risk.ratios import bayes
from unilth.theory.verdicts import judged, shown

# (x = s/lambda*, bias share, variance share times x, t lambda*): one direction each
INSTANCES = (
    ("1", "1", "1", "1"),
    ("3.213563520216979", "1", "1", "1"),
    ("1.793282132900761", "0", "1", "1"),  # no signal here although lambda* is that of an isotropic prior
    ("3", "1", "1", "4"),  # stops at 4/lambda*
)
HYPOTHESES = {
    "isotropic": lambda p: p[1] == p[2],
    "calibrated": lambda p: Fraction(p[3]) == 1,
}


def on_instance(problem: tuple[str, ...], statement: Statement) -> tuple[bool | None, str]:
    """Whether one direction's Bayes risk ratio is at most KB."""
    with precision():
        x, b, v, t = (ball(value) for value in problem)
        flow = b * (-2 * t * x).exp() + v / x * (1 - (-t * x).exp()) ** 2
        ridge = b / (1 + x) ** 2 + v / x * (x / (1 + x)) ** 2
        ratio, limit = flow / ridge, ball(statement.exact("KB") + Fraction(1, 10**9))
        return (True if ratio <= limit else False if ratio > limit else None), f"ratio {ratio.str(12)}"


def identities() -> list[Evidence]:
    """The ratio is one plus a square over x; the two elementary bounds of the square's root."""
    x, u, r = sp.symbols("x u r", positive=True)
    excess = (1 + x) / x * (r - 1 / (1 + x)) ** 2
    wiener = sp.simplify(r**2 + (1 - r) ** 2 / x - 1 / (1 + x) - excess) == 0
    ratio = (1 + x) * (sp.exp(-2 * x) + (1 - sp.exp(-x)) ** 2 / x)
    square = 1 + ((1 + x) * sp.exp(-x) - 1) ** 2 / x
    gap = sp.diff(1 - (1 + u) * sp.exp(-u), u) - u * sp.exp(-u)  # 0 <= 1-(1+x)e^{-x} = integral of u e^{-u} <= x^2/2
    return [
        shown(
            "no filter beats ridge(lambda*): the risk is 1/(1+x) plus a square", wiener, "every residual r, all x > 0"
        ),
        shown("ratio = 1 + ((1+x)e^{-x} - 1)^2/x >= 1", sp.expand(ratio - square) == 0, "all x > 0 (SymPy)"),
        shown("1 - (1+x)e^{-x} is the integral of u e^{-u} <= u", sp.expand(gap) == 0, "all x > 0 (SymPy)"),
    ]


def check(statement: Statement) -> Sequence[Evidence]:
    top = supremum(lambda x: bayes(1, x), "1/1000", 1000, "1e-13")
    value = Fraction(statement.value("KB"))
    tails = 1 + Fraction(1, 1000) ** 3 / 4 < value and 1 + Fraction(1, 1000) < value
    return [
        *identities(),
        claimed("the supremum", top and top[0], statement.value("KB"), "KB", "x in [1/1000, 1000], tails elementary"),
        shown("the tails stay below", tails, "excess <= x^3/4 below 1/1000, <= 1/x above 1000"),
        judged("the ratio of single directions", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="isotropic-prior",
    catalogue="T3.4",
    title="Under an isotropic prior stopping at 1/lambda* is within 1.2147 of optimal ridge, which it never beats",
    statement=r"1\le\frac{\mathrm{Bayes}(\mathrm{GF}(1/\lambda^*))}{\mathrm{Bayes}(\mathrm{ridge}(\lambda^*))}\le K_B="
    r"\sup_{x>0}(1+x)\Big(e^{-2x}+\frac{(1-e^{-x})^2}{x}\Big)=1.21466\ldots",
    source="Ali, Kolter and Tibshirani, AISTATS 2019, Theorem 3 (1.2147)",
    bound="tight",
    proof="Per direction the ratio is 1 + ((1+x)e^{-x} - 1)^2/x with x = s/lambda*: ridge(lambda*) is the "
    "Wiener filter. The "
    "excess is at most x^3/4 and at most 1/x, balls settle the rest.",
    check=check,
    near_miss=Move("KB", "-1e-6"),
    witness=lambda: Witness(
        "one eigenvalue s = lambda* = 1", {name: test(INSTANCES[0]) for name, test in HYPOTHESES.items()}
    ),
    assumptions={"isotropic": "every direction has the same prior variance b", "calibrated": "t = 1/lambda*"},
    constants={"KB": "1.214661840835"},
)
