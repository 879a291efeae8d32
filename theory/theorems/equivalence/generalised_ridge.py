r"""Early stopping is a generalised ridge whose penalty depends on the spectrum (catalogue T2.1).

Statement: H = H', step sizes \varepsilon_j > 0 with \varepsilon_j\lambda < 1 for every eigenvalue. Then w_k minimises
    ||w-w*||_H^2/2 + ||w-w_0||_P^2/2 with P = (\sum_j \varepsilon_j \prod_{i<=j}(I-\varepsilon_iH)^{-1})^{-1}, which is
    positive definite, is H(\prod(I-\varepsilon_jH)^{-1} - I)^{-1} off the kernel and 1/\sum\varepsilon_j on it.
    Gradient flow: P = H(e^{tH}-I)^{-1}, and its filter is the posterior mean for the prior SNR e^{ts}-1. An odd
    number of factors with 1 < \varepsilon_j\lambda < 2 makes P negative there, \varepsilon_j\lambda = 1 makes it 0 in
    the limit.
Assumptions: H symmetric; positive steps; \varepsilon_j\lambda < 1. (H may be indefinite; the catalogue assumes H >= 0.)
Source: Sonthalia, Lok and Rebrova 2024, arXiv 2406.04425 (arbitrary schedules); older folklore.
Bound: identity.
Proof: with M_j = \prod_{i<=j}(I-\varepsilon_iH)^{-1}, M_j - M_{j-1} = \varepsilon_jHM_j, so H\sum\varepsilon_jM_j =
    M_k - I; the first-order condition has residual P(H+P)^{-1} = M_k^{-1}.
Evidence: free algebra (every size), SymPy per eigenvalue, loops on exact rational instances.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy
from flint import fmpq

from unilth.theory.evidence import Drop, Evidence, Statement, Theorem
from unilth.theory.exact import identity, positive_definite, rational
from unilth.theory.theorems.quadratic.rational_descent import (
    SINGULAR,
    SKEWED,
    SOUND,
    Descent,
    descent,
    is_symmetric,
    steps_below_one,
    steps_positive,
)
from unilth.theory.verdicts import Verdict, judged, shown, witnessed
from unilth.theory.words import Algebra, letters

EVERY = "matrices of every size, free algebra"
INSTANCES = (
    *SOUND,
    descent("an indefinite H", [[1, 2], [2, 1]], [1, 3], [0, 1], ["1/4", "1/5"]),
    descent("one factor negative", [[1, 0], [0, "3/2"]], [1, 1], [0, 0], ["1", "1/3"]),
    descent("a factor of 0", [[1]], [1], [0], ["1"]),
    descent("a negative step", [[1, 0], [0, 2]], [1, 1], [0, 0], ["-1/3"]),
    SKEWED,
)
HYPOTHESES = {"symmetric": is_symmetric, "positive-steps": steps_positive, "small-steps": steps_below_one}


def on_instance(d: Descent, statement: Statement) -> Verdict:
    """Build P by the sum, check that it is a positive penalty whose minimiser is where the loop ends."""
    n = d.hessian.nrows()
    inverse, total = identity(n), identity(n) * fmpq(0)
    try:
        for step in d.steps:
            inverse = d.factor(step).inv() * inverse
            total = total + inverse * step
        p = total.inv()
    except ZeroDivisionError:
        return False, "P is not defined: a factor or the sum is singular"
    if not positive_definite(p):
        return False, f"P = {p.tolist()} is not positive definite"
    end = d.iterates()[-1]
    slope = d.curvature * (end - d.minimiser) + (p + p.transpose()) * (end - d.start) / fmpq(2)
    if any(x != 0 for x in slope.entries()) or not positive_definite(d.curvature + p):
        return False, f"the penalised objective has the gradient {[str(x) for x in slope.entries()]} at w_k"
    on_kernel = rational(statement.exact("KERNEL")) / sum(d.steps, fmpq(0))
    wrong = [x for x in d.kernel() if p * x != x * on_kernel]
    return not wrong, f"P is not {on_kernel} on the kernel" if wrong else ""


def identities() -> list[Evidence]:
    H, M, S, P, W, e = letters("H M S P W e")
    # M = M_{j+1}, and M_j = (I - e H) M; S = S_j with H S_j = M_j - I
    step = Algebra(rules={"H S": (1 - e * H) * M - 1}, central="e")
    telescopes = step.equal(H * (S + e * M), M - 1)
    # S P = P S = I, W = M^{-1}, H S = M - I
    one = 1 + 0 * H
    done = Algebra(rules={"H S": M - 1, "P S": one, "S P": one, "M W": one, "W M": one})
    solves = done.equal((H + P) * S * W, one) and done.equal(P * S * W, W)
    lam, eps, q, s, t = sympy.symbols("lambda epsilon q s t", positive=True)
    off_kernel = sympy.cancel(
        eps / (1 - eps * lam) - (1 / (1 - eps * lam) - 1) / lam
    )  # one step, and by telescoping all
    flow = s / (sympy.exp(t * s) - 1)
    residual = sympy.simplify(flow / (s + flow) - sympy.exp(-t * s))
    wiener = sympy.simplify((sympy.exp(t * s) - 1) / sympy.exp(t * s) - (1 - sympy.exp(-t * s)))
    # lam/(1/q - 1) = lam q/(1 - q): sign of q = the product of the factors, for q < 1
    sign = sympy.cancel(lam / (1 / q - 1) - lam * q / (1 - q))
    limit = sympy.limit(lam * q / (1 - q), q, 0)
    return [
        shown("H sum e_j M_j = M_k - I: one more step", telescopes, EVERY),
        shown("(H+P)^{-1} = S M_k^{-1}, so the residual P(H+P)^{-1} is the product of the factors", solves, EVERY),
        shown("off the kernel P = lambda/(1/q - 1) with q the product", off_kernel == 0, "all lambda, eps (SymPy)"),
        shown("P has the sign of q: negative for an odd number of negative factors", sign == 0, "all q < 1 (SymPy)"),
        shown("P = 0 where a factor is 0", limit == 0, "limit q -> 0 (SymPy)"),
        shown("gradient flow: P = s/(e^{ts}-1) has the residual e^{-ts}", residual == 0, "all s, t (SymPy)"),
        shown("Bayes: SNR/(1+SNR) = 1-e^{-ts} for SNR = e^{ts}-1", wiener == 0, "all s, t (SymPy)"),
    ]


def negative_direction() -> Evidence:
    """One negative factor: P is negative, two: positive; evaluated."""
    values = {}
    for steps in (("1",), ("1", "1")):
        q = fmpq(1)
        for e in steps:
            q *= 1 - rational(e) * rational("3/2")
        values[len(steps)] = rational("3/2") / (1 / q - 1)
    scope = "lambda = 3/2, one and two steps of 1"
    return shown("one negative factor: P < 0; two: P > 0", values[1] < 0 < values[2], scope, f"P = {values}")


def check(statement: Statement) -> Sequence[Evidence]:
    return [
        *identities(),
        negative_direction(),
        judged("the loop on instances", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="generalised-ridge",
    catalogue="T2.1",
    title="Early stopping is exactly a generalised ridge, with a penalty that the spectrum and the schedule choose",
    statement=r"w_k=\arg\min\tfrac12\|w-w^*\|_H^2+\tfrac12\|w-w_0\|_P^2,\quad "
    r"P=\Big(\sum_j\varepsilon_j\prod_{i\le j}(I-\varepsilon_iH)^{-1}\Big)^{-1}\succ0,\quad "
    r"P|_{\ker H}=\frac1{\sum_j\varepsilon_j};\quad\text{flow: }P=H(e^{tH}-I)^{-1}",
    source="Sonthalia, Lok and Rebrova 2024, arXiv 2406.04425 (minimum norm solution, arbitrary schedules); older "
    "folklore",
    bound="identity",
    proof="M_j - M_{j-1} = e_j H M_j because M_{j-1} = (I - e_j H) M_j, so H S = M_k - I for S = sum e_j M_j = "
    "P^{-1}. Then (H+P) S = M_k, the minimiser's residual is P (H+P)^{-1} = M_k^{-1}, that of descent. S is a sum of "
    "positive matrices.",
    check=check,
    near_miss=Drop("small-steps"),
    witness=lambda: witnessed(SINGULAR, HYPOTHESES),
    assumptions={
        "symmetric": "H = H'",
        "positive-steps": "eps_j > 0",
        "small-steps": "eps_j lambda < 1 for every step and eigenvalue",
    },
    constants={"KERNEL": "1"},
    depends_on=("descent-closed-form",),
)
