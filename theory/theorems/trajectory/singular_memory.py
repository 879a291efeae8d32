r"""With a singular Hessian the end point still forgets t_1, and remembers the start (catalogue T7.3).

Statement: the component of w on ker H is conserved in the free phase, the one on N = ker H \cap ker P for ever. Two
runs
    with the same component of w_0 on N end, after a long ramp, at the same point whatever their t_1; runs that differ
    there keep exactly that difference. N = {(x, 0): H_mm x = 0}, so the common end point is H_mm^+ (H w*)_m plus that
    component.
Assumptions: H symmetric positive semi-definite; the same component of the start on N.
Source: not found in the literature.
Bound: identity.
Proof: Z(-H(w-w*) - \lambda P w) = 0 for the projector Z on N; w(t_1) - w_0 lies in range H, orthogonal to N; on N's
    complement H + \lambda P is positive definite and contracts (T7.1).
Evidence: free algebra for the conservation; kernels in exact rationals and end points in balls on instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flint import arb, fmpq, fmpq_mat

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import Number, Rows, block, column, matrix, positive_semidefinite, rational, symmetric
from unilth.theory.flows import end_point, squared_norm
from unilth.theory.verdicts import Verdict, judged, shown, witnessed
from unilth.theory.words import Algebra, letters

LONG = (rational(2), rational(80))  # penalty and duration of a ramp long enough for every instance


@dataclass(frozen=True, eq=False)
class Twins:
    """Two runs on one problem: starts and stopping times of both."""

    name: str
    hessian: fmpq_mat
    minimiser: fmpq_mat
    kept: tuple[int, ...]
    starts: tuple[fmpq_mat, fmpq_mat]
    times: tuple[fmpq, fmpq]

    def __str__(self) -> str:
        starts = [[str(x) for x in s.entries()] for s in self.starts]
        return f"{self.name}: H = {self.hessian.tolist()}, kept {list(self.kept)}, starts {starts}, times {self.times}"


def twins(name: str, h: Rows, target: Sequence[Number], kept: tuple[int, ...], *starts: Sequence[Number]) -> Twins:
    first, second = column(starts[0]), column(starts[-1])
    return Twins(name, matrix(h), column(target), kept, (first, second), (rational("1/10"), rational(3)))


FLAT = [[1, 1, 0], [1, 1, 0], [0, 0, 2]]  # ker H = ker H & ker P = span(1, -1, 0) if both are kept
SINGULAR = twins("a flat kept direction", FLAT, [1, 2, 1], (0, 1), [1, 0, -1])
INSTANCES = (
    SINGULAR,
    twins("a flat direction that the penalty sees", FLAT, [1, 2, 1], (0, 2), [1, 0, -1]),
    twins("rank one of three", [[1, 2, -1], [2, 4, -2], [-1, -2, 1]], [1, 0, 1], (0, 1), [0, 1, 1]),
    twins("regular", [[2, 1], [1, 2]], [1, -1], (0,), [3, 1]),
    twins("different starts on N", FLAT, [1, 2, 1], (0, 1), [1, 0, -1], [2, -1, -1]),
    twins("negative curvature", [[-1, 0], [0, 1]], [1, 1], (0,), [0, 0]),
)


def kernel(m: fmpq_mat) -> list[fmpq_mat]:
    """A basis of ker m as columns, from the reduced row echelon form."""
    reduced, rank = m.rref()
    n = m.ncols()
    pivots = [next(j for j in range(n) if reduced[i, j] != 0) for i in range(rank)]
    basis = []
    for free in (j for j in range(n) if j not in pivots):
        x = [fmpq(int(j == free)) for j in range(n)]
        for i, pivot in enumerate(pivots):
            x[pivot] = -reduced[i, free]
        basis.append(column(x))
    return basis


def flat_for_both(t: Twins) -> list[fmpq_mat]:
    """A basis of N: H x = 0 and x_c = 0."""
    n = t.hessian.nrows()
    rows = t.hessian.tolist() + [[int(j == i) for j in range(n)] for i in range(n) if i not in t.kept]
    return kernel(matrix(rows))


HYPOTHESES = {
    "semidefinite": lambda t: symmetric(t.hessian) and positive_semidefinite(t.hessian),
    "same-start-on-N": lambda t: all(
        (z.transpose() * (t.starts[0] - t.starts[1]))[0, 0] == 0 for z in flat_for_both(t)
    ),
}


def on_instance(t: Twins, statement: Statement) -> Verdict:
    common = flat_for_both(t)
    if len(common) != len(kernel(block(t.hessian, t.kept, t.kept))):
        return False, "N is not {(x, 0): H_mm x = 0}"
    ends = []
    for start, time in zip(t.starts, t.times, strict=True):
        stopped = end_point(t.hessian, t.minimiser, t.kept, start, [(fmpq(0), time)])
        end = end_point(t.hessian, t.minimiser, t.kept, start, [(fmpq(0), time), LONG])
        for conserved, state in ((kernel(t.hessian), stopped), (common, end)):
            if any(not (z.transpose() * (state - start))[0, 0].contains(0) for z in conserved):
                return False, "a component on the kernel is not conserved"
        ends.append(end)
    gap = squared_norm(ends[0] - ends[1])
    if gap > arb("1e-12"):
        return False, f"the squared distance of the end points is {gap.str(8)}"
    return (True, "") if gap < arb("1e-12") else (None, f"squared distance {gap}")


def conserved() -> list[Evidence]:
    Z, F, H, P, w, g, l = letters("Z F H P w g l")  # Z projects on N, F on ker H, g = w*
    algebra = Algebra(rules={"Z H": 0 * Z, "Z P": 0 * Z, "F H": 0 * F}, central="l")
    speed = -(H * w) + H * g - l * P * w
    return [
        shown("Z dw/dt = 0 for every lambda", algebra.equal(Z * speed, 0), "every n, free algebra"),
        shown("F dw/dt = 0 in the free phase", algebra.equal(F * (H * g - H * w), 0), "every n, free algebra"),
    ]


def check(statement: Statement) -> Sequence[Evidence]:
    what = "kernels exactly, conservation and end points in balls"
    return [
        *conserved(),
        judged(what, statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED),
    ]


THEOREM = Theorem(
    id="singular-memory",
    catalogue="T7.3",
    title="With a singular Hessian the end point still forgets t_1, and remembers the start",
    statement=r"\Pi_{\ker H}w(t)=\Pi_{\ker H}w_0\ (t\le t_1),\quad \Pi_Nw(t)=\Pi_Nw_0\ \forall t,\ N=\ker H\cap\ker "
    r"P;\quad w(\infty)_m=H_{mm}^+(Hw^*)_m+\Pi_Nw_0",
    source="not found in the literature",
    bound="identity",
    proof="Project the flow: ZH = ZP = 0. Two runs with one start differ at t_1 by an element of range H, which is "
    "orthogonal to N; x'(H + lambda P)x = 0 forces Hx = Px = 0 for PSD H, so H + lambda P is positive "
    "definite there and the difference dies out. x = (x_m, 0) with H_mm x_m = 0 has x'Hx = 0, hence Hx = 0: "
    "N is ker H_mm.",
    check=check,
    near_miss=Drop("same-start-on-N"),
    witness=lambda: witnessed(SINGULAR, HYPOTHESES),
    assumptions={
        "semidefinite": "H symmetric positive semi-definite",
        "same-start-on-N": "both runs start with the same component on N = ker H & ker P",
    },
    depends_on=("exact-endpoint", "growing-penalty-is-schur-ridge"),
)
