r"""In iterative pruning with slow ramps stopping early matters in the first round only (catalogue T7.11, sharpened).

Statement: after an adiabatic first round the state is w_OBS(mask_1). With the pruned weights held at 0 this is a
stationary
    point of the next free phase: it does not move, whatever t_2 is. So mask_2 is the magnitude mask of w_OBS(mask_1),
    and by induction every later mask and the final ticket depend on t_1 only through mask_1, and on t_2, t_3, ... not
    at all.
Assumptions: the ramps are adiabatic; pruned weights stay 0.
Source: not found in the literature; the catalogue states the dependence through mask_1 only.
Bound: identity.
Proof: T6.1's limit solves H_mm (w_m - w*_m) = H_mc w*_c, which is the first-order condition of the loss with w_c = 0.
Evidence: free algebra for every block size; exact and ball instances with two stopping times.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flint import arb, arb_mat, fmpq, fmpq_mat

from unilth.theory.blocks import BLOCKS, A, B, Problem, a, c, problem
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import block, column, rational
from unilth.theory.flows import end_point
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

FIRST_TIMES = (rational("1/2"), rational(2))
NEXT_TIMES = (rational("1/10"), rational(3))


@dataclass(frozen=True, eq=False)
class Rounds:
    """A problem (kept: mask_1) from start 0, the ramp (None = adiabatic), whether pruned weights stay 0."""

    problem: Problem
    ramp: tuple[tuple[fmpq, fmpq], ...] | None = None
    held: bool = True

    def __str__(self) -> str:
        return f"{self.problem}, ramp {self.ramp or 'adiabatic'}, pruned weights {'held' if self.held else 'free'}"


CHAINED = problem("three weights", [[2, 1, 0], [1, 3, 1], [0, 1, 2]], [2, 1, -1], (0, 1))
FOUR = problem("four weights", [[3, 1, 0, 1], [1, 2, 1, 0], [0, 1, 4, -1], [1, 0, -1, 2]], [1, -2, 1, 3], (1, 2, 3))
INSTANCES = (
    Rounds(CHAINED),
    Rounds(FOUR),
    Rounds(CHAINED, ramp=((rational(1), rational("1/2")),)),
    Rounds(CHAINED, held=False),
)
HYPOTHESES = {"adiabatic": lambda r: r.ramp is None, "held": lambda r: r.held}


def after_first(r: Rounds, time: fmpq) -> arb_mat:
    """The state after free training for `time`, the ramp and the hard prune."""
    p = r.problem
    n = p.hessian.nrows()
    if r.ramp is None:
        return arb_mat(p.joined(p.target * 0))
    pressed = end_point(p.hessian, p.minimiser, p.kept, column([0] * n), [(fmpq(0), time), *r.ramp])
    return arb_mat(n, 1, [pressed[i, 0] if i in p.kept else arb(0) for i in range(n)])


def flow(hessian: fmpq_mat, pull: arb_mat, state: arb_mat, time: fmpq) -> arb_mat:
    """Free flow of dw/dt = pull - H w for `time`, H positive definite."""
    rest = arb_mat(hessian).solve(pull)
    return rest + arb_mat(hessian * -time).exp() * (state - rest)


def after_second(r: Rounds, state: arb_mat, time: fmpq) -> arb_mat:
    """The state after the second round's free phase."""
    p = r.problem
    pull = p.hessian * p.minimiser
    if not r.held:
        return flow(p.hessian, arb_mat(pull), state, time)
    kept = flow(
        p.part("m", "m"),
        arb_mat(block(pull, p.kept, [0])),
        arb_mat(len(p.kept), 1, [state[i, 0] for i in p.kept]),
        time,
    )
    values = dict(zip(p.kept, kept.entries(), strict=True))
    return arb_mat(p.hessian.nrows(), 1, [values.get(i, arb(0)) for i in range(p.hessian.nrows())])


def on_instance(r: Rounds, statement: Statement) -> Verdict:
    """The second round's state for every pair of stopping times."""
    p = r.problem
    claimed = arb_mat(p.joined(p.target * 0))
    if r.ramp is None and not p.is_constrained_optimum(p.joined(p.target * 0)):
        return False, "the first round's limit is not stationary"
    undecided = False
    for first in FIRST_TIMES:
        state = after_first(r, first)
        for second in NEXT_TIMES:
            gaps = [abs(x) for x in (after_second(r, state, second) - claimed).entries()]
            if any(gap > 0 for gap in gaps):
                worst = max(gaps, key=lambda gap: float(gap.mid()))
                return False, f"t_1 = {first}, t_2 = {second}: the state is {worst.str(8)} away from w_OBS(mask_1)"
            undecided = undecided or not all(gap < arb("1e-10") for gap in gaps)
    return (None, "balls too wide") if undecided else (True, "")


def check(statement: Statement) -> Sequence[Evidence]:
    stationary = BLOCKS.equal(A * (a * B * c) + B * (0 * c - c), 0)
    what = "the second free phase for two t_1 and two t_2"
    return [
        shown("the first round's limit is stationary on its mask", stationary, "blocks of every size, free algebra"),
        judged(what, statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="later-rounds",
    catalogue="T7.11",
    title="In iterative pruning with slow ramps stopping early matters in the first round only",
    statement=r"w^{(1)}=w_{\mathrm{OBS}}(m_1),\quad \nabla_{m_1}L(w^{(1)})=0\ \Rightarrow\ m_2,m_3,\dots\text{ "
    r"depend on }t_1\text{ only through }m_1\text{ and not on }t_2,t_3,\dots",
    source="not found in the literature",
    bound="identity",
    proof="By T7.2 the first round ends at T6.1's limit, where H_mm(w_m - w*_m) - H_mc w*_c = 0: the loss "
    "restricted to the mask is stationary, so the next free phase stays there and its mask is a function of "
    "mask_1. Induct over the rounds.",
    check=check,
    near_miss=Drop("adiabatic"),
    witness=lambda: witnessed(INSTANCES[0], HYPOTHESES),
    assumptions={"adiabatic": "every ramp is adiabatic", "held": "pruned weights stay 0 in later rounds"},
    depends_on=("growing-penalty-is-schur-ridge", "adiabatic-tracking"),
)
