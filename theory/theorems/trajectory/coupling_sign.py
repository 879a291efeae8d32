r"""With a finite budget free training first helps iff the coupling is negative and it is short (catalogue T7.7).

Statement: H = [[1,\rho],[\rho,1]], -1 < \rho < 1, w* = (1,1), start 0, keep w_1; w_2 is forced to 0 at t_1 > 0
    (UniLTH) or at 0 (DLTH), equal budget. UniLTH ends strictly closer to the optimum of the mask iff \rho < 0 and t_1 <
    t_c(\rho), where e^{-(1+\rho)t} + (1+\rho)e^{-t} = |\rho| at t_c; for \rho > 0 it ends farther away for every t_1.
    At t_1 = -ln|\rho|/(1+\rho), \rho < 0, it ends exactly there. For \rho = -1/2: t_c = T_CRITICAL = 2 ln(1+\sqrt 2),
    exact hit at T_HIT = 2 ln 2.
Assumptions: start at 0; equal targets w*_1 = w*_2 != 0; -1 < \rho < 1; t_1 > 0.
Source: not found in the literature.
Bound: identity.
Proof: at t_1 the distances are |\rho + e^{-(1+\rho)t_1}| and (1+\rho)e^{-t_1}, and both shrink by the same factor
afterwards.
    f = \rho + e^{-(1+\rho)t} - (1+\rho)e^{-t} has f(0) = 0 and f' of the sign of \rho; g =
    e^{-(1+\rho)t}+(1+\rho)e^{-t} falls strictly from 2+\rho to 0.
Evidence: SymPy for all \rho; balls for the constants and for the flow itself on exact instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sympy
from flint import arb, fmpq

from unilth.theory.balls import bracket, precision
from unilth.theory.certify import claimed, root
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import Number, column, matrix, rational
from unilth.theory.flows import end_point
from unilth.theory.verdicts import Verdict, judged, shown, witnessed


@dataclass(frozen=True)
class Budget:
    """Coupling rho, stopping time t_1, targets w* and start w_0, all exact."""

    name: str
    rho: fmpq
    time: fmpq
    target: tuple[fmpq, fmpq]
    start: tuple[fmpq, fmpq]

    def __str__(self) -> str:
        target, start = (f"({a}, {b})" for a, b in (self.target, self.start))
        return f"{self.name}: rho = {self.rho}, t_1 = {self.time}, w* = {target}, start {start}"


def budget(
    name: str, rho: Number, time: Number, *, target: Sequence[Number] = (1, 1), start: Sequence[Number] = (0, 0)
) -> Budget:
    a, b = (rational(x) for x in target)
    c, d = (rational(x) for x in start)
    return Budget(name, rational(rho), rational(time), (a, b), (c, d))


HELPS = budget("negative coupling, short", "-1/2", 1)
INSTANCES = (
    HELPS,
    budget("negative coupling, just short enough", "-1/2", "1.762"),
    budget("negative coupling, just too long", "-1/2", "1.763"),
    budget("weak negative coupling", "-1/10", 3),
    budget("strong negative coupling", "-9/10", "1/2"),
    budget("strong negative coupling, long", "-9/10", 3),
    budget("positive coupling, short", "1/2", "1/100"),
    budget("positive coupling", "1/2", 1),
    budget("strong positive coupling", "9/10", 4),
    budget("another start", "1/2", 1, start=(0, -3)),
    budget("opposite targets", "1/2", 1, target=(1, -1)),
    budget("coupled beyond convexity", "-3/2", "1/2"),
    budget("no free training", "-1/2", 0),
)
HYPOTHESES = {
    "start-at-0": lambda b: all(x == 0 for x in b.start),
    "equal-targets": lambda b: b.target[0] == b.target[1] != 0,
    "convex": lambda b: -1 < b.rho < 1,
    "free-first": lambda b: b.time > 0,
}


def critical(rho: fmpq, t: Any) -> Any:
    """e^{-(1+rho)t} + (1+rho)e^{-t} - |rho|: positive before t_c, negative after."""
    return (-arb(1 + rho) * t).exp() + arb(1 + rho) * (-t).exp() - arb(abs(rho))


def on_instance(b: Budget, statement: Statement) -> Verdict:
    """Integrate both runs in balls until t_1 and compare with the claim; afterwards both distances shrink alike."""
    h = matrix([[1, b.rho], [b.rho, 1]])
    optimum = b.target[0] + b.rho * b.target[1]
    free = end_point(h, column(b.target), (0, 1), column(b.start), [(fmpq(0), b.time)])[0, 0]
    forced = arb(optimum) + (-arb(b.time)).exp() * (b.start[0] - optimum)
    uni, dlth = abs(free - optimum), abs(forced - optimum)
    if b.time == 0:
        uni = dlth  # one and the same run
    elif not (uni < dlth or uni > dlth):
        return None, f"distances {uni} and {dlth}"
    sign = critical(b.rho, arb(b.time))
    if not (sign > 0 or sign < 0):
        return None, f"t_1 too close to t_c: {sign}"
    claimed = b.rho < 0 and bool(sign > 0)
    return bool(
        uni < dlth
    ) == claimed, f"distance {uni.str(8)} with, {dlth.str(8)} without free training; claimed {claimed}"


@cache  # nothing in it depends on the statement
def identities() -> tuple[Evidence, ...]:
    t = sympy.Symbol("t", positive=True)
    rho = sympy.Symbol("rho", real=True)
    w = 1 - sympy.exp(-(1 + rho) * t)  # both weights, by symmetry
    free = sympy.expand(sympy.diff(w, t) + (w - 1) + rho * (w - 1)) == 0
    forced = (1 + rho) * (1 - sympy.exp(-t))
    pressed = sympy.expand(sympy.diff(forced, t) + (forced - 1) - rho) == 0  # w_2 = 0
    f = w - (1 + rho) - (forced - (1 + rho))  # UniLTH's deviation minus DLTH's, both signed
    slope = sympy.simplify(sympy.diff(f, t) + (1 + rho) * (sympy.exp(-t) - sympy.exp(-(1 + rho) * t))) == 0
    g = sympy.exp(-(1 + rho) * t) + (1 + rho) * sympy.exp(-t)
    falls = sympy.simplify(sympy.diff(g, t) + (1 + rho) * (sympy.exp(-(1 + rho) * t) + sympy.exp(-t))) == 0
    starts = f.subs(t, 0) == 0 and sympy.expand(g.subs(t, 0)) == 2 + rho
    x = sympy.sqrt(2) - 1  # e^{-t_c/2} at rho = -1/2
    at_half = sympy.expand(x + x**2 / 2 - sympy.Rational(1, 2)) == 0
    return (
        shown("both runs in closed form", free and pressed, "all rho, t (SymPy)"),
        shown("f' = (1+rho)(e^{-t} - e^{-(1+rho)t})", slope, "all rho > -1, t > 0 (SymPy)"),
        shown("g' = -(1+rho)(e^{-(1+rho)t} + e^{-t}) < 0", falls, "all rho > -1, t > 0 (SymPy)"),
        shown("f(0) = 0, g(0) = 2 + rho > |rho|", starts, "SymPy"),
        shown("rho = -1/2: e^{-t_c/2} = sqrt(2) - 1", at_half, "SymPy"),
    )


def check(statement: Statement) -> Sequence[Evidence]:
    half = fmpq(-1, 2)
    with precision(160):
        t_c = root(lambda t: critical(half, t), "1", "3", "1e-30", unique=True)
        closed = bracket(2 * (1 + arb(2).sqrt()).log(), digits=30)
        t_hit = root(lambda t: (-t / 2).exp() - arb(fmpq(1, 2)), "1", "3", "1e-30", unique=True)
        return [
            *identities(),
            claimed("t_c", t_c, statement.value("T_CRITICAL"), "T_CRITICAL", "rho = -1/2; g falls, so the only root"),
            claimed("t_c = 2 ln(1+sqrt 2)", closed, statement.value("T_CRITICAL"), "T_CRITICAL", "rho = -1/2"),
            claimed("exact hit", t_hit, statement.value("T_HIT"), "T_HIT", "rho = -1/2; the distance vanishes"),
            judged("who ends closer", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
        ]


THEOREM = Theorem(
    id="coupling-sign",
    catalogue="T7.7",
    title="With a finite budget free training before extrusion helps iff the coupling is negative and it is short",
    statement=r"H=\begin{pmatrix}1&\rho\\\rho&1\end{pmatrix},\ -1<\rho<1,\ w^*_1=w^*_2\ne0,\ w_0=0,\ "
    r"w_2\text{ forced to }0\text{ at }t_1>0\text{ (UniLTH) or at }0\text{ (DLTH)}:\quad "
    r"\text{UniLTH closer}\iff\rho<0\ \wedge\ t_1<t_c(\rho),\quad "
    r"e^{-(1+\rho)t_c}+(1+\rho)e^{-t_c}=|\rho|;\quad \rho=-\tfrac12:\ t_c=2\ln(1+\sqrt2),\ \text{exact "
    r"hit at }2\ln2",
    source="not found in the literature",
    bound="identity",
    proof="By symmetry w_1 = w_2 = 1 - e^{-(1+rho)t} while free, and w_1 -> 1 + rho at rate 1 once w_2 = 0. At t_1 "
    "the distances are |rho + e^{-(1+rho)t}| and (1+rho)e^{-t}, and both then shrink by e^{-tau}. Their "
    "signed difference f starts at 0 and has a slope of the sign of rho; the other side, g > |rho|, holds "
    "until t_c because g falls from 2+rho to 0.",
    check=check,
    near_miss=Drop("start-at-0"),
    witness=lambda: witnessed(HELPS, HYPOTHESES),
    assumptions={
        "start-at-0": "w_0 = 0",
        "equal-targets": "w*_1 = w*_2 != 0",
        "convex": "-1 < rho < 1, so that H is positive definite",
        "free-first": "t_1 > 0",
    },
    constants={"T_CRITICAL": "1.762747174039086050465218650", "T_HIT": "1.386294361119890618834464242"},
    depends_on=("exact-endpoint",),
)
