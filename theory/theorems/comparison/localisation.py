r"""Where the best stopping time lies, and that it beats training to convergence.

Statement
    Every global minimiser t of Risk(ES(t)) lies in [min_i t*_i, max_i t*_i], t*_i = ln(SHIFT+SNR_i)/s_i; in the same
    way for ridge with a*_i = σ²/(n b_i). Risk(ES(t)) < Risk(ES(∞)) = Σ v_i for every t > max_i
    ln((1+SNR_i)/FACTOR)/s_i, per direction exactly then. So the best stopping time is finite and strictly beats
    convergence.
Assumptions
    noise: σ² > 0.
Source
    Not found in the literature; the analogue for ridge is Hoerl and Kennard 1970.
Bound
    Tight.
Proof
    d/dt of b e^{-2ts} + v(1-e^{-ts})² is -2 s y (b+v)(y - 1/(1+SNR)) with y = e^{-ts}: negative before t*_i, positive
    after; a sum of such functions decreases before the first and increases after the last t*_i. And b y² + v(1-y)² -
    v = v y ((1+SNR) y - 2).
Evidence
    Symbolic for all b >= 0, v, s > 0; exact rational instances.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy as sp

from unilth.theory.evidence import Evidence, Move, Statement, Theorem
from unilth.theory.theorems.comparison.rational_problem import RationalProblem, has_noise
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

INSTANCES = (
    RationalProblem.of("1 2", "1 3/2"),
    RationalProblem.of("1 3 4", "100 1 0", "1/10"),
    RationalProblem.of("2", "1", "5"),
    RationalProblem.of("1 2", "1 1", "0"),  # violates noise
)
HYPOTHESES = {"noise": has_noise}


def beats_convergence(problem: RationalProblem, statement: Statement) -> Verdict:
    """Some finite stopping time is strictly better than y = e^{-t} = 0, in exact arithmetic."""
    best, converged = problem.flow.best[1], problem.flow.at(type(problem.noise)(0))
    return best < converged, f"{problem}: best {best}, at convergence {converged}"


def check(statement: Statement) -> Sequence[Evidence]:
    t, s, v, y = sp.symbols("t s v y", positive=True)
    a = sp.Symbol("a", positive=True)
    b = sp.Symbol("b", nonnegative=True)
    noise = sp.Symbol("nu", positive=True)
    shift, factor = sp.Rational(statement.value("SHIFT")), sp.Rational(statement.value("FACTOR"))
    snr = b / v
    flow = b * sp.exp(-2 * t * s) + v * (1 - sp.exp(-t * s)) ** 2
    wiener = sp.exp(-s * (sp.log(shift + snr) / s))  # the residual at t*_i
    flow_slope = sp.diff(flow, t) + 2 * s * sp.exp(-t * s) * (b + v) * (sp.exp(-t * s) - wiener)
    ridge = (b * a**2 + noise * s) / (s + a) ** 2  # v = ν/s
    ridge_slope = sp.diff(ridge, a) - 2 * s * (b * a - noise) / (s + a) ** 3
    against_end = b * y**2 + v * (1 - y) ** 2 - v - v * y * ((1 + snr) * y - factor)
    every = "all b >= 0, v, s, t > 0"
    return [
        shown(
            "the slope in t is -2sy(b+v)(y-y*), y* = e^{-t*s}: negative before t*, positive after",
            sp.simplify(flow_slope) == 0 and bool((s * y * (b + v)).is_positive),
            every,
            f"residual {sp.simplify(flow_slope)}",
        ),
        shown("the slope in a has the sign of b a - σ²/n", sp.simplify(ridge_slope) == 0, "all b >= 0, s, a, σ²/n > 0"),
        shown(
            "risk below v iff y < 2/(1+SNR): the difference is v y ((1+SNR) y - FACTOR)",
            sp.simplify(against_end) == 0,
            "all b >= 0, v > 0, 0 < y <= 1",
            f"residual {sp.simplify(against_end)}",
        ),
        judged("a finite time strictly beats convergence", statement, INSTANCES, HYPOTHESES, beats_convergence),
    ]


THEOREM = Theorem(
    id="localisation",
    catalogue="T5.9",
    title="The best stopping time lies between the Wiener times and strictly beats convergence",
    statement=r"\arg\min_t R_{\mathrm{ES}}\subset[\min_it_i^*,\max_it_i^*],\ t_i^*=\ln(1+\mathrm{SNR}_i)/s_i;\qquad "
    r"R_{\mathrm{ES}}(t)<\sum_iv_i\ \text{ for every }t>\max_i\ln\big(\tfrac{1+\mathrm{SNR}_i}{2}\big)/s_i",
    source="not found in the literature; for ridge Hoerl and Kennard 1970",
    bound="tight",
    proof="Each direction's risk decreases before t*_i and increases after, so the sum decreases before all and "
    "increases after all; and b y²+v(1-y)²-v = v y((1+SNR)y-2).",
    check=check,
    near_miss=Move("FACTOR"),
    witness=lambda: witnessed(INSTANCES[0], HYPOTHESES),
    assumptions={"noise": "σ² > 0"},
    constants={"SHIFT": "1", "FACTOR": "2"},
    depends_on=("wiener-identity",),
)
