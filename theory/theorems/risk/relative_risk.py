r"""Early stopping at time t is never worse than K = 1.6859... times ridge with penalty 1/t (catalogue T3.1).

Statement: Risk(GF(t)) <= K Risk(ridge(1/t)) for every design, signal, noise and t >= 0, with K = K1^2, K1 = sup_{x>0}
    (1-e^{-x})(1+x)/x; K is attained; K1 bounds the degrees of freedom: df_ridge <= df_GF <= K1 df_ridge; the ratio
    has no positive lower bound. The same for in-sample prediction and for Bayes risk under any prior: the comparison
    is term by term, and these only weigh the terms differently.
Assumptions: the penalty is 1/t; t >= 0; the eigenvalues are >= 0.
Source: Ali, Kolter and Tibshirani, AISTATS 2019 (arXiv 1810.10082), Theorem 1, who print 1.6862, which is 1.2985
    rounded up and squared; the sharp value is not found in the literature.
Bound: tight.
Proof: with x = ts the bias terms compare as e^{-x} <= 1/(1+x) and the variance terms as the squared filter ratio
    f(x)^2, f = (1-e^{-x})(1+x)/x. f <= 1+x since 1-e^{-x} <= x; f <= 1+1/x since 1-e^{-x} <= 1; in between balls. f
    is stationary exactly where e^x = 1+x+x^2. Pure noise and one eigenvalue attain K; pure signal and t -> infinity
    give ratios e^{-2x}(1+x)^2 -> 0. f >= 1 since e^x >= 1+x.
Evidence: symbolic stationarity and termwise bounds (bias and degrees of freedom); the supremum certified on
    [1/1000, 1000], elementary tails.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import sympy as sp
from flint import arb

from unilth.theory.balls import Bracket, precision
from unilth.theory.certify import ball, bounded, bracket, certified, claimed, root, supremum
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem, Witness
from unilth.theory.verdicts import judged, shown

LO, HI = Fraction(1, 1000), Fraction(1000)
# (x = t s, s, noise share of the risk, penalty times t, t): one-eigenvalue problems in and out of scope
INSTANCES = (
    ("1.793282132900761", "1", "1", "1", "1"),
    ("1", "2", "1/2", "1", "1/2"),
    ("3", "1", "0", "1", "3"),
    ("1/10", "1/10", "1", "1", "1"),
    ("1", "1", "1", "4", "1"),  # penalty 4/t
    ("-3", "1", "1/2", "1", "-3"),  # t < 0
    ("-3", "-1", "1/2", "1", "3"),  # s < 0
)
HYPOTHESES = {
    "calibrated": lambda p: Fraction(p[3]) == 1,
    "forward-time": lambda p: Fraction(p[4]) >= 0,
    "psd": lambda p: Fraction(p[1]) >= 0,
}


def ratio(x: Any) -> Any:
    """Filter of gradient flow over filter of ridge(1/t), at x = ts."""
    return (1 - (-x).exp()) * (1 + x) / x


def risk_ratio(problem: tuple[str, ...]) -> arb:
    """Risk(GF(t)) / Risk(ridge(c/t)) of one eigen-direction with the given share of noise."""
    x, noise, c = ball(problem[0]), ball(problem[2]), ball(problem[3])
    flow = (1 - noise) * (-2 * x).exp() + noise * (1 - (-x).exp()) ** 2
    ridge = (1 - noise) * (c / (c + x)) ** 2 + noise * (x / (c + x)) ** 2
    return flow / ridge


def on_instance(problem: tuple[str, ...], statement: Statement) -> tuple[bool | None, str]:
    """Whether the risk ratio of one problem is at most K, one unit of its last digit allowed."""
    unit = Fraction(1, 10 ** len(statement.value("K").partition(".")[2]))
    with precision():
        value, limit = risk_ratio(problem), ball(statement.exact("K") + unit)
        verdict = True if value <= limit else False if value > limit else None
        return verdict, f"risk ratio {value.str(15)}"


def stationarity() -> Evidence:
    """f' = 0 exactly where e^x = 1 + x + x^2."""
    x = sp.Symbol("x", positive=True)
    f = (1 - sp.exp(-x)) * (1 + x) / x
    residual = sp.expand(sp.diff(f, x) * x**2 * sp.exp(x) - (1 + x + x**2 - sp.exp(x)))
    return shown("f is stationary iff e^x = 1 + x + x^2", residual == 0, "all x > 0 (SymPy)", f"residual {residual}")


def termwise() -> list[Evidence]:
    """The bias terms are at most ridge's, and f >= 1 (degrees of freedom): both say 1 + x <= e^x."""
    x, u = sp.symbols("x u", positive=True)
    excess = sp.integrate(sp.exp(u) - 1, (u, 0, x))  # of something positive
    bias = sp.simplify((1 / (1 + x) - sp.exp(-x)) * (1 + x) * sp.exp(x) - excess)
    freedom = sp.expand((((1 - sp.exp(-x)) * (1 + x) / x) - 1) * x * sp.exp(x) - excess)
    reason = "the gap is the integral of e^u - 1 >= 0 over [0, x], times something positive; equal at x = 0"
    return [
        shown("bias: 0 <= e^{-x} <= 1/(1+x)", bias == 0, "all x >= 0 (SymPy)", reason),
        shown("df_ridge <= df_GF: f >= 1", freedom == 0, "all x > 0 (SymPy)", reason),
    ]


def tails(first: str) -> list[Evidence]:
    """f <= 1 + x below 1/1000 and f <= 1 + 1/x above 1000, both below K1."""
    x = sp.Symbol("x", positive=True)
    small = sp.integrate(1 - sp.exp(-x), (x, 0, x))  # x - (1 - e^{-x}), an integral of something positive
    left = sp.simplify(small - (x - 1 + sp.exp(-x))) == 0 and Fraction(first) > 1 + LO
    right = Fraction(first) > 1 + 1 / HI
    return [
        shown("f <= 1 + x < K1 on (0, 1/1000]", bool(left), "1 - e^{-x} <= x, the integral of 1 - e^{-u} >= 0"),
        shown("f <= 1 + 1/x < K1 on [1000, infinity)", right, "1 - e^{-x} <= 1"),
    ]


def check(statement: Statement) -> Sequence[Evidence]:
    domain = f"x in [{LO}, {HI}], tails elementary"
    top = supremum(ratio, LO, HI, "1e-13")
    sup = None if top is None else top[0]
    squared = None
    if sup is not None:
        with precision():
            squared = bracket(sup.ball() ** 2)
    where = root(lambda x: x.exp() - (1 + x + x * x), "3/2", 3, unique=True)
    attained: Bracket | None = None
    if where is not None:
        with precision():
            attained = bracket(ratio(where.ball()) ** 2, digits=24)
    drained = bounded(lambda x: (-2 * x).exp() * (1 + x) ** 2, 30, 40, below=0, above="1e-20")
    return [
        *termwise(),
        stationarity(),
        claimed("sup of the filter ratio", sup, statement.value("K1"), "K1", domain),
        *tails(statement.value("K1")),
        claimed("K = K1^2", squared, statement.value("K"), "K", domain),
        claimed(
            "K is attained by pure noise at the stationary point", attained, statement.value("K"), "K", "one point"
        ),
        certified("no positive lower bound: pure signal, x in [30, 40]", drained, "ratio below 1e-20"),
        judged("the risk ratio on instances", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


def witness() -> Witness:
    return Witness(
        "one eigenvalue s = 1, pure noise, t = 1.793, penalty 1/t",
        {name: test(INSTANCES[0]) for name, test in HYPOTHESES.items()},
    )


THEOREM = Theorem(
    id="relative-risk",
    catalogue="T3.1",
    title="Early stopping at t costs at most K < 1.68591 times ridge(1/t), and no constant below K will do",
    statement=r"\mathrm{Risk}(\mathrm{GF}(t))\le K\,\mathrm{Risk}(\mathrm{ridge}(1/t)),\quad "
    r"K=K_1^2=\sup_{x>0}\Big(\frac{(1-e^{-x})(1+x)}{x}\Big)^2=1.6859\ldots\ \text{(attained)};\quad "
    r"\mathrm{df}_{\mathrm{ridge}}\le\mathrm{df}_{\mathrm{GF}}\le K_1\mathrm{df}_{\mathrm{ridge}}"
    r"\quad\text{(termwise, so for in-sample and Bayes risks too)}",
    source="Ali, Kolter and Tibshirani, AISTATS 2019, Theorem 1 (1.6862); the sharp value: not found in the literature",
    bound="tight",
    proof="Termwise in x = ts: biases compare as e^{-x} <= 1/(1+x), variances as f(x)^2 with f = (1-e^{-x})(1+x)/x. "
    "f <= 1+x and f <= 1+1/x settle the tails, balls the rest; f' = 0 iff e^x = 1+x+x^2. f >= 1 since e^x >= 1+x "
    "(degrees of freedom). Pure noise on one eigenvalue attains K; pure signal and t -> infinity show that no positive "
    "lower bound exists.",
    check=check,
    near_miss=Move("K", "-1e-6"),
    witness=witness,
    assumptions={
        "calibrated": "the ridge penalty is 1/t",
        "forward-time": "t >= 0",
        "psd": "the eigenvalues s_i are >= 0",
    },
    constants={"K1": "1.298425607525", "K": "1.685909058278"},
)
