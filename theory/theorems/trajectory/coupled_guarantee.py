r"""The mask guarantee without a diagonal Hessian (beyond the catalogue's T7.5).

Statement: let h_i = H_ii lie in [\mu, L] and the correlation matrix C = D^{-1/2} H D^{-1/2}, D = diag(h), have its
spectrum in
    [c, C_]. Prune the K smallest scores g(h_i)|w*_i|. Then both the loss of the plain mask and the loss after the kept
    weights have adapted (OBS) are at most \rho(g) C_/c times the least over all masks, with T7.5's \rho(g). For OBD
    (g = \sqrt h, \rho = 1) no factor below C_/c holds. For c = 1/2, C_ = 3/2 it is COUPLING = 3.
    With H's own spectrum in [\mu, \kappa\mu], magnitude at convergence is within \kappa for both losses.
Assumptions: diagonal of H in [\mu, 100\mu]; spectrum of C in [1/2, 3/2].
Source: not found in the literature.
Bound: tight for OBD; upper for the other rules.
Proof: plain loss w_c'H_cc w_c/2 and OBS loss w_c'S w_c/2 = min over y of (y, w_c)'H(y, w_c)/2 both lie between c and C_
    times the diagonal loss sum h w^2/2, to which T7.5 applies. Two pairs with correlations of the worst signs attain
    it.
Evidence: free algebra for the OBS loss as a minimum; every mask on exact rational instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from flint import fmpq, fmpq_mat

from unilth.theory.blocks import BLOCKS, A, B, D, S, a, b, c
from unilth.theory.evidence import Drop, Evidence, Statement, Theorem
from unilth.theory.exact import (
    Number,
    Rows,
    block,
    diagonal,
    form,
    identity,
    matrix,
    positive_semidefinite,
    rational,
    schur,
    symmetric,
)
from unilth.theory.verdicts import Verdict, judged, shown, witnessed
from unilth.theory.words import letters

RHO = {"LTH": fmpq(100), "GRADIENT": fmpq(100), "RIDGE": fmpq(121, 40), "OBD": fmpq(1)}  # T7.5 at kappa = 100


@dataclass(frozen=True, eq=False)
class Coupled:
    """Square roots of the diagonal, the correlation matrix C, w*, how many to prune."""

    name: str
    roots: tuple[fmpq, ...]
    correlation: fmpq_mat
    weights: tuple[fmpq, ...]
    count: int

    def __str__(self) -> str:
        w = ", ".join(str(x) for x in self.weights)
        return f"{self.name}: H = {self.hessian.tolist()}, w* = ({w}), prune {self.count}"

    @property
    def hessian(self) -> fmpq_mat:
        return diagonal(self.roots) * self.correlation * diagonal(self.roots)

    def pruned_by(self, rule: str) -> tuple[int, ...]:
        """The K smallest squared scores, ties by position."""
        factor = {
            "LTH": lambda h: fmpq(1),
            "GRADIENT": lambda h: h**2,
            "RIDGE": lambda h: (h / (h + 10)) ** 2,
            "OBD": lambda h: h,
        }[rule]
        scores = [factor(r**2) * w**2 for r, w in zip(self.roots, self.weights, strict=True)]
        return tuple(sorted(sorted(range(len(scores)), key=lambda i: (scores[i], i))[: self.count]))

    def losses(self, pruned: Sequence[int]) -> tuple[fmpq, fmpq]:
        """Loss of the plain mask, and after the kept weights have adapted."""
        w = fmpq_mat(len(pruned), 1, [self.weights[i] for i in pruned])
        kept = [i for i in range(len(self.weights)) if i not in pruned]
        return form(w, block(self.hessian, pruned, pruned), w) / 2, form(w, schur(self.hessian, kept), w) / 2


def coupled(name: str, roots: Sequence[Number], c: Rows, w: Sequence[Number], count: int) -> Coupled:
    return Coupled(name, tuple(map(rational, roots)), matrix(c), tuple(map(rational, w)), count)


def pairs(correlation: str) -> Rows:
    """Two pairs, each with this correlation."""
    return [[1, correlation, 0, 0], [correlation, 1, 0, 0], [0, 0, 1, correlation], [0, 0, correlation, 1]]


NEAR = "0.9999999999"
WORST = coupled("two pairs near a tie", [1, 1, 1, 1], pairs("1/2"), [NEAR, NEAR, 1, -1], 2)
RING: Rows = [[1, "1/4", 0, "-1/8"], ["1/4", 1, "1/8", 0], [0, "1/8", 1, "1/4"], ["-1/8", 0, "1/4", 1]]
INSTANCES = (
    WORST,
    *(coupled("a ring", [1, 3, 10, 2], RING, [2, -1, "1/3", 1], k) for k in (1, 2, 3)),
    *(coupled("another ring", [10, 1, 5, 1], RING, ["1/10", 1, "-1/4", "9/10"], k) for k in (1, 2, 3)),
    coupled("stronger correlation", [1, 1, 1, 1], pairs("9/10"), [NEAR, NEAR, 1, -1], 2),
    coupled("a wider diagonal", [40, 1, 1], [[1, 0, 0], [0, 1, 0], [0, 0, 1]], [NEAR, 1, 5], 1),
)


def within(c: Coupled) -> bool:
    """Whether the spectrum of C lies in [1/2, 3/2]."""
    one = identity(c.correlation.nrows())
    half = fmpq(1, 2)
    return (
        symmetric(c.correlation)
        and all(c.correlation[i, i] == 1 for i in range(one.nrows()))
        and positive_semidefinite(c.correlation - one * half)
        and positive_semidefinite(one * (3 * half) - c.correlation)
    )


HYPOTHESES = {"diagonal-range": lambda c: all(1 <= r**2 <= 100 for r in c.roots), "correlation": within}


def best(c: Coupled) -> tuple[fmpq, fmpq]:
    """The least plain and the least OBS loss over all masks of this size."""
    every = [c.losses(pruned) for pruned in combinations(range(len(c.weights)), c.count)]
    return min(plain for plain, _ in every), min(adapted for _, adapted in every)


def on_instance(c: Coupled, statement: Statement) -> Verdict:
    factor = rational(statement.exact("COUPLING"))
    least = best(c)
    for rule, rho in RHO.items():
        for kind, loss, low in zip(("plain", "OBS"), c.losses(c.pruned_by(rule)), least, strict=True):
            if loss > rho * factor * low:
                return False, f"{rule}, {kind} loss {loss}: {loss / low} times the best, more than {rho * factor}"
    return True, ""


def attained(statement: Statement) -> Evidence:
    short = [
        rational(statement.exact("COUPLING")) - loss / low
        for loss, low in zip(WORST.losses(WORST.pruned_by("OBD")), best(WORST), strict=True)
    ]
    holds = all(0 <= x < rational("1e-8") for x in short)
    return shown(
        "the factor is approached by OBD, for both losses", holds, str(WORST), f"short by {short[0]}, {short[1]}"
    )


def check(statement: Statement) -> Sequence[Evidence]:
    t = BLOCKS.transpose
    (y,) = letters("y")
    # (y, c)'H(y, c) = c'Sc + (y + Bc)'A(y + Bc), so its minimum over y is c'Sc
    lifted = t(y) * A * y + t(y) * B * c + t(c) * b * y + t(c) * D * c
    shifted = y + a * B * c
    minimum = BLOCKS.equal(lifted, t(c) * S * c + t(shifted) * A * shifted)
    return [
        shown("w_c'S w_c = min over y of (y, w_c)'H(y, w_c)", minimum, "blocks of every size, free algebra"),
        attained(statement),
        judged("both losses for four rules, against every mask", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="coupled-guarantee",
    catalogue="T7.5",
    title="The mask guarantee without a diagonal Hessian",
    statement=r"c\le\mathrm{spec}(D^{-1/2}HD^{-1/2})\le C\ \Rightarrow\ "
    r"L(\text{mask by }g(h_i)|w^*_i|)\le\rho(g)\,\tfrac Cc\,\min L\quad\text{for the plain and the OBS loss}",
    source="not found in the literature; extends the catalogue's T7.5 beyond diagonal H",
    bound="tight",
    proof="Both losses of a mask lie between c and C times its diagonal loss sum h_i w_i^2/2: the plain one "
    "directly, the OBS one as the minimum over y of (y, w_c)'H(y, w_c)/2, whose diagonal counterpart is "
    "least at y = 0. Apply T7.5 to the diagonal loss. Two pairs of correlation 1/2, one with equal and one "
    "with opposite signs, tie for OBD and cost 3/2 and 1/2. With the identity for D: magnitude is within "
    "kappa(H).",
    check=check,
    near_miss=Drop("correlation"),
    witness=lambda: witnessed(WORST, HYPOTHESES),
    assumptions={
        "diagonal-range": "the diagonal of H lies in [mu, 100 mu]",
        "correlation": "the spectrum of the correlation matrix lies in [1/2, 3/2]",
    },
    constants={"COUPLING": "3"},
    depends_on=("mask-guarantee",),
)
