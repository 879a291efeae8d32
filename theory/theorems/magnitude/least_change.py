r"""Magnitude pruning changes the weights least, in every norm (catalogue T8.1).

Statement: among all masks that prune K of n weights the magnitude mask minimises sum over the pruned of f(|w_i|) for
every
    non-decreasing f with f >= 0, hence ||w - m \circ w||_p for every p in (0, infinity].
Assumptions: the cost is separable; f is non-decreasing.
Source: folklore.
Bound: identity.
Proof: sort by magnitude; the j-th smallest pruned position of any mask is at least j.
Evidence: every mask for n <= 8 (positions), which with f's monotonicity covers all weights and all f; exact instances.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from flint import fmpq

from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.exact import Number, rational
from unilth.theory.verdicts import Verdict, judged, witnessed

N = 8


@dataclass(frozen=True)
class Cost:
    """Weights, how many to prune, and a cost: f on one magnitude, coupling added per pair of pruned weights."""

    name: str
    weights: tuple[fmpq, ...]
    count: int
    f: Callable[[fmpq], fmpq]
    coupling: fmpq

    def __str__(self) -> str:
        return f"{self.name}: w = ({', '.join(map(str, self.weights))}), prune {self.count}"

    def of(self, pruned: Sequence[int]) -> fmpq:
        pairs = sum((self.weights[i] * self.weights[j] for i, j in combinations(pruned, 2)), fmpq(0))
        return sum((self.f(abs(self.weights[i])) for i in pruned), fmpq(0)) + self.coupling * pairs


def cost(name: str, w: Sequence[Number], count: int, f: Callable[[fmpq], fmpq], coupling: Number = 0) -> Cost:
    return Cost(name, tuple(map(rational, w)), count, f, rational(coupling))


WEIGHTS: tuple[Number, ...] = ("1/2", -3, 1, "-1/3", 2, 1, 0)
SQUARES = cost("squares", WEIGHTS, 3, lambda x: x**2)
INSTANCES = (
    SQUARES,
    *(cost("absolute values", WEIGHTS, k, lambda x: x) for k in (1, 2, 5)),
    cost("fourth powers", WEIGHTS, 4, lambda x: x**4),
    cost("a step: how many are at least 1", WEIGHTS, 4, lambda x: fmpq(int(x >= 1))),
    cost("a falling cost", WEIGHTS, 3, lambda x: 1 / (1 + x)),
    cost("a coupled cost", ["-11/10", 1, "21/20"], 2, lambda x: x**2, 1),
)


def rising(c: Cost) -> bool:
    """Whether f is non-decreasing and non-negative on the magnitudes that occur."""
    values = [c.f(x) for x in sorted({abs(w) for w in c.weights})]
    return all(a <= b for a, b in pairwise(values)) and all(v >= 0 for v in values)


HYPOTHESES = {"separable": lambda c: c.coupling == 0, "rising": rising}


def magnitude(weights: Sequence[fmpq] | Sequence[int], count: int) -> tuple[int, ...]:
    """Indices of the `count` smallest magnitudes, ties by position."""
    return tuple(sorted(range(len(weights)), key=lambda i: (abs(weights[i]), i))[:count])


def on_instance(c: Cost, statement: Statement) -> Verdict:
    chosen = c.of(magnitude(c.weights, c.count))
    least = min(combinations(range(len(c.weights)), c.count), key=c.of)
    return chosen <= c.of(least), f"magnitude costs {chosen}, pruning {least} costs {c.of(least)}"


def positions_dominate() -> Evidence:
    """For every mask on sorted weights the j-th pruned position is at least j, so its f is at least f of the j-th."""
    masks = [pruned for n in range(1, N + 1) for k in range(n + 1) for pruned in combinations(range(n), k)]
    bad = [pruned for pruned in masks if any(position < j for j, position in enumerate(pruned))]
    detail = f"{len(masks)} masks" if not bad else f"mask {bad[0]}"
    return Evidence("positions dominate", Level.EXHAUSTIVE, not bad, f"every mask for n <= {N}", detail)


def check(statement: Statement) -> Sequence[Evidence]:
    what = "against every mask of the same size"
    return [
        positions_dominate(),
        judged(what, statement, INSTANCES, HYPOTHESES, on_instance, level=Level.EXHAUSTIVE),
    ]


THEOREM = Theorem(
    id="least-change",
    catalogue="T8.1",
    title="Magnitude pruning changes the weights least, in every norm",
    statement=r"m_{\text{magnitude}}\in\arg\min_{|m|=n-K}\|w-m\circ w\|_p\quad\forall p\in(0,\infty]",
    source="folklore",
    bound="identity",
    proof="Sort by magnitude. The j-th smallest pruned position of a mask with K pruned weights is at least j, so "
    "its cost is term by term at least that of the first K positions. p < infinity: f(x) = x^p; p = "
    "infinity: the last position.",
    check=check,
    near_miss=Drop("separable"),
    witness=lambda: witnessed(SQUARES, HYPOTHESES),
    assumptions={"separable": "the cost is a sum over the pruned weights", "rising": "f is non-decreasing, f >= 0"},
)
