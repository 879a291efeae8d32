r"""Iterative pruning in whole weights: its lag behind the geometric schedule, and where it stalls (catalogue T8.3).

Statement: removing a share p per round leaves (1-p)^k after k rounds: s_k = 1-(1-p)^k. In whole weights
    n_k = n_{k-1} - floor(p n_{k-1}) obeys n(1-p)^k <= n_k < n(1-p)^k + SLACK/p with SLACK = 1, the least such constant.
    It stalls as soon as n_k < 1/p; for p = 1/5 and n >= 4 at STALL = 4 weights. Without retraining the masks are nested
    and iterative pruning ends at the one-shot mask of the same size.
Assumptions: 0 < p < 1; the number of pruned weights is rounded down; n >= 4 (for STALL).
Source: folklore; the sharp constant not found in the literature.
Bound: tight.
Proof: e_k = n_k - n(1-p)^k has e_k = (1-p)e_{k-1} + frac(p n_{k-1}), so 0 <= e_k < (1-(1-p)^k)/p < 1/p. For p just
    below 1/m the rule stalls at m weights, and p m -> 1.
Evidence: the recursion in SymPy; every n <= 300 with 14 rational p; every n <= 2000 for STALL; every mask path for n
<= 7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from itertools import permutations

import sympy

from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

SHARES = tuple(
    Fraction(x)
    for x in ["1/100", "1/20", "1/10", "1/5", "1/4", "3/10", "1/3", "2/5", "1/2", "3/5", "2/3", "3/4", "4/5", "9/10"]
)
MOST = 300


@dataclass(frozen=True)
class Schedule:
    """n weights, a share p per round, rounds, and how p n is rounded ("down" or "up")."""

    n: int
    share: Fraction
    rounds: int
    rounding: str = "down"

    def __str__(self) -> str:
        return f"n = {self.n}, p = {self.share}, {self.rounds} rounds, rounded {self.rounding}"

    def sizes(self) -> list[int]:
        """n_0, ..., n_rounds."""
        sizes = [self.n]
        for _ in range(self.rounds):
            gone = self.share * sizes[-1]
            down = gone.numerator // gone.denominator
            sizes.append(sizes[-1] - (down if self.rounding == "down" or gone == down else down + 1))
        return sizes


USUAL = Schedule(1000, Fraction(1, 5), 20)
SHARP = Schedule(2, Fraction(1, 2) - Fraction(1, 10**9), 60)
INSTANCES = (
    USUAL,
    SHARP,
    Schedule(7, Fraction(2, 7), 9),
    Schedule(3, Fraction(1, 5), 4),
    Schedule(100, Fraction(29, 100), 1),
    Schedule(100, Fraction(1, 7), 12, "up"),
    Schedule(10, Fraction(-1, 5), 3),
)
HYPOTHESES = {
    "share": lambda s: 0 < s.share < 1,
    "rounded-down": lambda s: s.rounding == "down",
    "four-or-more": lambda s: s.n >= 4 or s.share != Fraction(1, 5),
}


def on_instance(s: Schedule, statement: Statement) -> Verdict:
    slack = statement.exact("SLACK")
    for k, size in enumerate(s.sizes()):
        ideal = s.n * (1 - s.share) ** k
        if size < ideal:
            return False, f"n_{k} = {size} is below n(1-p)^k = {float(ideal):.6g}"
        if not size < ideal + slack / s.share:
            return False, f"n_{k} = {size} is not below n(1-p)^k + SLACK/p = {float(ideal + slack / s.share):.6g}"
    if s.share == Fraction(1, 5):
        end = Schedule(s.n, s.share, 60).sizes()[-1]
        if end != statement.exact("STALL"):
            return False, f"it stalls at {end} weights"
    return True, ""


def every_size(statement: Statement) -> Evidence:
    """Every n <= 300, every share, until it stalls: both bounds, and the stall exactly below 1/p. All in integers."""
    slack = statement.exact("SLACK")
    what = "both bounds, and stalling iff n_k < 1/p"
    for share in SHARES:
        a, b = share.numerator, share.denominator
        room = slack / share
        for n in range(1, MOST + 1):
            size, ideal, scale = n, n, 1  # ideal/scale = n(1-p)^k
            while True:
                over = size * scale - ideal
                if over < 0 or over * room.denominator >= room.numerator * scale:
                    return Evidence(what, Level.EXHAUSTIVE, False, f"n = {n}, p = {share}", f"n_k = {size}")
                gone = a * size // b
                if (gone == 0) != (a * size < b):
                    return Evidence(what, Level.EXHAUSTIVE, False, f"n = {n}, p = {share}", f"stall at {size}")
                if gone == 0:
                    break
                size, ideal, scale = size - gone, ideal * (b - a), scale * b
    return Evidence(what, Level.EXHAUSTIVE, True, f"every n <= {MOST}, {len(SHARES)} shares, until it stalls")


def stalls(statement: Statement) -> Evidence:
    """p = 1/5: every n from 4 to 2000."""
    claimed = statement.exact("STALL")
    for n in range(4, 2001):
        size = n
        while size >= 5:
            size -= size // 5
        if size != claimed:
            return Evidence("STALL", Level.EXHAUSTIVE, False, f"n = {n}", f"it stalls at {size}")
    # from 5..9 one weight goes per round, and every larger size stays at 4 or more: n - floor(n/5) >= 4n/5 >= 4
    return Evidence("STALL", Level.EXHAUSTIVE, True, "p = 1/5, every n from 4 to 2000; n - floor(n/5) >= 4n/5 beyond")


def least_slack(statement: Statement) -> Evidence:
    """p e_k on the sharp schedule is within 1e-8 below 1, which the recursion proves to be enough."""
    size = SHARP.sizes()[-1]
    reached = SHARP.share * (size - SHARP.n * (1 - SHARP.share) ** SHARP.rounds)
    claimed = statement.exact("SLACK")
    holds = reached < claimed <= reached + Fraction(1, 10**8)
    return shown("SLACK is the least constant", holds, str(SHARP), f"p e_k = {float(reached):.12f}, claimed {claimed}")


@cache
def nested() -> Evidence:
    """Iterative magnitude pruning without retraining ends at the one-shot mask, for every order of up to 7 weights."""
    for n in range(1, 8):
        for order in permutations(range(n)):
            kept = list(range(n))
            while True:
                gone = len(kept) // 3
                if gone == 0:
                    break
                before = set(kept)
                kept = sorted(sorted(kept, key=lambda i: order[i])[gone:])
                if not set(kept) < before:
                    return Evidence("nested", Level.EXHAUSTIVE, False, f"order {order}")
            one_shot = sorted(sorted(range(n), key=lambda i: order[i])[n - len(kept) :])
            if kept != one_shot:
                return Evidence("nested", Level.EXHAUSTIVE, False, f"order {order}", f"{kept}, one-shot {one_shot}")
    return Evidence("nested, and one-shot at the end", Level.EXHAUSTIVE, True, "every order of n <= 7 weights, p = 1/3")


def check(statement: Statement) -> Sequence[Evidence]:
    p, n, size, f, k = sympy.symbols("p n size f k", positive=True)
    ideal = n * (1 - p) ** k
    # floor(p size) = p size - f with 0 <= f < 1
    step = sympy.expand(sympy.powsimp((size - (p * size - f)) - (1 - p) * ideal - ((1 - p) * (size - ideal) + f)))
    geometric = sympy.expand((1 - p) * (1 - (1 - p) ** k) / p + 1 - (1 - (1 - p) * (1 - p) ** k) / p)
    return [
        shown("e_k = (1-p)e_{k-1} + frac(p n_{k-1})", sympy.simplify(step) == 0, "all n, p, k (SymPy)"),
        shown("so e_k < (1-(1-p)^k)/p", sympy.simplify(geometric) == 0, "induction step (SymPy)"),
        every_size(statement),
        stalls(statement),
        least_slack(statement),
        nested(),
        judged("bounds on instances", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="integer-rule",
    catalogue="T8.3",
    title="Iterative pruning in whole weights lags by less than 1/p and stalls below 1/p",
    statement=r"n_k=n_{k-1}-\lfloor p\,n_{k-1}\rfloor:\quad n(1-p)^k\le n_k<n(1-p)^k+1/p;\quad n_k<1/p\Rightarrow "
    r"n_{k+1}=n_k",
    source="folklore; that 1/p is sharp not found in the literature",
    bound="tight",
    proof="e_k = n_k - n(1-p)^k satisfies e_k = (1-p)e_{k-1} + frac(p n_{k-1}) with 0 <= frac < 1 and e_0 = 0. The "
    "rule stalls iff floor(p n_k) = 0. For p slightly below 1/m and n = m it stalls at once while n(1-p)^k "
    "-> 0, so p e_k -> p m -> 1.",
    check=check,
    near_miss=Move("SLACK", "-1e-6"),
    witness=lambda: witnessed(USUAL, HYPOTHESES),
    assumptions={
        "share": "0 < p < 1",
        "rounded-down": "floor(p n) weights are pruned per round",
        "four-or-more": "n >= 4 (for where it stalls)",
    },
    constants={"SLACK": "1", "STALL": "4"},
)
