r"""Qualification: early stopping profits from every smoothness of the signal, ridge only up to exponent 1.

Statement
    sup_{s>0} s^q e^{-ts} = (q/(et))^q for every q > 0. For ridge sup_{s>0} a s^q/(s+a) = a^q q^q (1-q)^{1-q} if 0 < q <
    1, and sup_{0<s<=L} a s^q/(s+a) = a L^q/(L+a) if q >= 1: as a -> 0 the order in a is min(q, SATURATION),
    SATURATION = 1. For every signal β0 != 0 the squared bias of ridge is at least (a/(L+a))² ‖β0‖²: no smoothness
    makes it o(a²).
Assumptions
    signal: β0 != 0. bounded: every eigenvalue is at most L.
Source
    Groetsch 1984; Engl, Hanke and Neubauer 1996; Neubauer 1997; for kernel ridge Li, Zhang and Lin 2023.
Bound
    Tight: the suprema are attained.
Proof
    The logarithmic derivatives are q/s - t and (qa - (1-q)s)/(s(s+a)), each with one sign change (or none); a/(s+a)
    decreases in s.
Evidence
    Symbolic for all q, t, a, L; exact rational instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy as sp

from unilth.theory.evidence import Drop, Evidence, Statement, Theorem
from unilth.theory.theorems.comparison.rational_problem import RationalProblem, has_signal
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

L = 2  # the bound of the instances' spectra
INSTANCES = (
    RationalProblem.of("1/2 1 2", "0 0 5"),
    RationalProblem.of("1/10 2", "3 1"),
    RationalProblem.of("1 2", "0 0"),  # violates signal
    RationalProblem.of("1 3", "0 1"),  # violates bounded
)
HYPOTHESES = {"signal": has_signal, "bounded": lambda problem: max(problem.eigenvalues) <= L}


def bias_is_large(problem: RationalProblem, statement: Statement) -> Verdict:
    """bias² >= (a/(L+a))² ‖β0‖² > 0 at several a, exactly."""
    total = sum(problem.signal)
    for a in (Fraction(1, 1000), Fraction(1), Fraction(50)):
        terms = [b * (a / (s + a)) ** 2 for s, b in zip(problem.eigenvalues, problem.signal, strict=True)]
        bias, bound = sum(terms, Fraction(0)), (a / (L + a)) ** 2 * total
        if not bias >= bound > 0:
            return False, f"{problem}, a={a}: bias² {bias}, bound {bound}"
    return True, ""


def check(statement: Statement) -> Sequence[Evidence]:
    s, t, a, q, top = sp.symbols("s t a q L", positive=True)
    p = sp.Symbol("p", positive=True)
    below = 1 / (1 + p)  # covers 0 < q < 1
    claimed = sp.Rational(statement.value("SATURATION"))
    flow, ridge = q * sp.log(s) - t * s, sp.log(a) + q * sp.log(s) - sp.log(s + a)  # logarithms
    peak = q / t
    at_peak = sp.simplify(flow.subs(s, peak) - q * sp.log(q / (sp.E * t)))
    rise = sp.diff(ridge, s) - (q * a - (1 - q) * s) / (s * (s + a))
    ridge_peak = below * a / (1 - below)
    at_ridge_peak = ridge.subs({q: below, s: ridge_peak}) - (
        below * sp.log(a) + below * sp.log(below) + (1 - below) * sp.log(1 - below)
    )
    above = sp.simplify((q * a - (1 - q) * s).subs(q, 1 + p))
    order = sp.limit(a ** (1 - claimed) * top ** (1 + p) / (top + a), a, 0, "+")  # finite and positive iff a^SATURATION
    growing = sp.simplify(sp.diff(flow, s) - (q / s - t)) == 0
    value = sp.expand_log(at_peak, force=True).expand() == 0
    ridge_value = sp.simplify(sp.expand_log(at_ridge_peak, force=True)) == 0
    saturated = bool(order.is_positive and order.is_finite)
    limit = f"limit of a L^q/(L+a) over a^SATURATION: {order}"
    return [
        shown("early stopping: the logarithm rises before s = q/t, falls after", growing, "all q, t, s > 0"),
        shown("its value there is (q/(et))^q, for every q", value, "all q, t > 0"),
        shown("ridge: the logarithmic slope is (qa-(1-q)s)/(s(s+a))", sp.simplify(rise) == 0, "all q, a, s > 0"),
        shown("ridge, q < 1: the value at s = qa/(1-q)", ridge_value, "q = 1/(1+p), all p, a > 0"),
        shown("ridge, q >= 1: increasing up to L", bool(above.is_positive), "q = 1+p, all p >= 0, a, s > 0"),
        shown("ridge, q >= 1: the order in a is exactly SATURATION", saturated, "q = 1+p, all p, L > 0", limit),
        shown("a/(s+a) decreases in s", bool(sp.diff(a / (s + a), s).is_negative), "all s, a > 0"),
        judged("bias² >= (a/(L+a))² ‖β0‖² > 0", statement, INSTANCES, HYPOTHESES, bias_is_large),
    ]


THEOREM = Theorem(
    id="saturation",
    catalogue="T5.8",
    title="Early stopping has infinite qualification, ridge saturates at exponent 1",
    statement=r"\sup_ss^qe^{-ts}=(q/(et))^q\ (q>0);\qquad \sup_s\frac{as^q}{s+a}=a^qq^q(1-q)^{1-q}\ (0<q<1),\quad "
    r"\sup_{s\le L}\frac{as^q}{s+a}=\frac{aL^q}{L+a}\ (q\ge1);\qquad "
    r"\mathrm{bias}^2\ge\big(\tfrac{a}{L+a}\big)^2\|\beta_0\|^2",
    source="Groetsch 1984; Engl, Hanke and Neubauer 1996; Neubauer 1997; Li, Zhang and Lin 2023 (kernel ridge)",
    bound="tight",
    proof="Logarithmic derivatives q/s-t and (qa-(1-q)s)/(s(s+a)) change sign once or never; a/(s+a) decreases in s.",
    check=check,
    near_miss=Drop("bounded"),
    witness=lambda: witnessed(INSTANCES[0], HYPOTHESES),
    assumptions={"signal": "β0 != 0", "bounded": "every eigenvalue is at most L"},
    constants={"SATURATION": "1"},
)
