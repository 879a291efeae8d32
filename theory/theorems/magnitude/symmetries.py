r"""What magnitude pruning is invariant to, and what it is not (catalogue T8.4).

Statement: the mask of K smallest magnitudes, ties by position, is (a) the same for w and c w, c != 0; (b) permuted
with the
    weights if no two magnitudes tie; (c) not invariant to the ReLU rescaling (W_1, W_2) -> (c W_1, W_2/c), which
    leaves the network's function unchanged, when all layers are ranked together. With ties the pruned norm is the
    same for every choice, and a strict threshold prunes either more or fewer than K.
Assumptions: c != 0; no ties (for b).
Source: folklore.
Bound: identity.
Proof: scaling and permuting keep the order of distinct magnitudes; the example for (c).
Evidence: every order pattern, permutation and mask size for n <= 4; exact instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product

from flint import fmpq

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import Number, rational
from unilth.theory.theorems.magnitude.least_change import magnitude
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

N = 4


@dataclass(frozen=True)
class Layer:
    """Weights, a factor, a permutation."""

    weights: tuple[fmpq, ...]
    factor: fmpq
    order: tuple[int, ...]

    def __str__(self) -> str:
        return f"w = ({', '.join(map(str, self.weights))}), c = {self.factor}, permutation {self.order}"


def layer(weights: Sequence[Number], factor: Number, order: Sequence[int]) -> Layer:
    return Layer(tuple(map(rational, weights)), rational(factor), tuple(order))


USUAL = layer([3, "-1/2", 1, -2], "-2/3", [2, 0, 3, 1])
INSTANCES = (
    USUAL,
    layer([1, 2, 3, 4, 5], 100, [4, 3, 2, 1, 0]),
    layer([2, 1, 3], 0, [0, 1, 2]),
    layer([1, -1, 2], 1, [1, 0, 2]),
)
HYPOTHESES = {
    "factor-not-zero": lambda x: x.factor != 0,
    "no-ties": lambda x: len({abs(w) for w in x.weights}) == len(x.weights),
}


def on_instance(x: Layer, statement: Statement) -> Verdict:
    for k in range(len(x.weights) + 1):
        mask = set(magnitude(x.weights, k))
        if mask != set(magnitude([x.factor * w for w in x.weights], k)):
            return False, f"prune {k}: scaling by {x.factor} changes the mask"
        moved = [x.weights[i] for i in x.order]
        if {x.order[i] for i in magnitude(moved, k)} != mask:
            return False, f"prune {k}: permuting by {x.order} changes which weights go"
    return True, ""


@cache
def every_pattern() -> Evidence:
    """Every pattern of magnitudes, every permutation and size: equivariance without ties, equal norms with them."""
    cases = 0
    for n in range(1, N + 1):
        for values in product(range(1, n + 1), repeat=n):
            distinct = len(set(values)) == n
            for order, k in product(permutations(range(n)), range(n + 1)):
                cases += 1
                here, there = magnitude(values, k), [order[i] for i in magnitude([values[i] for i in order], k)]
                same_norm = sorted(values[i] for i in here) == sorted(values[i] for i in there)
                if not same_norm or (distinct and set(there) != set(here)):
                    return Evidence("patterns", Level.EXHAUSTIVE, False, f"w = {values}, order {order}, prune {k}")
    scope = f"every pattern and permutation of n <= {N} weights"
    return Evidence("permutations, pruned norm at ties", Level.EXHAUSTIVE, True, scope, f"{cases} cases")


def rescaling() -> Evidence:
    """One hidden ReLU unit, W_1 = 1, W_2 = 2: rescaling by 4 keeps the function and changes which weight goes first."""
    first, second, c = fmpq(1), fmpq(2), fmpq(4)

    def network(x: fmpq, a: fmpq, b: fmpq) -> fmpq:
        return b * max(a * x, fmpq(0))

    # both functions are 0 for x <= 0 and linear for x > 0, so two points decide
    same = all(network(fmpq(x), first, second) == network(fmpq(x), c * first, second / c) for x in (-1, 1))
    moved = magnitude([first, second], 1) != magnitude([c * first, second / c], 1)
    return shown("not invariant to ReLU rescaling", same and moved, "W_1 = 1, W_2 = 2, c = 4")


def thresholds() -> Evidence:
    """w = (1, 1, 2), K = 1: no threshold prunes exactly one weight."""
    weights = (1, 1, 2)
    below = [sum(abs(w) < t for w in weights) for t in (0, 1, 2, 3)]
    up_to = [sum(abs(w) <= t for w in weights) for t in (0, 1, 2, 3)]
    return shown("no threshold prunes one of (1, 1, 2)", 1 not in below + up_to, "exact", f"counts {below + up_to}")


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        every_pattern(),
        rescaling(),
        thresholds(),
        judged("scaling and permuting", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.EXHAUSTIVE),
    ]


THEOREM = Theorem(
    id="magnitude-symmetries",
    catalogue="T8.4",
    title="What magnitude pruning is invariant to, and what it is not",
    statement=r"m(cw)=m(w)\ (c\ne0),\quad m(\Pi w)=\Pi\,m(w)\ \text{(no ties)},\quad "
    r"m(cW_1,W_2/c)\ne m(W_1,W_2)\ \text{in general}",
    source="folklore",
    bound="identity",
    proof="Scaling multiplies all magnitudes by |c|; a permutation carries the order of distinct magnitudes along. "
    "W_1 = 1, W_2 = 2 and c = 4 exchange the order and keep x -> W_2 max(W_1 x, 0).",
    check=check,
    near_miss=Drop("no-ties"),
    witness=lambda: witnessed(USUAL, HYPOTHESES),
    assumptions={"factor-not-zero": "c != 0", "no-ties": "no two weights have the same magnitude (for permutations)"},
)
