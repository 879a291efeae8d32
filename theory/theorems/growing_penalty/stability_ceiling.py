r"""Gradient descent caps a growing penalty; a proximal step does not (catalogue T6.5).

Statement: with step \eta on L + \lambda/2 ||w_c||^2 the iteration is stable if \lambda < CEILING/\eta -
\lambda_max(H) and
    unstable if \lambda > CEILING/\eta - \lambda_max(H_cc), with CEILING = 2. The proximal (decoupled) step
    w_c <- w_c/(1 + \eta \lambda) after a gradient step on L is stable for every \lambda >= 0 if \eta <
    2/\lambda_max(H).
Assumptions: H symmetric positive definite; \lambda >= 0.
Source: folklore; not found in the literature in this form.
Bound: tight (both thresholds meet where \lambda_max(H_cc) = \lambda_max(H)).
Proof: 2/\eta - H - \lambda P >= (2/\eta - \lambda - \lambda_max(H)) I; and v'(H + \lambda P)v = \lambda_max(H_cc) +
\lambda for the top
    eigenvector v of H_cc. The proximal iteration is a product of (I + \eta\lambda P)^{-1}, of norm 1, and of I - \eta
    H.
Evidence: exact rationals on instances (definiteness by minors), free algebra for the two comparisons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from flint import fmpq, fmpq_mat

from unilth.theory.evidence import Evidence, Move, Statement, Theorem
from unilth.theory.exact import (
    Number,
    Rows,
    block,
    diagonal,
    identity,
    matrix,
    positive_definite,
    positive_semidefinite,
    rational,
    symmetric,
)
from unilth.theory.verdicts import Verdict, judged, shown, witnessed
from unilth.theory.words import Algebra, letters


@dataclass(frozen=True, eq=False)
class Step:
    """H, the pruned indices, the step eta and the penalty lambda."""

    name: str
    hessian: fmpq_mat
    pruned: tuple[int, ...]
    eta: fmpq
    penalty: fmpq

    def __str__(self) -> str:
        return f"{self.name}: H = {self.hessian.tolist()}, eta = {self.eta}, lambda = {self.penalty}"

    @property
    def pressed(self) -> fmpq_mat:
        return diagonal([int(i in self.pruned) for i in range(self.hessian.nrows())])


def step(name: str, h: Rows, pruned: tuple[int, ...], eta: Number, penalty: Number) -> Step:
    return Step(name, matrix(h), pruned, rational(eta), rational(penalty))


MODEST = step("below the ceiling", [[2, 1], [1, 3]], (1,), "1/4", 3)
INSTANCES = (
    MODEST,
    step("beyond the ceiling", [[2, 1], [1, 3]], (1,), "1/4", 6),
    step("just below", [[1]], (0,), 1, "9999995/10000000"),
    step("just beyond", [[1]], (0,), 1, "10000005/10000000"),
    step("between the thresholds", [[5, 0], [0, 1]], (1,), "1/4", 4),
    step("a direction of negative curvature", [[-1, 0], [0, 1]], (1,), "1/4", 1),
    step("a negative penalty", [[3, 0], [0, 1]], (1,), "1/4", -2),
)
HYPOTHESES = {
    "positive-definite": lambda s: symmetric(s.hessian) and positive_definite(s.hessian),
    "penalty-not-negative": lambda s: s.penalty >= 0,
}


def stable(s: Step, curvature: fmpq_mat) -> bool:
    """Whether I - eta M is a contraction: 0 < M < 2/eta.."""
    return positive_definite(curvature) and positive_definite(identity(curvature.nrows()) * (2 / s.eta) - curvature)


def on_instance(s: Step, statement: Statement) -> Verdict:
    """Both thresholds of the explicit step, and the proximal step, decided exactly."""
    room = rational(statement.exact("CEILING")) / s.eta - s.penalty
    n = s.hessian.nrows()
    measured = stable(s, s.hessian + s.pressed * s.penalty)
    h_cc = block(s.hessian, s.pruned, s.pruned)
    promised_stable = positive_definite(identity(n) * room - s.hessian)
    promised_unstable = not positive_semidefinite(identity(len(s.pruned)) * room - h_cc)
    if promised_stable and not measured:
        return False, "claimed stable, but I - eta (H + lambda P) is no contraction"
    if promised_unstable and measured:
        return False, "claimed unstable, but I - eta (H + lambda P) is a contraction"
    if positive_definite(identity(n) * (2 / s.eta) - s.hessian):
        # the norm of (1 + eta lambda P)^{-1}(1 - eta H): GG' < 1
        shrink = diagonal([1 / (1 + s.eta * s.penalty) if i in s.pruned else 1 for i in range(n)])
        g = shrink * (identity(n) - s.hessian * s.eta)
        if not positive_definite(identity(n) - g * g.transpose()):
            return False, "the proximal step is no contraction"
    return True, ""


def check(statement: Statement) -> Sequence[Evidence]:
    H, P, v, t, r, L, x = letters("H P v t r L x")  # r = 2/eta, L = lambda_max(H), x = lambda_max(H_cc), t = v'
    plain = Algebra(rules={}, central="r L l x")
    l = letters("l")[0]
    below = plain.equal(r - H - l * P, (r - l - L) + (L - H) + l * (1 - P))
    # the top eigenvector of H_cc: v = Pv, v'Hv = x v'v
    cc = Algebra(rules={"P v": v, "t H v": x * t * v}, central="r L l x")
    above = cc.equal(t * (H + l * P) * v, (x + l) * t * v)
    return [
        shown("2/eta - H - lambda P is at least 2/eta - lambda - lambda_max(H)", below, "every n, free algebra"),
        shown("v'(H + lambda P)v = (lambda_max(H_cc) + lambda) v'v", above, "every n, free algebra"),
        judged("both thresholds and the proximal step", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="stability-ceiling",
    catalogue="T6.5",
    title="Gradient descent caps a growing penalty; a proximal step does not",
    statement=r"\lambda<\tfrac2\eta-\lambda_{\max}(H)\Rightarrow\text{stable};\quad "
    r"\lambda>\tfrac2\eta-\lambda_{\max}(H_{cc})\Rightarrow\text{unstable}",
    source="folklore; not found in the literature in this form",
    bound="tight",
    proof="0 < H + lambda P <= lambda_max(H) + lambda < 2/eta makes I - eta(H + lambda P) a contraction. The Rayleigh "
    "quotient of H + lambda P at the top eigenvector of H_cc is lambda_max(H_cc) + lambda; beyond 2/eta it diverges. "
    "The proximal iteration is (I + eta lambda P)^{-1}(I - eta H), a product of norms at most 1 and less than 1.",
    check=check,
    near_miss=Move("CEILING", "1e-6"),
    witness=lambda: witnessed(MODEST, HYPOTHESES),
    assumptions={"positive-definite": "H symmetric positive definite", "penalty-not-negative": "lambda >= 0"},
    constants={"CEILING": "2"},
)
