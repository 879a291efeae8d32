r"""Pruning in rounds ends where pruning at once ends, and the saliencies add up (catalogue T6.6).

Statement: for nested masks the limit of the growing penalty taken group after group is the one-shot limit, because
    H/H_{mj} = (H/H_mm)/(H/H_mm)_jj (quotient property). Along any order the optimal brain surgeon's saliencies
    w_j^2/(2 [H_A^{-1}]_jj), taken at the current weights on the active set A, sum to 1/2 w*_c'(H/H_mm)w*_c.
Assumptions: H symmetric; H positive definite.
Source: Crabtree and Haynsworth 1969 (quotient); the sum: folklore.
Bound: identity.
Proof: the inverse of a 2x2 block matrix; each step is T6.1 with one pruned weight on the quadratic that is left.
Evidence: free algebra for every block size; every order on exact instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

from flint import fmpq, fmpq_mat

from unilth.theory.blocks import CHAIN, INDEFINITE, PAIR, SKEWED, TRIPLE, Problem, is_positive, is_symmetric, problem
from unilth.theory.evidence import Evidence, Move, Statement, Theorem
from unilth.theory.exact import block, column, form, rational, schur
from unilth.theory.verdicts import Verdict, judged, shown, witnessed
from unilth.theory.words import Algebra, Expression, letters

HYPOTHESES = {"symmetric": is_symmetric, "positive-definite": is_positive}
INSTANCES = (
    PAIR,
    TRIPLE,
    CHAIN,
    problem("four weights, one kept", [[3, 1, 0, 1], [1, 2, 1, 0], [0, 1, 4, -1], [1, 0, -1, 2]], [1, -2, 1, 3], (2,)),
    SKEWED,
    INDEFINITE,
    problem("a zero diagonal", [[0, 1, 0], [1, 0, 0], [0, 0, 1]], [1, 2, 1], (2,)),
)


def quotient_identity() -> bool:
    """(H/H_mm)/(H/H_mm)_jj = H/H_{mj} for blocks m, j, k of every size."""
    # H = [[A, F, G], [f, J, M], [g, n, K]], a = A^{-1}, s = (J - f a F)^{-1}
    A, a, F, G, f, J, M, g, n, K, s = letters("A a F G f J M g n K s")
    one = A * 0 + 1
    rules: dict[str, Expression] = {"A a": one, "a A": one, "s J": 1 + s * f * a * F, "J s": 1 + f * a * F * s}
    algebra = Algebra(rules=rules)
    first = [[J - f * a * F, M - f * a * G], [n - g * a * F, K - g * a * G]]  # H/H_mm
    twice = first[1][1] - first[1][0] * s * first[0][1]
    inverse = [[a + a * F * s * f * a, -1 * (a * F * s)], [-1 * (s * f * a), s]]  # of [[A, F], [f, J]]
    upper = [[A, F], [f, J]]
    is_inverse = all(
        algebra.equal(sum((upper[i][k] * inverse[k][j] for k in (0, 1)), Expression()), int(i == j) * one)
        for i in (0, 1)
        for j in (0, 1)
    )
    left, right = [g, n], [G, M]
    once = K - sum((left[i] * inverse[i][j] * right[j] for i in (0, 1) for j in (0, 1)), Expression())
    return is_inverse and algebra.equal(once, twice)


def surgeon(p: Problem, order: Sequence[int], half: fmpq) -> tuple[fmpq, fmpq_mat]:
    """Prune in this order, each time moving the active weights to their optimum: sum of saliencies, final weights."""
    active = list(range(p.hessian.nrows()))
    w = p.minimiser * 1
    total = fmpq(0)
    for j in order:
        inverse = block(p.hessian, active, active).inv()
        at = active.index(j)
        total += half * w[j, 0] ** 2 / inverse[at, at]
        move = {i: w[j, 0] / inverse[at, at] * inverse[k, at] for k, i in enumerate(active)}
        w = column([w[i, 0] - move.get(i, fmpq(0)) for i in range(w.nrows())])
        active.remove(j)
    return total, w


def on_instance(p: Problem, statement: Statement) -> Verdict:
    """Every order: the sum and the end point equal the one-shot ones."""
    half = rational(statement.exact("HALF"))
    try:
        claimed = form(p.target, schur(p.hessian, p.kept), p.target) / 2
        limit = p.joined(p.target * 0)
        for order in permutations(p.pruned):
            total, w = surgeon(p, order, half)
            if total != claimed or total < 0 or p.loss(w) != claimed:
                return False, f"order {order}: saliencies sum to {total}, the loss is {p.loss(w)}, claimed {claimed}"
            if w != limit:
                return False, f"order {order} ends at {[str(x) for x in w.entries()]}, not at the one-shot limit"
            if not p.is_constrained_optimum(w):
                return False, f"order {order} ends at {[str(x) for x in w.entries()]}, not the optimum of its mask"
    except ZeroDivisionError:
        return False, "a saliency is undefined: a pivot vanishes"
    return True, ""


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        shown("quotient property", quotient_identity(), "three blocks of every size, free algebra"),
        judged("every order of pruning", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="quotient",
    catalogue="T6.6",
    title="Pruning in rounds ends where pruning at once ends, and the saliencies add up",
    statement=r"H/H_{(mj)}=(H/H_{mm})/(H/H_{mm})_{jj};\quad "
    r"\sum_j \frac{w_j^2}{2[H_A^{-1}]_{jj}}=\tfrac12w^{*\prime}_c(H/H_{mm})w^*_c\ \text{in every order}",
    source="Crabtree and Haynsworth 1969 (quotient property); the sum is folklore",
    bound="identity",
    proof="Write the inverse of the leading 2x2 blocks by block elimination and compare. The loss on the weights "
    "still active is its minimum plus a quadratic with Hessian H_A, so T6.1 with one pruned weight gives "
    "each step's increase w_j^2/(2[H_A^{-1}]_jj); the increases telescope to the loss of the final optimum.",
    check=check,
    near_miss=Move("HALF", "1e-6"),
    witness=lambda: witnessed(CHAIN, HYPOTHESES),
    assumptions={"symmetric": "H = H'", "positive-definite": "x'Hx > 0 for every x != 0"},
    constants={"HALF": "1/2"},
    depends_on=("growing-penalty-is-schur-ridge",),
)
