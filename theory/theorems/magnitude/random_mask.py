r"""What a random mask costs on average (catalogue T8.5, for any Hessian).

Statement: a uniformly random mask that prunes k of n weights has the mean plain-mask loss
    1/2 [ (k/n) sum h_ii w_i^2 + k(k-1)/(n(n-1)) sum_{i != j} h_ij w_i w_j ]; for diagonal H that is (k/n) L(0).
Assumptions: H diagonal (for (k/n) L(0)).
Source: folklore.
Bound: identity.
Proof: a weight is pruned in C(n-1,k-1) of C(n,k) masks, a pair in C(n-2,k-2).
Evidence: every mask for n <= 8 (counts per weight and per pair, hence every H and w); exact instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import sympy
from flint import fmpq, fmpq_mat

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import Number, Rows, block, column, diagonal, form, matrix, rational
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

N = 8


@dataclass(frozen=True, eq=False)
class Lottery:
    """H, w and how many weights are pruned at random."""

    name: str
    hessian: fmpq_mat
    weights: tuple[fmpq, ...]
    count: int

    def __str__(self) -> str:
        w = ", ".join(map(str, self.weights))
        return f"{self.name}: H = {self.hessian.tolist()}, w = ({w}), prune {self.count}"

    def mean_loss(self) -> fmpq:
        """Mean over all masks of the loss of pruning from w."""
        losses = []
        for pruned in combinations(range(len(self.weights)), self.count):
            w = column([self.weights[i] for i in pruned])
            losses.append(form(w, block(self.hessian, pruned, pruned), w) / 2)
        return sum(losses, fmpq(0)) / len(losses)


def lottery(name: str, h: Rows, w: Sequence[Number], count: int) -> Lottery:
    return Lottery(name, matrix(h), tuple(map(rational, w)), count)


PLAIN = lottery("diagonal", [[1, 0, 0, 0], [0, 2, 0, 0], [0, 0, 5, 0], [0, 0, 0, "1/2"]], [1, -2, "1/3", 4], 2)
INSTANCES = (
    PLAIN,
    lottery("diagonal, one kept", [[1, 0, 0], [0, 2, 0], [0, 0, 5]], [1, -2, 1], 2),
    lottery("coupled", [[1, "1/2", 0], ["1/2", 1, 0], [0, 0, 1]], [1, 1, 1], 2),
)
HYPOTHESES = {"diagonal": lambda x: x.hessian == diagonal([x.hessian[i, i] for i in range(len(x.weights))])}


def on_instance(x: Lottery, statement: Statement) -> Verdict:
    w = column(x.weights)
    share = fmpq(x.count, len(x.weights))
    claimed = share * form(w, x.hessian, w) / 2
    return x.mean_loss() == claimed, f"mean loss {x.mean_loss()}, (k/n) L(0) = {claimed}"


def counts() -> Evidence:
    """How often a weight and a pair are pruned, over every mask."""
    for n in range(2, N + 1):
        for k in range(1, n + 1):
            masks = list(combinations(range(n), k))
            single = {i: sum(i in m for m in masks) for i in range(n)}
            double = {p: sum(p[0] in m and p[1] in m for m in masks) for p in combinations(range(n), 2)}
            if any(fmpq(v, len(masks)) != fmpq(k, n) for v in single.values()):
                return Evidence("counts", Level.EXHAUSTIVE, False, f"n = {n}, k = {k}", f"{single}")
            if any(fmpq(v, len(masks)) != fmpq(k * (k - 1), n * (n - 1)) for v in double.values()):
                return Evidence("counts", Level.EXHAUSTIVE, False, f"n = {n}, k = {k}", f"{double}")
    return Evidence("k/n per weight, k(k-1)/(n(n-1)) per pair", Level.EXHAUSTIVE, True, f"every mask for n <= {N}")


def check(statement: Statement) -> Sequence[Evidence]:
    n, k = sympy.symbols("n k", positive=True, integer=True)
    one = sympy.combsimp(sympy.binomial(n - 1, k - 1) / sympy.binomial(n, k) - k / n)
    two = sympy.combsimp(sympy.binomial(n - 2, k - 2) / sympy.binomial(n, k) - k * (k - 1) / (n * (n - 1)))
    return [
        shown("C(n-1,k-1)/C(n,k) = k/n", sympy.simplify(one) == 0, "all n, k (SymPy)"),
        shown("C(n-2,k-2)/C(n,k) = k(k-1)/(n(n-1))", sympy.simplify(two) == 0, "all n, k (SymPy)"),
        counts(),
        judged("mean over every mask", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.EXHAUSTIVE),
    ]


THEOREM = Theorem(
    id="random-mask",
    catalogue="T8.5",
    title="What a random mask costs on average",
    statement=r"\mathbb E\,L(m\circ w)=\tfrac12\Big[\tfrac kn\sum_ih_{ii}w_i^2+\tfrac{k(k-1)}{n(n-1)}\sum_{i\ne "
    r"j}h_{ij}w_iw_j\Big];\quad \text{diagonal: }\tfrac knL(0)",
    source="folklore",
    bound="identity",
    proof="The loss is a sum over pruned weights and ordered pairs of pruned weights; a weight is pruned with "
    "probability k/n, a pair with k(k-1)/(n(n-1)).",
    check=check,
    near_miss=Drop("diagonal"),
    witness=lambda: witnessed(PLAIN, HYPOTHESES),
    assumptions={"diagonal": "H is diagonal"},
)
