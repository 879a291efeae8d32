r"""Two eigenvalues: early stopping wins, ridge wins, and exactly one switch in between.

Statement
    Eigenvalues s_1 < s_2 = κ s_1. If 1+SNR_2 >= (1+SNR_1)^κ early stopping is strictly better, if SNR_2 <= κ SNR_1
    ridge is. For fixed κ and SNR_1 > 0 the difference min_a Risk(ridge) - min_t Risk(ES) is strictly increasing in
    SNR_2 between the two bounds: there is exactly one switch. For s = (1, 2), SNR_1 = 1 it is at SNR_2 = SWITCH.
Assumptions
    noise: σ² > 0. kappa: κ > 1. signal: SNR_1 > 0. ridge region, flow region: the hypotheses of the first two parts.
Source
    Not found in the literature (the uniqueness of the switch included).
Bound
    Tight.
Proof
    In the plane of residuals the ES curve r_2 = r_1^κ lies strictly below the ridge curve r_2 = r_1/(κ-(κ-1)r_1)
    (Bernoulli). The first two parts are the crossing theorem. In between, the Wiener point r* lies strictly above the
    ES curve and strictly below the ridge curve, both increasing. At the best ES point the weighted direction to r* is
    normal to an increasing curve, so r_1-r*_1 and r_2-r*_2 have opposite signs; r_1 <= r*_1 would put r_2 below r*_2,
    a contradiction, so r_2 < r*_2. In the same way r_2 > r*_2 at every best ridge point. The derivative of a minimum
    over the curve with respect to b_2 is r_2² there (Danskin), so the difference has derivative r_2(ridge)² -
    r_2(ES)² > 0.
Evidence
    Symbolic (curves, slopes), exhaustive (signs), exact rational instances, the switch by exact signs on both sides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cache
from itertools import product

import sympy as sp

from unilth.theory.balls import decimal
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem, Witness
from unilth.theory.theorems.comparison.crossing import flow_wins, ridge_wins
from unilth.theory.theorems.comparison.rational_problem import (
    RationalProblem,
    has_noise,
    has_two_eigenvalues,
    signal_nonincreasing,
    time_nondecreasing,
)
from unilth.theory.verdicts import judged, shown

COMMON: dict[str, Callable[[RationalProblem], bool]] = {
    "noise": has_noise,
    "kappa": has_two_eigenvalues,
    "signal": lambda problem: problem.signal[0] > 0,
}
# SNR_2 <= κ SNR_1 is b_2 <= b_1, and 1+SNR_2 >= (1+SNR_1)^κ is t*_2 >= t*_1; a part ignores the other's hypothesis.
RIDGE_HYPOTHESES = {**COMMON, "ridge region": signal_nonincreasing, "flow region": lambda problem: True}
FLOW_HYPOTHESES = {**COMMON, "ridge region": lambda problem: True, "flow region": time_nondecreasing}

RIDGE_INSTANCES = (
    RationalProblem.of("1 2", "1 1"),  # on the ridge curve
    RationalProblem.of("1 3", "2 1/3", "1/2"),
    RationalProblem.of("1 2", "1 1", "0"),  # violates noise
    RationalProblem.of("2 2", "1 1"),  # violates kappa
    RationalProblem.of("1 2", "0 0"),  # violates signal
    RationalProblem.of("1 2", "1 3/2"),  # violates ridge region
)
FLOW_INSTANCES = (
    RationalProblem.of("1 2", "1 3/2"),  # on the ES curve
    RationalProblem.of("2 3", "1 5", "2"),
    RationalProblem.of("1 2", "1 3/2", "0"),  # violates noise
    RationalProblem.of("2 2", "1 1"),  # violates kappa
    RationalProblem.of("1 2", "1 1"),  # violates flow region
)


@cache
def curves() -> tuple[Evidence, ...]:
    """The ES curve is strictly below the ridge curve, both increase, and both ends are never optimal."""
    z, u, r, kappa = sp.symbols("z u r kappa", positive=True)  # r_1 = 1/(1+z) covers (0, 1)
    extra, b2, v1, v2, s1 = sp.symbols("delta b_2 v_1 v_2 s_1", positive=True)  # κ = 1+δ
    gap = (1 + z) ** extra - (1 + extra) + extra / (1 + z)  # r_1^{1-κ} - κ + (κ-1) r_1
    slope = extra * ((1 + z) ** (1 + extra) - 1) / (1 + z) ** 2
    growth = (1 + extra) * (1 + u) ** extra  # (1+z)^{1+δ} - 1 is its integral from 0 to z
    ridge = r / (kappa - (kappa - 1) * r)
    a = sp.Symbol("a", positive=True)
    first, second = a / (s1 + a), a / (kappa * s1 + a)
    b1 = sp.Symbol("b_1", positive=True)
    y = sp.Symbol("y", nonnegative=True)
    flow_risk = b1 * y**2 + v1 * (1 - y) ** 2 + b2 * y ** (2 * kappa) + v2 * (1 - y**kappa) ** 2
    end = sp.diff(b1 * y**2 + v1 * (1 - y) ** 2, y).subs(y, 0)
    return (
        shown(
            "Bernoulli: r_1^κ < r_1/(κ-(κ-1)r_1) for κ > 1: equal at r_1 = 1, growing away from it",
            gap.subs(z, 0) == 0
            and sp.simplify(sp.diff(gap, z) - slope) == 0
            and sp.simplify(sp.diff((1 + u) ** (1 + extra), u) - growth) == 0
            and bool(growth.is_positive),
            "all κ > 1, all r_1 in (0, 1)",
        ),
        shown(
            "ridge runs along r_2 = r_1/(κ-(κ-1)r_1), an increasing curve",
            sp.simplify(ridge.subs(r, first) - second) == 0
            and sp.simplify(sp.diff(ridge, r) - kappa / (kappa - (kappa - 1) * r) ** 2) == 0,
            "all s_1, a, κ > 0",
        ),
        shown(
            "t = ∞ is not optimal: slope -2v_1 < 0 in y = e^{-ts_1}, the other direction of higher order (κ > 1)",
            bool((end + 2 * v1) == 0 and end.is_negative),
            "all v_1 > 0",
        ),
        shown("Danskin: the risk has b_2-derivative r_2²", sp.diff(flow_risk, b2) == y ** (2 * kappa), "all b_2"),
    )


@cache
def sides() -> Evidence:
    """All sign patterns of (r_1-r*_1, r_2-r*_2) at a best point, for a Wiener point strictly between the curves."""
    found: dict[str, set[int]] = {"ES": set(), "ridge": set()}
    for curve, (first, second) in product(found, product((-1, 0, 1), repeat=2)):
        stationary = first + second == 0  # positive weights, increasing curve: opposite signs or both 0
        if curve == "ES":  # r* above: moving left along an increasing curve stays below r*
            possible = not (first <= 0 and second >= 0)
        else:  # r* below: moving right stays above r*
            possible = not (first >= 0 and second <= 0)
        if stationary and possible:
            found[curve].add(second)
    holds = found == {"ES": {-1}, "ridge": {1}}
    scope = "all 9 sign patterns on each curve"
    return Evidence("best ES points have r_2 < r*_2 < r_2 of best ridge points", Level.EXHAUSTIVE, holds, scope)


def switch(statement: Statement) -> Evidence:
    """Whether the winner changes from ridge to early stopping within one unit of the last digit of SWITCH."""
    claimed = statement.value("SWITCH")
    digits = len(claimed.partition(".")[2])
    unit = Fraction(1, 10**digits)
    low, high = (Fraction(claimed) - unit, Fraction(claimed) + unit)
    winners = [RationalProblem.of("1 2", f"1 {snr / 2}").winner for snr in (low, high)]  # v_2 = 1/2
    holds = None if None in winners else winners == ["ridge", "flow"]
    bracket = (decimal(low, digits, up=False), decimal(high, digits, up=True))
    constants = {"SWITCH": bracket} if holds else {}
    detail = f"winners at SWITCH ∓ {float(unit):.0e}: {winners}"
    return Evidence("the switch for s = (1, 2), SNR_1 = 1", Level.SYMBOLIC, holds, "exact signs", detail, constants)


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *curves(),
        sides(),
        switch(statement),
        judged("ridge region: ridge strictly better", statement, RIDGE_INSTANCES, RIDGE_HYPOTHESES, ridge_wins),
        judged("flow region: early stopping strictly better", statement, FLOW_INSTANCES, FLOW_HYPOTHESES, flow_wins),
    ]


def witness() -> Witness:
    first, second = RIDGE_INSTANCES[1], FLOW_INSTANCES[1]
    met = {name: test(first) and test(second) for name, test in COMMON.items()}
    met |= {"ridge region": signal_nonincreasing(first), "flow region": time_nondecreasing(second)}
    return Witness(f"{first}; {second}", met)


THEOREM = Theorem(
    id="trichotomy",
    catalogue="T5.4",
    title="Two eigenvalues: either side wins in its region, and there is exactly one switch between",
    statement=r"s_2=\kappa s_1:\quad 1+\mathrm{SNR}_2\ge(1+\mathrm{SNR}_1)^\kappa\Rightarrow\mathrm{ES\ wins};\quad "
    r"\mathrm{SNR}_2\le\kappa\,\mathrm{SNR}_1\Rightarrow\mathrm{ridge\ wins};\quad \text{one switch in between, at }"
    r"\mathrm{SNR}_2=2.41278008\ldots\text{ for }\kappa=2,\ \mathrm{SNR}_1=1",
    source="not found in the literature",
    bound="tight",
    proof="The ES curve r_2=r_1^κ lies strictly below the ridge curve (Bernoulli). With the Wiener point strictly "
    "between, first-order conditions force r_2(ES)<r*_2<r_2(ridge) at all best points; the b_2-derivative of "
    "a minimal risk is r_2² (Danskin), so the difference of the minima strictly increases in SNR_2. The "
    "outer regions are the crossing theorem.",
    check=check,
    near_miss=Move("SWITCH"),
    witness=witness,
    assumptions={
        "noise": "σ² > 0",
        "kappa": "κ > 1",
        "signal": "SNR_1 > 0",
        "ridge region": "SNR_2 <= κ SNR_1 (first part)",
        "flow region": "1+SNR_2 >= (1+SNR_1)^κ (second part)",
    },
    constants={"SWITCH": "2.4127800825455786075323"},
    depends_on=("crossing", "wiener-identity"),
)
