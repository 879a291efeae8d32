r"""The crossing theorem: the order of the signal decides whether ridge or early stopping is strictly better.

Statement
    Least squares in its eigenbasis, eigenvalues s_1 < ... < s_d of X'X/n, b_i = (q_i'β0)², v_i = σ²/(n s_i),
    SNR_i = b_i/v_i. (R) If b_i is nonincreasing in s_i then min_a Risk(ridge(a)) < min_t Risk(ES(t)).
    (E) If ln(1+SNR_i)/s_i is nondecreasing in s_i then min_t Risk(ES(t)) < min_a Risk(ridge(a)). Both for the
    estimation risk and for every risk with positive weights per direction (in-sample prediction, Bayes with b_i -> E
    b_i). (R) holds with early stopping replaced by k steps of gradient descent or by k >= 2 times iterated Tikhonov.
Assumptions
    noise: σ² > 0. two eigenvalues: at least two are distinct. signal: some b_i > 0.
    signal order: the hypothesis of (R). time order: the hypothesis of (E).
Source
    Not found in the literature.
Bound
    Tight: without any one of the hypotheses it is false, by an explicit rational instance.
Proof
    The residual of early stopping is that of ridge with a_t(s) = s/(e^{ts}-1), strictly decreasing in s; the Wiener
    filter is ridge with a*_i = σ²/(n b_i), nondecreasing under (R). Hence one a lies between a_t(s_i) and a*_i for
    every i, and ridge(a) is coordinatewise no farther from the Wiener filter than ES(t), strictly closer somewhere;
    the risk is a constant plus a positively weighted square distance to the Wiener filter. t = 0 and t = ∞ are beaten
    because the risk of ridge strictly decreases away from a = ∞ (signal) and from a = 0 (noise: Hoerl and Kennard
    1970). (E) is the same with times: ridge(a) stops at τ_a(s) = ln(1+s/a)/s, strictly decreasing in s.
Evidence
    Symbolic (monotonicity for all arguments through positive integrands), exhaustive (order patterns), exact rational
    instances, among them one that violates each hypothesis and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import sympy as sp

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem, Witness
from unilth.theory.theorems.comparison.ordering import crossing
from unilth.theory.theorems.comparison.rational_problem import (
    RationalProblem,
    has_noise,
    has_signal,
    has_two_eigenvalues,
    signal_nonincreasing,
    time_nondecreasing,
)
from unilth.theory.verdicts import Verdict, judged

COMMON = {"noise": has_noise, "two eigenvalues": has_two_eigenvalues, "signal": has_signal}
# Each part has its own order hypothesis; the other part's says nothing about its instances.
RIDGE_HYPOTHESES = {**COMMON, "signal order": signal_nonincreasing, "time order": lambda problem: True}
FLOW_HYPOTHESES = {**COMMON, "signal order": lambda problem: True, "time order": time_nondecreasing}

RIDGE_INSTANCES = (
    RationalProblem.of("1 2", "1 1"),
    RationalProblem.of("1 2 5", "3 2 2"),
    RationalProblem.of("1/2 2 3", "4 1 0", "1/3"),
    RationalProblem.of("1 3", "1 1", "2", prediction=True),
    RationalProblem.of("1 2", "1 1", "0"),  # violates noise
    RationalProblem.of("2", "3"),  # violates two eigenvalues
    RationalProblem.of("1 2", "0 0"),  # violates signal
    RationalProblem.of("1 2", "1 3/2"),  # violates signal order
)
FLOW_INSTANCES = (
    RationalProblem.of("1 2", "1 3/2"),  # the equality curve SNR = e^{ts} - 1
    RationalProblem.of("1 2 3", "1 3/2 4"),
    RationalProblem.of("1/2 1 2", "0 1 9", "1/2"),
    RationalProblem.of("1 2", "1 3/2", prediction=True),
    RationalProblem.of("1 2", "1 3/2", "0"),  # violates noise
    RationalProblem.of("2", "3"),  # violates two eigenvalues
    RationalProblem.of("1 2", "0 0"),  # violates signal
    RationalProblem.of("1 2", "1 1"),  # violates time order
)


def _zero(expression: sp.Expr) -> bool:
    return bool(sp.simplify(expression) == 0)


@cache
def monotonicity() -> tuple[Evidence, ...]:
    """What the order logic uses, for all arguments: each derivative is a positive integral or has a fixed sign."""
    s, t, a, u, x, y = sp.symbols("s t a u x y", positive=True)
    k, eps = sp.Symbol("k", integer=True, positive=True), sp.Symbol("epsilon", positive=True)
    slack = sp.Symbol("delta", positive=True)  # 1-ελ = δ > 0
    everywhere = "all positive arguments"
    facts: list[tuple[str, bool]] = []

    exponential = sp.integrate(sp.exp(u * x), (u, 0, 1))
    facts.append(
        (
            "a_t(s)=s/(e^{ts}-1) strictly decreasing: (e^x-1)/x = ∫_0^1 e^{ux} du with positive x-derivative",
            _zero(exponential - (sp.exp(x) - 1) / x) and bool(sp.diff(sp.exp(u * x), x).is_positive),
        )
    )
    logarithm = sp.integrate(1 / (1 + u * y), (u, 0, 1))
    facts.append(
        (
            "τ_a(s)=ln(1+s/a)/s strictly decreasing: ln(1+y)/y = ∫_0^1 du/(1+uy) with negative y-derivative",
            _zero(logarithm - sp.log(1 + y) / y) and bool(sp.diff(1 / (1 + u * y), y).is_negative),
        )
    )
    ridge, flow = s / (s + a), 1 - sp.exp(-t * s)
    facts.append(
        (
            "filters are strictly monotone in their parameter",
            bool(sp.simplify(sp.diff(ridge, a)).is_negative) and bool(sp.diff(flow, t).is_positive),
        )
    )
    penalty, time = s / (sp.exp(t * s) - 1), sp.log(1 + s / a) / s
    facts.append(
        (
            "ES(t) is ridge with a_t(s); ridge(a) is ES with τ_a(s)",
            _zero(ridge.subs(a, penalty) - flow) and _zero(flow.subs(t, time) - ridge),
        )
    )
    step = lambda j: eps * slack ** (-j)  # noqa: E731  (the j-th term of 1/a_k, δ = 1-ελ)
    partial = ((slack**-k) - 1) * eps / (1 - slack)  # λ = (1-δ)/ε
    facts.append(
        (
            "gradient descent: 1/a_k(λ) = εΣ_{j<=k}(1-ελ)^{-j}, each term strictly increasing in λ (induction on k)",
            _zero(partial.subs(k, k + 1) - partial - step(k + 1))
            and _zero(partial.subs(k, 1) - step(1))
            and bool(sp.diff(step(k), slack).is_negative),
        )
    )
    tikhonov = ((1 + x) ** k - 1) / x
    facts.append(
        (
            "iterated Tikhonov: ((1+x)^k-1)/x = Σ_{j<k}(1+x)^j, strictly increasing from k = 2 on (induction on k)",
            _zero(sp.expand(sp.powsimp(tikhonov.subs(k, k + 1) - tikhonov - (1 + x) ** k, force=True)))
            and _zero(tikhonov.subs(k, 1) - 1)
            and bool(sp.diff((1 + x) ** k, x).is_positive),
        )
    )
    return tuple(Evidence(what, Level.SYMBOLIC, holds, everywhere) for what, holds in facts)


@cache
def distance_to_wiener() -> tuple[Evidence, ...]:
    """The risk is a constant plus a positively weighted square distance to the Wiener filter; both ends are beaten."""
    b, g = sp.Symbol("b", nonnegative=True), sp.Symbol("g", real=True)
    v, s, w, h = sp.symbols("v s w h", positive=True)
    wiener = b / (b + v)
    risk = w * (b * (1 - g) ** 2 + v * g**2)
    completed = w * (b * v / (b + v) + (b + v) * (g - wiener) ** 2)
    at_infinity = sp.diff(risk.subs(g, h * s / (1 + h * s)), h).subs(h, 0)  # h = 1/a
    at_zero = sp.diff(risk.subs(g, s / (s + h)), h).subs(h, 0)  # h = a
    positive_b = sp.Symbol("b", positive=True)
    return (
        Evidence(
            "risk = constant + weight (b+v)(g-g*)², the weight positive",
            Level.SYMBOLIC,
            _zero(risk - completed) and bool((w * (b + v)).is_positive),
            "any weight w > 0, any number of directions by summation",
        ),
        Evidence(
            "a = ∞ is not optimal: slope -2wbs <= 0 in 1/a, negative where b > 0",
            Level.SYMBOLIC,
            _zero(at_infinity + 2 * w * b * s) and bool(at_infinity.subs(b, positive_b).is_negative),
            "all b, s, w; strict as some b > 0",
        ),
        Evidence(
            "a = 0 is not optimal: slope -2wv/s < 0 in a",
            Level.SYMBOLIC,
            _zero(at_zero + 2 * w * v / s) and bool(at_zero.is_negative),
            "all v > 0, s, w",
        ),
    )


def ridge_wins(problem: RationalProblem, statement: Statement) -> Verdict:
    """Decide strictly, in exact arithmetic, whether the best ridge beats the best early stopping."""
    return (None if problem.winner is None else problem.winner == "ridge"), f"{problem}: decided: {problem.winner}"


def flow_wins(problem: RationalProblem, statement: Statement) -> Verdict:
    """Decide strictly, in exact arithmetic, whether the best early stopping beats the best ridge."""
    return (None if problem.winner is None else problem.winner == "flow"), f"{problem}: decided: {problem.winner}"


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *monotonicity(),
        *distance_to_wiener(),
        crossing("(R) one penalty serves all", wiener_nondecreasing=statement.assumes("signal order")),
        crossing("(E) one stopping time serves all", wiener_nondecreasing=statement.assumes("time order")),
        judged("(R) ridge strictly better", statement, RIDGE_INSTANCES, RIDGE_HYPOTHESES, ridge_wins),
        judged("(E) early stopping strictly better", statement, FLOW_INSTANCES, FLOW_HYPOTHESES, flow_wins),
    ]


def witness() -> Witness:
    first, second = RIDGE_INSTANCES[1], FLOW_INSTANCES[1]
    met = {name: test(first) and test(second) for name, test in COMMON.items()}
    met |= {"signal order": signal_nonincreasing(first), "time order": time_nondecreasing(second)}
    return Witness(f"(R) {first}; (E) {second}", met)


THEOREM = Theorem(
    id="crossing",
    catalogue="T5.2",
    title="Crossing theorem: the order of the signal decides who is strictly better",
    statement=r"b_i\ \text{nonincreasing in}\ s_i\ \Rightarrow\ \min_a R(\mathrm{ridge}(a))<\min_t "
    r"R(\mathrm{ES}(t));\qquad\ln(1+\mathrm{SNR}_i)/s_i\ \text{nondecreasing in}\ s_i\ \Rightarrow\ "
    r"\min_t R(\mathrm{ES}(t))<\min_a R(\mathrm{ridge}(a))",
    source="not found in the literature",
    bound="tight",
    proof="Early stopping is ridge with penalty a_t(s)=s/(e^{ts}-1), strictly decreasing in s; the Wiener filter "
    "is ridge with a*_i=σ²/(n b_i), nondecreasing under (R). So the intervals between a_t(s_i) and a*_i meet "
    "pairwise, hence (Helly on the line) have a common a: ridge(a) is coordinatewise no farther from the "
    "Wiener filter, and strictly closer somewhere since a_t(s_i) are distinct. The ends t=0, ∞ lose to ridge "
    "because its risk strictly decreases away from a=∞ and a=0. (E): the same with τ_a(s)=ln(1+s/a)/s and "
    "t*_i=ln(1+SNR_i)/s_i.",
    check=check,
    near_miss=Drop("two eigenvalues"),
    witness=witness,
    assumptions={
        "noise": "σ² > 0",
        "two eigenvalues": "at least two eigenvalues are distinct",
        "signal": "some b_i > 0",
        "signal order": "(R) b_i nonincreasing in s_i",
        "time order": "(E) ln(1+SNR_i)/s_i nondecreasing in s_i",
    },
)
