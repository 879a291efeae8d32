r"""Diagonal linear networks in closed form: a Riccati equation.

Statement
    Gradient flow on ½(u²-v²-y)² from u0 = v0 = α conserves uv = α² = A, and w = u²-v² obeys
    w' = RATE (y-w) √(w² + START A²). With D = √(y²+4A²), z_± = (y±D)/2A and z = u²/A: w = A(z-1/z) and
    (z-z_+)/(z-z_-) = ((1-z_+)/(1-z_-)) e^{-4Dt}; for y > 0, z = (y + D tanh(2Dt + artanh((2A-y)/D)))/2A. So w -> y at
    the final rate 4D, and for α -> ∞ with α²t = τ fixed w -> y(1-e^{-KERNEL τ}).
Assumptions
    balanced: u0 = v0. positive start: α > 0.
Source
    Woodworth et al. COLT 2020; Vaškevičius, Kanade and Rebeschini NeurIPS 2019. Explicit Riccati form: folklore.
Bound
    Identity.
Proof
    (uv)' = 0 and (u²-v²)² + 4(uv)² = (u²+v²)². z' = 4z(y-w) = -4A(z-z_+)(z-z_-) is solved by separating variables.
Evidence
    Symbolic: rational identities in P = z_+ (then y = A(P-1/P), D = A(P+1/P)); exact instances of the hypotheses.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy as sp

from unilth.theory.evidence import Evidence, Move, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

Start = tuple[Fraction, Fraction, Fraction]  # u0, v0, y
INSTANCES: tuple[Start, ...] = (
    (Fraction(1, 2), Fraction(1, 2), Fraction(3)),
    (Fraction(2), Fraction(2), Fraction(-1)),
    (Fraction(2), Fraction(1), Fraction(5)),  # violates balanced
    (Fraction(0), Fraction(0), Fraction(1)),  # violates positive start
)
HYPOTHESES = {"balanced": lambda start: start[0] == start[1], "positive start": lambda start: start[0] > 0}


def on_start(start: Start, statement: Statement) -> Verdict:
    """The closed form starts at w = 0 with slope 2 RATE A y; the flow starts at u²-v² with slope 4(y-w)(u²+v²)."""
    u, v, y = start
    w = u * u - v * v
    slope = 4 * (y - w) * (u * u + v * v)
    if slope == 0 and w != y:
        return False, f"u0={u}, v0={v}, y={y}: the flow rests at w = {w} and never reaches y"
    holds = w == 0 and slope == statement.exact("RATE") * y * 2 * u * v
    return holds, f"u0={u}, v0={v}, y={y}: starts at {w} with slope {slope}"


def check(statement: Statement) -> Sequence[Evidence]:
    u, v, y = sp.symbols("u v y", real=True)
    p, a, q, e = sp.symbols("P A q E", positive=True)  # P = z_+, q = ((P-1)/(1+1/P)) E, E = e^{-4Dt}
    rate, start, kernel = (sp.Rational(statement.value(name)) for name in ("RATE", "START", "KERNEL"))
    u_dot, v_dot = -2 * u * (u**2 - v**2 - y), 2 * v * (u**2 - v**2 - y)
    target, d = a * (p - 1 / p), a * (p + 1 / p)
    z = (p - q / p) / (1 + q)
    z_dot = sp.diff(z, q) * (-rate * d * q)
    equation = sp.simplify(z_dot - rate * (target * z - a * z**2 + a))
    first = (p - 1) / (1 + 1 / p)
    shifted = (2 * a - target) / d
    tangent = ((1 - e) / (1 + e) + shifted) / (1 + shifted * (1 - e) / (1 + e))
    tanh_form = (target + d * tangent) / (2 * a) - z.subs(q, first * e)
    eps = sp.Symbol("epsilon", positive=True)  # 1/A
    root = (y * eps + sp.sqrt(y**2 * eps**2 + 4)) / 2  # P
    decay = sp.limit(4 * sp.sqrt(y**2 * eps**2 + 4), eps, 0)
    climb = sp.limit((root - 1) / eps, eps, 0)
    mix = sp.limit((root - 1) / (1 + 1 / root), eps, 0)
    velocity = sp.expand(2 * u * u_dot - 2 * v * v_dot - rate * (y - (u**2 - v**2)) * (u**2 + v**2))
    length = sp.expand((u**2 - v**2) ** 2 + start * (u * v) ** 2 - (u**2 + v**2) ** 2)
    return [
        shown("uv is conserved", sp.expand(u_dot * v + u * v_dot) == 0, "all u, v, y"),
        shown("w' = RATE (y-w)(u²+v²)", velocity == 0, "all u, v, y", f"residual {velocity}"),
        shown("u²+v² = √(w² + START (uv)²)", length == 0, "all u, v", f"residual {length}"),
        shown("z = (z_+ + q z_-)/(1+q), q ∝ e^{-RATE D t}, solves z' = RATE z (y-w)", equation == 0, "all P, A, q > 0"),
        shown("z(0) = 1", sp.simplify(z.subs(q, first) - 1) == 0, "all P > 0"),
        shown("the tanh form is the same", sp.simplify(tanh_form) == 0, "all P, A, E > 0 (y > 0: artanh exists)"),
        shown("w -> y, as q: final rate 4D", sp.simplify((a * (z - 1 / z)).subs(q, 0) - target) == 0
              and sp.simplify(sp.diff(a * (z - 1 / z), q).subs(q, 0)) != 0, "all P, A > 0"),
        shown("kernel regime: rate -> KERNEL, A(z-1) -> (y/2)(1-e^{-KERNEL τ}), z -> 1",
              decay == kernel and sp.simplify(climb - y / 2) == 0 and mix == 0, "all y", f"rate {decay}"),
        judged("the closed form starts as the flow does", statement, INSTANCES, HYPOTHESES, on_start),
    ]  # fmt: skip


THEOREM = Theorem(
    id="diagonal-network-closed-form",
    catalogue="T9.1",
    title="Gradient flow of a diagonal linear network is a Riccati equation, solved",
    statement=r"uv\equiv\alpha^2=A,\quad \dot w=4(y-w)\sqrt{w^2+4A^2},\quad w=A(z-1/z),\quad "
    r"\frac{z-z_+}{z-z_-}=\frac{1-z_+}{1-z_-}e^{-4Dt},\ D=\sqrt{y^2+4A^2},\ z_\pm=\frac{y\pm D}{2A}",
    source="Woodworth et al. COLT 2020; Vaškevičius, Kanade and Rebeschini NeurIPS 2019; explicit Riccati form "
    "folklore",
    bound="identity",
    proof="(uv)'=0, (u²-v²)²+4(uv)²=(u²+v²)², and z'=-4A(z-z_+)(z-z_-) by separating variables.",
    check=check,
    near_miss=Move("START"),
    witness=lambda: witnessed(INSTANCES[0], HYPOTHESES),
    assumptions={"balanced": "u0 = v0", "positive start": "α > 0"},
    constants={"RATE": "4", "START": "4", "KERNEL": "8"},
)
