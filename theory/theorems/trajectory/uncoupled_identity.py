r"""Without coupling the penalty does nothing for the ticket: stop early or late, only the total time counts (T7.4).

Statement: if H_mc = 0 then for every ramp of length T and every t_1 the pruned end point is
    m \circ (w* + exp(-H_mm (t_1+T))(w_0 - w*)_m): the one of DLTH from the start with the same total time and of no
    penalty at all. For diagonal H and w_0 = 0 it is m \circ (1 - e^{-h(t_1+T)}) \circ w*, whatever the mask.
Assumptions: H_mc = 0 (the catalogue assumes a diagonal H, which is this for every mask at once).
Source: not found in the literature.
Bound: identity.
Proof: the kept block of the flow is dw_m/dt = -H_mm (w_m - w*_m) - H_mc (w_c - w*_c), with no penalty in it.
Evidence: free algebra and SymPy; end points in balls on exact instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy
from flint import arb, fmpq

from unilth.theory.blocks import CHAIN, PAIR, SEPARATE, Problem, problem
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import column, rational
from unilth.theory.flows import end_point
from unilth.theory.verdicts import Verdict, judged, shown, witnessed
from unilth.theory.words import Algebra, letters

Pieces = tuple[tuple[fmpq, fmpq], ...]


def pieces(text: str) -> Pieces:
    """(penalty, duration) pairs from "penalty x duration" words."""
    return tuple((rational(p), rational(d)) for p, d in (word.split("x") for word in text.split()))


# one total time, 3: no penalty, free then ramp, ramp from the start
SCHEDULES = (pieces("0x3"), pieces("0x1 1x1/2 4x1/2 30x1"), pieces("2x1 9x2"))


@dataclass(frozen=True, eq=False)
class Start:
    """A problem and a start."""

    problem: Problem
    start: tuple[fmpq, ...]

    def __str__(self) -> str:
        return f"{self.problem}, start ({', '.join(map(str, self.start))})"


def started(p: Problem, *start: int) -> Start:
    return Start(p, tuple(fmpq(x) for x in start))


BLOCKWISE = problem("coupled within the kept weights only", [[2, 1, 0], [1, 2, 0], [0, 0, 3]], [1, -1, 2], (0, 1))
INSTANCES = (started(SEPARATE, 0, 0), started(BLOCKWISE, 1, 0, -1), started(PAIR, 0, 0), started(CHAIN, 0, 0, 0, 0))
HYPOTHESES = {"uncoupled": lambda s: all(x == 0 for x in s.problem.part("m", "c").entries())}


def on_instance(s: Start, statement: Statement) -> Verdict:
    """Run the three schedules and compare the kept weights."""
    p = s.problem
    ends = [end_point(p.hessian, p.minimiser, p.kept, column(s.start), schedule) for schedule in SCHEDULES]
    gap = max((abs(end[i, 0] - ends[0][i, 0]) for end in ends[1:] for i in p.kept), key=lambda x: x.mid())
    if gap > 0:
        return False, f"a kept weight differs by {gap.str(8)} between two schedules of total time 3"
    return (True, "") if gap < arb("1e-10") else (None, f"gap {gap}")


def check(statement: Statement) -> Sequence[Evidence]:
    A, u, w, v, g, X, l = letters("A u w v g X l")  # u = w*_m, w = w_m, v = w_c, g = w*_c; H_mc = 0
    algebra = Algebra(rules={"B": 0 * A, "M": 0 * A}, central="l", derivatives={"X": -A * X})
    B, M = letters("B M")  # M is P's kept-to-pruned block
    speed = -(A * (w - u)) - B * (v - g) - l * M * v
    free = algebra.equal(speed, -(A * (w - u)))
    path = u + X * (w - u)
    solves = algebra.equal(algebra.derivative(path), -(A * (path - u)))
    t, h, target = sympy.symbols("t h w", positive=True)
    scalar = (1 - sympy.exp(-h * t)) * target
    diagonal = sympy.expand(sympy.diff(scalar, t) + h * (scalar - target)) == 0 and scalar.subs(t, 0) == 0
    return [
        shown("no penalty in the kept block's flow", free, "blocks of every size, free algebra"),
        shown("u + exp(-At)(w - u) solves it", solves, "blocks of every size, free algebra"),
        shown("diagonal H: (1 - e^{-ht})w*", diagonal, "all h, t (SymPy)"),
        judged("three schedules of one length", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="uncoupled-identity",
    catalogue="T7.4",
    title="Without coupling only the total time counts: early stopping then ramp is training longer",
    statement=r"H_{mc}=0\Rightarrow m\circ w(t_1+T)=m\circ\big(w^*+e^{-H_{mm}(t_1+T)}(w_0-w^*)\big)"
    r"\ \text{for every ramp};\quad \text{diagonal, }w_0=0:\ m\circ(1-e^{-h(t_1+T)})\circ w^*",
    source="not found in the literature; stated for H_mc = 0 instead of the catalogue's diagonal H",
    bound="identity",
    proof="The penalty acts on the pruned weights only, and they act on the kept ones only through H_mc.",
    check=check,
    near_miss=Drop("uncoupled"),
    witness=lambda: witnessed(INSTANCES[1], HYPOTHESES),
    assumptions={"uncoupled": "H_mc = 0: no coupling between kept and pruned weights (for every mask: H diagonal)"},
    depends_on=("exact-endpoint",),
)
