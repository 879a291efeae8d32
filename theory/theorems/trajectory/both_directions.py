r"""Stopping early before choosing the mask can win and can lose against magnitude at convergence (catalogue T7.6).

Statement: H = diag(1, 100), prune one weight, then move to the optimum of the mask.
    w* = (1, 1/2): the mask at t = 1/10 ends at the loss EARLY_WINS, the mask at convergence (LTH) at LTH_LOSES.
    w* = (5, 9/100): the mask at t -> 0 ends at EARLY_LOSES, LTH at LTH_WINS; at t = 1 the early mask is LTH's.
Assumptions: none, both are examples.
Source: not found in the literature.
Bound: counterexample.
Proof: compare the scores (1 - e^{-ht})|w*|; H is diagonal, so the optimum of a mask leaves the kept weights at w*.
Evidence: scores in balls, losses in exact rationals.
"""

from __future__ import annotations

from collections.abc import Sequence

from flint import arb, fmpq

from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem, Witness
from unilth.theory.exact import rational
from unilth.theory.verdicts import shown

CURVATURES = (fmpq(1), fmpq(100))
WINS = (fmpq(1), fmpq(1, 2))
LOSES = (fmpq(5), fmpq(9, 100))


def first_pruned(scores: Sequence[arb]) -> int | None:
    """Index of the smaller of two scores, None if the balls overlap."""
    if scores[0] < scores[1]:
        return 0
    return 1 if scores[1] < scores[0] else None


def by_magnitude(target: Sequence[fmpq], time: fmpq | None) -> int | None:
    """The weight that magnitude prunes at `time` of the flow from 0; None means convergence."""
    if time is None:
        return first_pruned([arb(abs(w)) for w in target])
    return first_pruned([-(-arb(h * time)).expm1() * abs(w) for h, w in zip(CURVATURES, target, strict=True)])


def at_once(target: Sequence[fmpq]) -> int | None:
    """The limit t -> 0: (1 - e^{-ht})/t -> h."""
    return first_pruned([arb(h * abs(w)) for h, w in zip(CURVATURES, target, strict=True)])


def loss(target: Sequence[fmpq], pruned: int | None) -> fmpq:
    """Loss of the mask's optimum. Raises ValueError if the mask is undecided."""
    if pruned is None:
        raise ValueError("the scores are too close to order")
    return CURVATURES[pruned] * target[pruned] ** 2 / 2


def check(statement: Statement) -> Sequence[Evidence]:
    found = {
        "EARLY_WINS": loss(WINS, by_magnitude(WINS, fmpq(1, 10))),
        "LTH_LOSES": loss(WINS, by_magnitude(WINS, None)),
        "EARLY_LOSES": loss(LOSES, at_once(LOSES)),
        "LTH_WINS": loss(LOSES, by_magnitude(LOSES, None)),
    }
    claimed = {name: rational(statement.exact(name)) for name in found}
    scope = "H = diag(1, 100), w* = (1, 1/2) and (5, 9/100)"
    same = by_magnitude(LOSES, fmpq(1)) == by_magnitude(LOSES, None)
    order = claimed["EARLY_WINS"] < claimed["LTH_LOSES"] and claimed["EARLY_LOSES"] > claimed["LTH_WINS"]
    return [
        *(
            Evidence(name, Level.CERTIFIED, value == claimed[name], scope, f"{value}, claimed {claimed[name]}")
            for name, value in found.items()
        ),
        shown("either may win", order, scope),
        Evidence("at t = 1 the early mask is LTH's", Level.CERTIFIED, same, scope),
    ]


def witness() -> Witness:
    return Witness("H = diag(1, 100), w* = (1, 1/2) at t = 1/10; w* = (5, 9/100) at t -> 0", {})


THEOREM = Theorem(
    id="both-directions",
    catalogue="T7.6",
    title="An early mask can win and can lose against magnitude at convergence",
    statement=r"H=\mathrm{diag}(1,100):\ w^*=(1,\tfrac12)\Rightarrow "
    r"L_{\text{early}}=\tfrac12<L_{\text{LTH}}=\tfrac{25}2;\quad w^*=(5,\tfrac9{100})\Rightarrow "
    r"L_{\text{early}}=\tfrac{25}2>L_{\text{LTH}}=\tfrac{81}{200}",
    source="not found in the literature",
    bound="counterexample",
    proof="Magnitude at time t orders (1 - e^{-ht})|w*|, at t -> 0 h|w*|, at convergence |w*|. Each pruned weight "
    "costs h w*^2/2, the kept one nothing.",
    check=check,
    near_miss=Move("LTH_WINS", "1e-6"),
    witness=witness,
    constants={"EARLY_WINS": "1/2", "LTH_LOSES": "25/2", "EARLY_LOSES": "25/2", "LTH_WINS": "81/200"},
    depends_on=("growing-penalty-is-schur-ridge", "mask-guarantee"),
)
