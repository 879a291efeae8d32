r"""When magnitude is the loss-optimal mask: only for a multiple of the identity, but for two weights (catalogue T8.2).

Statement: n >= 3 and H positive definite: the magnitude mask minimises the loss for all w and all K (plain-mask loss,
or OBS
    loss) iff H is a multiple of the identity. For n = 2 it does iff h_11 = h_22, whatever h_12. Example: H =
    [[1,1/2,0],[1/2,1,0],[0,0,1]], w = (1.1,-1,1.05), prune 2: magnitude loses MAGNITUDE_LOSS, the best mask BEST_LOSS.
Assumptions: n >= 3; H positive definite.
Source: not found in the literature in this form.
Bound: identity.
Proof: at a tie every mask is a limit of magnitude masks, so all masks of one size must lose the same at every w in
    {-1,1}^n. K = 1: equal diagonals (of H, or of H^{-1}). K = 2: h_ij s_j = h_ik s_k for all signs s, hence 0.
Evidence: exact ranks of the tie conditions (every sign pattern, every mask) for n = 3..6; exact instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, product

import sympy
from flint import fmpq, fmpq_mat

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import Rows, block, column, form, matrix, positive_definite, rational, schur, symmetric
from unilth.theory.theorems.magnitude.least_change import magnitude
from unilth.theory.verdicts import Verdict, judged, shown, witnessed


@dataclass(frozen=True, eq=False)
class Hessian:
    """A named Hessian."""

    name: str
    matrix: fmpq_mat

    def __str__(self) -> str:
        return f"{self.name}: H = {self.matrix.tolist()}"


def hessian(name: str, rows: Rows) -> Hessian:
    return Hessian(name, matrix(rows))


EXAMPLE: Rows = [[1, "1/2", 0], ["1/2", 1, 0], [0, 0, 1]]
SCALAR = hessian("twice the identity", [[2, 0, 0], [0, 2, 0], [0, 0, 2]])
INSTANCES = (
    SCALAR,
    hessian("the example", EXAMPLE),
    hessian("equal correlations", [[2, 1, 1], [1, 2, 1], [1, 1, 2]]),
    hessian("a diagonal", [[1, 0, 0], [0, 2, 0], [0, 0, 1]]),
    hessian("four weights", [[3, 1, 0, 0], [1, 3, 0, 0], [0, 0, 3, 1], [0, 0, 1, 3]]),
    hessian("two weights, equal diagonal", [[1, "1/2"], ["1/2", 1]]),
    hessian("minus the identity", [[-1, 0, 0], [0, -1, 0], [0, 0, -1]]),
)
HYPOTHESES = {
    "three-or-more": lambda h: h.matrix.nrows() >= 3,
    "positive-definite": lambda h: symmetric(h.matrix) and positive_definite(h.matrix),
}


def loss(h: fmpq_mat, w: Sequence[fmpq], pruned: Sequence[int], adapted: bool) -> fmpq:
    """Loss of pruning these from w: with the others left where they are, or after they have adapted (OBS)."""
    target = column([w[i] for i in pruned])
    kept = [i for i in range(h.nrows()) if i not in pruned]
    return form(target, schur(h, kept) if adapted else block(h, pruned, pruned), target) / 2


def tied(h: fmpq_mat, adapted: bool) -> bool:
    """Whether all masks of one size lose the same at every w in {-1, 1}^n: necessary for magnitude to be optimal."""
    n = h.nrows()
    for signs in product((fmpq(1), fmpq(-1)), repeat=n):
        for k in range(1, n + 1):
            if len({loss(h, signs, pruned, adapted) for pruned in combinations(range(n), k)}) > 1:
                return False
    return True


def best_when_apart(h: fmpq_mat, adapted: bool) -> bool:
    """Whether magnitude is the best mask of every size at w = (1, 2, ..., n)."""
    n = h.nrows()
    w = [fmpq(i + 1) for i in range(n)]
    return all(
        loss(h, w, magnitude(w, k), adapted) <= min(loss(h, w, p, adapted) for p in combinations(range(n), k))
        for k in range(1, n + 1)
    )


def on_instance(x: Hessian, statement: Statement) -> Verdict:
    h = x.matrix
    n = h.nrows()
    scalar = all(h[i, j] == (h[0, 0] if i == j else 0) for i in range(n) for j in range(n))
    for adapted in (False, True):
        kind = "OBS" if adapted else "plain"
        optimal = tied(h, adapted) and best_when_apart(h, adapted)
        if optimal != scalar:
            return False, f"{kind}: magnitude {'is' if optimal else 'is not'} optimal, H is a multiple of I: {scalar}"
    return True, ""


def tie_ranks() -> Evidence:
    """The tie conditions for K <= 2 determine all differences of diagonal entries and all off-diagonal entries."""
    ranks = {}
    for n in (3, 4, 5, 6):
        pairs = list(combinations(range(n), 2))
        rows = []
        for signs in product((1, -1), repeat=n):
            for k in (1, 2):
                forms = []
                for pruned in combinations(range(n), k):
                    entry = [int(i in pruned) for i in range(n)]
                    entry += [2 * signs[i] * signs[j] if i in pruned and j in pruned else 0 for i, j in pairs]
                    forms.append(entry)
                rows += [[x - y for x, y in zip(f, forms[0], strict=True)] for f in forms[1:]]
        distinct = sorted(set(map(tuple, rows)))
        ranks[n] = matrix([list(row) for row in distinct]).rank()
    # unknowns: n diagonal and n(n-1)/2 off-diagonal entries; what is left is one common diagonal value
    holds = all(rank == n + n * (n - 1) // 2 - 1 for n, rank in ranks.items())
    scope = "plain loss, every sign pattern and mask, n = 3..6; any three weights of more are the case n = 3"
    return Evidence("ties leave only multiples of I", Level.EXHAUSTIVE, holds, scope, f"ranks {ranks}")


def adapted_pair() -> Evidence:
    """The OBS loss of two weights with (H^{-1})_ii = g and (H^{-1})_ij = x at signs s is 1/(g + x s_i s_j)."""
    g, x = sympy.symbols("g x", real=True)
    inverse = sympy.Matrix([[g, x], [x, g]]).adjugate() / (g**2 - x**2)
    residuals = []
    for s in (1, -1):
        w = sympy.Matrix([1, s])
        residuals.append(sympy.cancel((w.T * inverse * w)[0] / 2 - 1 / (g + x * s)))
    what = "OBS loss of a tied pair is 1/(g + x s_i s_j): equal for all pairs and signs only if x = 0"
    return shown(what, residuals == [0, 0], "all g, x (SymPy)", f"residuals {residuals}")


def example(statement: Statement) -> list[Evidence]:
    h, w = matrix(EXAMPLE), [rational("1.1"), rational(-1), rational("1.05")]
    chosen = loss(h, w, magnitude(w, 2), False)
    best = min(loss(h, w, pruned, False) for pruned in combinations(range(3), 2))
    scope = "the example, exact"
    return [
        shown("loss of the magnitude mask", chosen == rational(statement.exact("MAGNITUDE_LOSS")), scope, f"{chosen}"),
        shown("loss of the best mask", best == rational(statement.exact("BEST_LOSS")), scope, f"{best}"),
    ]


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        tie_ranks(),
        adapted_pair(),
        *example(statement),
        judged("optimal at every tie iff a multiple of I", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="magnitude-optimality",
    catalogue="T8.2",
    title="Magnitude is the loss-optimal mask only for a multiple of the identity, but for two weights",
    statement=r"n\ge3:\ \text{magnitude optimal }\forall w,K\iff H\propto I;\qquad n=2:\iff h_{11}=h_{22}",
    source="not found in the literature in this form",
    bound="identity",
    proof="At a tie all masks of a size are limits of magnitude masks, so their losses agree at every w in "
    "{-1,1}^n. K = 1 gives equal diagonals of H (OBS: of H^{-1}). K = 2 gives h_ij s_j = h_ik s_k for all "
    "signs (OBS: the same for H^{-1}, whose pairs lose 1/(g + x_ij s_i s_j)), so both vanish; this needs a "
    "third index. Conversely T8.1.",
    check=check,
    near_miss=Drop("three-or-more"),
    witness=lambda: witnessed(SCALAR, HYPOTHESES),
    assumptions={"three-or-more": "n >= 3", "positive-definite": "H symmetric positive definite"},
    constants={"MAGNITUDE_LOSS": "841/800", "BEST_LOSS": "111/200"},
    depends_on=("least-change",),
)
