r"""L2 on the factors is L1 on the weight.

Statement
    min{½(u²+v²): u²-v² = w} = FACTOR |w|, FACTOR = ½. Hence a growing L2 penalty λ·½(u²+v²) on the factors is a
    growing L1 penalty on w: against ½(w-y)² it gives exactly 0 iff λ >= ZERO |y|, ZERO = 2, while λ·½w² gives
    y/(1+λ), never 0.
Assumptions
    None.
Source
    Folklore (Grandvalet 1998; Hoff 2017 for products).
Bound
    Identity.
Proof
    For w >= 0, u² = w+v² and ½(u²+v²) = ½w + v², least at v = 0; for w < 0 exchange u and v. The minimiser of
    ½(w-y)² + ½λ|w| is the soft threshold of y at ½λ.
Evidence
    Symbolic; exact minimisers on instances on both sides of the boundary.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy as sp

from unilth.theory.evidence import Evidence, Move, Statement, Theorem, Witness
from unilth.theory.verdicts import Verdict, judged, shown

TARGETS = (Fraction(1), Fraction(-3, 2), Fraction(7))


def minimiser(y: Fraction, penalty: Fraction) -> Fraction:
    """argmin over w of ½(w-y)² + ½ penalty |w|: the best of the stationary points on each side and 0; exact."""

    def objective(w: Fraction) -> Fraction:
        return (w - y) ** 2 / 2 + penalty * abs(w) / 2

    candidates = [Fraction(0)]
    candidates += [w for w in (y - penalty / 2, y + penalty / 2) if (w > 0) == (w == y - penalty / 2)]
    return min(candidates, key=objective)


def on_target(y: Fraction, statement: Statement) -> Verdict:
    """Exactly 0 at λ = ZERO |y| and beyond, not just below."""
    edge = statement.exact("ZERO") * abs(y)
    values = {shift: minimiser(y, edge + shift) for shift in (Fraction(0), Fraction(1), Fraction(-1, 10**9))}
    holds = values[Fraction(0)] == 0 and values[Fraction(1)] == 0 and values[Fraction(-1, 10**9)] != 0
    return holds, f"y={y}: minimisers around λ={edge}: {[str(v) for v in values.values()]}"


def check(statement: Statement) -> Sequence[Evidence]:
    w, v, y, lam = sp.symbols("w v y lambda", nonnegative=True)
    factor = sp.Rational(statement.value("FACTOR"))
    split = sp.expand(sp.Rational(1, 2) * ((w + v**2) + v**2) - factor * w - v**2)  # u² = w + v²
    slope = sp.diff((w - y) ** 2 / 2 + lam * w / 2, w)
    ridge = sp.solve(sp.diff((w - y) ** 2 / 2 + lam * w**2 / 2, w), w)
    every = "all w, v >= 0; u and v exchanged for w < 0"
    return [
        shown("½(u²+v²) = FACTOR w + v², least at v = 0", split == 0, every, f"residual {split}"),
        shown("½(w-y)² + ½λw is stationary at y - ½λ", sp.simplify(slope.subs(w, y - lam / 2)) == 0, "all y, λ"),
        shown("L2 on the weight: y/(1+λ)", [sp.simplify(r - y / (1 + lam)) for r in ridge] == [0], "all y, λ"),
        judged("exact zeros from λ = ZERO |y| on", statement, TARGETS, {}, on_target),
    ]  # fmt: skip


THEOREM = Theorem(
    id="factored-penalty-is-l1",
    catalogue="T9.4",
    title="A growing L2 penalty on the factors is a growing L1 penalty on the weight",
    statement=r"\min\{\tfrac12(u^2+v^2):u^2-v^2=w\}=\tfrac12|w|,\qquad \arg\min_w\tfrac12(w-y)^2+\tfrac\lambda2|w|=0"
    r"\iff\lambda\ge2|y|",
    source="folklore (Grandvalet 1998; Hoff 2017 for products)",
    bound="identity",
    proof="For w >= 0, ½(u²+v²)=½w+v² with u²=w+v²; the rest is the soft threshold at ½λ.",
    check=check,
    near_miss=Move("ZERO", "-1e-6"),
    witness=lambda: Witness("y = 1, λ = 2: the minimiser is 0", {}),
    constants={"FACTOR": "1/2", "ZERO": "2"},
)
