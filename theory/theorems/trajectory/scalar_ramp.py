r"""One weight under a linear ramp, in closed form (catalogue T7.9).

Statement: dw/dt = -h(w-w*) - r t w has w(T) = e^{-hT-rT^2/2} [w_0 + h w* sqrt(\pi/2r) e^{-h^2/2r}
    (erfi((h+rT)/sqrt(2r)) - erfi(h/sqrt(2r)))].
Assumptions: the ramp is linear; r > 0.
Source: folklore.
Bound: identity.
Proof: variation of constants; d erfi(x)/dx = 2 e^{x^2}/sqrt(\pi).
Evidence: SymPy for all h, r, T, w*, w_0; rigorous quadrature on exact instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy
from flint import acb, arb, fmpq

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import Number, rational
from unilth.theory.flows import ramped
from unilth.theory.verdicts import Verdict, judged, shown, witnessed


@dataclass(frozen=True)
class Weight:
    """h, w*, w_0, r, T and the power p of the ramp r t^p."""

    name: str
    h: fmpq
    target: fmpq
    start: fmpq
    rate: fmpq
    time: fmpq
    power: int = 1

    def __str__(self) -> str:
        return f"{self.name}: h = {self.h}, w* = {self.target}, w_0 = {self.start}, lambda = {self.rate} t^{self.power}"


def weight(name: str, *values: Number, power: int = 1) -> Weight:
    h, target, start, rate, time = (rational(v) for v in values)
    return Weight(name, h, target, start, rate, time, power)


GENTLE = weight("a gentle ramp", 1, 2, 0, "1/2", 3)
INSTANCES = (
    GENTLE,
    weight("a steep ramp", 2, -1, 1, 5, 1),
    weight("a quadratic ramp", 1, 2, 0, "1/2", 3, power=2),
    weight("no ramp", 1, 2, 0, 0, 3),
)
HYPOTHESES = {"linear": lambda w: w.power == 1, "rising": lambda w: w.rate > 0}


def closed_form(w: Weight) -> arb:
    """The statement's right-hand side. Raises ZeroDivisionError at r = 0."""
    r, h = arb(w.rate), arb(w.h)
    if w.rate == 0:
        raise ZeroDivisionError("division by r = 0")
    root = (2 * r).sqrt()
    area = (arb.pi() / (2 * r)).sqrt() * (-h * h / (2 * r)).exp()
    area *= ((h + r * w.time) / root).erfi() - (h / root).erfi()
    return (-h * w.time - r * w.time**2 / 2).exp() * (w.start + h * w.target * area)


def on_instance(w: Weight, statement: Statement) -> Verdict:
    def pressure(t: acb) -> acb:
        return acb(w.rate) * t ** (w.power + 1) / (w.power + 1)

    try:
        off = abs(closed_form(w) - ramped(w.h, w.target, w.start, pressure, w.time))
    except ZeroDivisionError:
        return False, "the closed form is undefined at r = 0"
    if off > 0:
        return False, f"the closed form is off by {off.str(8)}"
    return (True, "") if off < arb("1e-10") else (None, f"off by {off}")


def check(statement: Statement) -> Sequence[Evidence]:
    T, h, r = sympy.symbols("T h r", positive=True)
    target, start = sympy.symbols("w w0", real=True)
    area = sympy.sqrt(sympy.pi / (2 * r)) * sympy.exp(-(h**2) / (2 * r))
    area *= sympy.erfi((h + r * T) / sympy.sqrt(2 * r)) - sympy.erfi(h / sympy.sqrt(2 * r))
    w = sympy.exp(-h * T - r * T**2 / 2) * (start + h * target * area)
    residual = sympy.simplify(sympy.expand(sympy.diff(w, T) + h * (w - target) + r * T * w))
    begins = sympy.simplify(w.subs(T, 0) - start)
    return [
        shown("it solves the flow", residual == 0, "all h, r > 0, T, w*, w_0 (SymPy)", f"residual {residual}"),
        shown("from w_0", begins == 0, "SymPy"),
        judged("against quadrature", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="scalar-ramp",
    catalogue="T7.9",
    title="One weight under a linear ramp, in closed form",
    statement=r"w(T)=e^{-hT-rT^2/2}\Big[w_0+hw^*\sqrt{\tfrac{\pi}{2r}}\,e^{-h^2/2r}"
    r"\big(\mathrm{erfi}\tfrac{h+rT}{\sqrt{2r}}-\mathrm{erfi}\tfrac h{\sqrt{2r}}\big)\Big]",
    source="folklore",
    bound="identity",
    proof="The integrating factor is e^{hT + rT^2/2}; complete the square and use erfi' = 2 e^{x^2}/sqrt(pi).",
    check=check,
    near_miss=Drop("linear"),
    witness=lambda: witnessed(GENTLE, HYPOTHESES),
    assumptions={"linear": "lambda(t) = r t", "rising": "r > 0"},
)
