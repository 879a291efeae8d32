r"""Which of two weights a uniform penalty shrinks more: curvature alone does not decide (catalogue T6.4).

Statement: under \lambda/2 ||w||^2 on both weights let r_i = w_i(\lambda)/w*_i. Then
    r_1 - r_2 = \lambda [h_11 - h_22 + h_12 (w_2/w_1 - w_1/w_2)] / det(H + \lambda I), so its sign is that of the
    bracket. "Larger curvature is penalised less" follows if h_12 = 0 or |w_1| = |w_2|, and fails for some H > 0. For
    n weights \lambda w(\lambda) -> H w* = -\nabla L(0): the last magnitude ranking is the first-order score at 0.
Assumptions: H positive definite; both weights non-zero; \lambda > 0.
Source: Wang, Qin, Zhang and Fu, ICLR 2021, Theorem 1 (formula re-derived).
Bound: identity.
Proof: Cramer's rule; \lambda (H+\lambda)^{-1} H = H - (H+\lambda)^{-1} H^2.
Evidence: SymPy for all H, w, \lambda; free algebra for the limit; exact rational instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sympy
from flint import fmpq

from unilth.theory.evidence import Drop, Evidence, Statement, Theorem
from unilth.theory.exact import Number, column, identity, matrix, positive_definite, rational
from unilth.theory.verdicts import Verdict, judged, shown, witnessed
from unilth.theory.words import Algebra, letters


@dataclass(frozen=True)
class Pair:
    """Two coupled weights: h_11, h_22, h_12, w*, lambda."""

    name: str
    h11: fmpq
    h22: fmpq
    h12: fmpq
    w1: fmpq
    w2: fmpq
    penalty: fmpq

    def __str__(self) -> str:
        return (
            f"{self.name}: H = [[{self.h11}, {self.h12}], [{self.h12}, {self.h22}]], w* = ({self.w1}, {self.w2}), "
            + (f"lambda = {self.penalty}")
        )


def pair(name: str, *values: Number) -> Pair:
    return Pair(name, *(rational(v) for v in values))


CURVED = pair("the curved weight shrinks less", 3, 1, "1/2", 1, 1, 2)
REVERSED = pair("the curved weight shrinks more", 2, 1, 1, 3, "1/2", 1)
INSTANCES = (
    CURVED,
    REVERSED,
    pair("diagonal", 5, 2, 0, 1, 7, 3),
    pair("indefinite", 1, -2, 0, 1, 1, 1),
    pair("no penalty", 3, 1, 0, 1, 1, 0),
    pair("a weight that is 0 already", 3, 1, "1/2", 0, 1, 1),
)
HYPOTHESES = {
    "positive-definite": lambda p: positive_definite(matrix([[p.h11, p.h12], [p.h12, p.h22]])),
    "weights-not-zero": lambda p: p.w1 != 0 and p.w2 != 0,
    "penalised": lambda p: p.penalty > 0,
}


def ratios(p: Pair) -> tuple[fmpq, fmpq]:
    """r_1 and r_2 from the linear system. Raises ZeroDivisionError where they are undefined."""
    h = matrix([[p.h11, p.h12], [p.h12, p.h22]])
    w = (h + identity(2) * p.penalty).solve(h * column([p.w1, p.w2]))
    return w[0, 0] / p.w1, w[1, 0] / p.w2


def on_instance(p: Pair, statement: Statement) -> Verdict:
    try:
        r1, r2 = ratios(p)
        bracket = p.h11 - p.h22 + p.h12 * (p.w2 / p.w1 - p.w1 / p.w2)
    except ZeroDivisionError:
        return False, "a ratio w_i(lambda)/w*_i is undefined"
    sign = (r1 > r2) - (r1 < r2)
    claimed = (bracket > 0) - (bracket < 0)
    return sign == claimed, f"r_1 - r_2 = {r1 - r2}, the bracket is {bracket}"


def check(statement: Statement) -> Sequence[Evidence]:
    h11, h22, h12, w1, w2, lam = sympy.symbols("h11 h22 h12 w1 w2 lambda")
    h = sympy.Matrix([[h11, h12], [h12, h22]])
    shifted = h + lam * sympy.eye(2)
    w = shifted.adjugate() * h * sympy.Matrix([w1, w2])  # times 1/det
    claimed = lam * (h11 - h22 + h12 * (w2 / w1 - w1 / w2))
    residual = sympy.cancel(w[0] / w1 - w[1] / w2 - claimed)
    H, R, l = letters("H R l")
    ridge = Algebra(rules={"R H": 1 - l * R}, central="l")  # R = (H + lambda)^{-1}
    limit = ridge.equal(l * R * H, H - R * H * H)
    r1, r2 = ratios(REVERSED)
    return [
        shown("r_1 - r_2", residual == 0, "all 2x2 H, w, lambda (SymPy)", f"residual {residual}"),
        shown("lambda w(lambda) = Hw* - (H+lambda)^{-1}H^2 w*", limit, "every n, free algebra"),
        shown("larger curvature can be penalised more", REVERSED.h11 > REVERSED.h22 and r1 < r2, str(REVERSED)),
        judged("the sign on instances", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="curvature-separation",
    catalogue="T6.4",
    title="Which of two weights a uniform penalty shrinks more",
    statement=r"\operatorname{sign}(r_1-r_2)=\operatorname{sign}\big[h_{11}-h_{22}+h_{12}(w_2/w_1-w_1/w_2)\big],\quad "
    r"\lambda w(\lambda)\to Hw^*=-\nabla L(0)",
    source="Wang, Qin, Zhang and Fu, ICLR 2021, Theorem 1 (formula from memory, re-derived)",
    bound="identity",
    proof="Cramer's rule for (H + lambda I) w = H w*, and det(H + lambda I) > 0; lambda (H+lambda)^{-1} H = "
    "H - (H+lambda)^{-1} H^2 -> H.",
    check=check,
    near_miss=Drop("positive-definite"),
    witness=lambda: witnessed(CURVED, HYPOTHESES),
    assumptions={
        "positive-definite": "H symmetric positive definite",
        "weights-not-zero": "w*_1 != 0 and w*_2 != 0",
        "penalised": "lambda > 0",
    },
)
