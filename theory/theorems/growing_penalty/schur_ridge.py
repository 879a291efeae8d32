r"""A penalty on the weights that go is ridge regression in the Schur complement (catalogue T6.1).

Statement: w(\lambda) = argmin L(w) + \lambda/2 ||w_c||^2 has w_c = (S+\lambda)^{-1} S w*_c, w_m = w*_m + B (w*_c -
w_c),
    B = H_mm^{-1} H_mc, S = H_cc - H_cm B, and L(w(\lambda)) = \lambda^2/2 w*_c' (S+\lambda)^{-1} S (S+\lambda)^{-1}
    w*_c. ||w_c|| decreases and L increases strictly, d||w_c||^2/d\lambda = -2 w*_c' S (S+\lambda)^{-3} S w*_c. As
    \lambda grows w(\lambda) tends to the optimal brain surgeon's point at ||w(\lambda) - w(\infty)|| <=
    sqrt(1+||B||^2) ||S w*_c|| / \lambda.
Assumptions: H symmetric; H positive definite; w*_c != 0 (for the strict monotonicities).
Source: limit: Hassibi and Stork 1993 (OBS), LeCun, Denker and Solla 1990 (OBD); the explicit path: not found, folklore.
Bound: identity.
Proof: block elimination of the first-order condition; d/d\lambda (S+\lambda)^{-1} = -(S+\lambda)^{-2};
    S > 0 because x'Sx = z'Hz with z = (-Bx, x).
Evidence: symbolic for every block size (free algebra), and exact rational instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from flint import fmpq

from unilth.theory.blocks import (
    BLOCKS,
    CHAIN,
    INDEFINITE,
    SKEWED,
    SOUND,
    A,
    B,
    C,
    D,
    Problem,
    R,
    S,
    a,
    b,
    c,
    is_positive,
    is_symmetric,
    l,
    problem,
    u,
)
from unilth.theory.evidence import Drop, Evidence, Statement, Theorem
from unilth.theory.exact import form, positive_definite, rational
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

EVERY = "blocks of every size, free algebra"
PENALTIES = tuple(rational(x) for x in ("0", "1/3", "1", "2", "10"))

HYPOTHESES = {
    "symmetric": is_symmetric,
    "positive-definite": is_positive,
    "pruned-not-zero": lambda p: any(x != 0 for x in p.target.entries()),
}


def identities(statement: Statement) -> list[Evidence]:
    """The statement reduced in the free algebra of the blocks."""
    t, eq = BLOCKS.transpose, BLOCKS.equal
    w_c, half = R * S * c, statement.exact("LOSS")
    w_m = u + a * B * (c - w_c)
    d_m, d_c = w_m - u, w_c - c
    loss2 = t(d_m) * (A * d_m + B * d_c) + t(d_c) * (b * d_m + D * d_c)  # 2 L(w(lambda))
    norm2 = t(w_c) * w_c
    lifted = (-a * B * c, c)
    stationary = eq(A * d_m + B * d_c, 0) and eq(b * d_m + D * d_c + l * w_c, 0)
    inherited = eq(t(lifted[0]) * (A * lifted[0] + B * lifted[1]) + C * (b * lifted[0] + D * c), C * S * c)
    gap = eq(C * S * S * c - l * l * norm2, t(w_c) * (S * S + 2 * (l * S)) * w_c)
    surgeon = eq(A * (-a * B) + B, 0) and eq(b * (-a * B) + D, S)
    return [
        shown("w(lambda) solves the first-order condition", stationary, EVERY),
        shown("S is positive definite: x'Sx = (-Bx, x)'H(-Bx, x)", inherited, EVERY),
        shown("loss along the path", eq(loss2, 2 * half * (l * l * C * R * S * R * c)), EVERY, f"coefficient {half}"),
        shown(
            "d||w_c||^2/dlambda = -2 w*'S(S+lambda)^{-3}S w* < 0",
            eq(BLOCKS.derivative(norm2), -2 * (C * S * R * R * R * S * c)),
            EVERY,
        ),
        shown(
            "dL/dlambda = lambda (SRw*_c)'R(SRw*_c) > 0",
            eq(BLOCKS.derivative(loss2), 2 * (l * C * R * S * R * S * R * c)),
            EVERY,
        ),
        shown("rate: ||S w*_c||^2 - lambda^2 ||w_c||^2 = w_c'(S^2 + 2 lambda S) w_c >= 0", gap, EVERY),
        shown("limit: H (-B; 1) = (0; S), so it is w* - H^{-1}E[(H^{-1})_cc]^{-1} w*_c", surgeon, EVERY),
    ]


def on_instance(p: Problem, statement: Statement) -> Verdict:
    """Evaluate the claim exactly on one problem for a handful of penalties."""
    pressed = [fmpq(int(i == j and i in p.pruned)) for i in range(p.hessian.nrows()) for j in range(p.hessian.nrows())]
    n = p.hessian.nrows()
    press = type(p.hessian)(n, n, pressed)
    curvature = (p.hessian + p.hessian.transpose()) / fmpq(2)
    losses, norms = [], []
    for penalty in PENALTIES:
        try:
            w = p.weights(penalty)
        except ZeroDivisionError:
            return False, f"the closed form is undefined at lambda = {penalty}"
        objective = curvature + press * penalty
        gradient = objective * w - curvature * p.minimiser
        if any(x != 0 for x in gradient.entries()) or not positive_definite(objective):
            return False, f"w({penalty}) = {[str(x) for x in w.entries()]} is not the minimiser"
        s, pruned = p.schur, type(w)(len(p.pruned), 1, [w[i, 0] for i in p.pruned])
        # lambda (S + lambda)^{-1} w*_c = w*_c - w_c
        claimed = rational(statement.exact("LOSS")) * form(p.target - pruned, s, p.target - pruned)
        if p.loss(w) != claimed:
            return False, f"L(w({penalty})) = {p.loss(w)}, claimed {claimed}"
        losses.append(p.loss(w))
        norms.append((pruned.transpose() * pruned)[0, 0])
    if not all(x < y for x, y in pairwise(losses)):
        return False, f"L does not increase strictly: {[str(x) for x in losses]}"
    if not all(x > y for x, y in pairwise(norms)):
        return False, f"||w_c|| does not decrease strictly: {[str(x) for x in norms]}"
    return True, ""


INSTANCES = (*SOUND, SKEWED, INDEFINITE, problem("nothing to press", [[2, 1], [1, 1]], [3, 0], (0,)))


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *identities(statement),
        judged("closed form, loss and monotonicity on instances", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="growing-penalty-is-schur-ridge",
    catalogue="T6.1",
    title="A penalty on the weights that go is ridge regression in the Schur complement",
    statement=r"w_c(\lambda)=(S+\lambda)^{-1}Sw^*_c,\; w_m=w^*_m+B(w^*_c-w_c),\; "
    r"L=\tfrac12\lambda^2 w^{*\prime}_c(S+\lambda)^{-1}S(S+\lambda)^{-1}w^*_c,\; "
    r"\|w(\lambda)-w(\infty)\|\le\sqrt{1+\|B\|^2}\,\|Sw^*_c\|/\lambda",
    source="limit: Hassibi and Stork 1993, LeCun, Denker and Solla 1990; explicit path not found in the literature",
    bound="identity",
    proof="Block elimination of H(w-w*) + lambda P w = 0 gives w_c and w_m; differentiate (S+lambda)^{-1}; S is "
    "positive "
    "definite because x'Sx = z'Hz for z = (-Bx, x). Every identity reduces to 0 in the free algebra of the blocks.",
    check=check,
    near_miss=Drop("positive-definite"),
    witness=lambda: witnessed(CHAIN, HYPOTHESES),
    assumptions={
        "symmetric": "H = H'",
        "positive-definite": "x'Hx > 0 for every x != 0",
        "pruned-not-zero": "w*_c != 0",
    },
    constants={"LOSS": "1/2"},
)
