r"""From any start: ridge has to be centred where descent starts, or its kernel part is another (catalogue T1.7).

Statement: w_k(w_0, w*) - w_0 = w_k(0, w* - w_0), and the same for ridge centred at w_0: all that holds from 0
    (effective penalty, gaps, recalibration) holds from any start. The kernel parts of both are that of w_0. Ridge
    centred at 0 has kernel part 0, so from a start with a kernel part no penalty makes it equal to w_k.
Assumptions: ridge centred at w_0.
Source: folklore.
Bound: identity.
Proof: substitute w = w_0 + v in the loss and in the penalty; x'H = 0 in the first-order condition gives x'(w-centre)
    = 0.
Evidence: free algebra (every size); exact rational instances, singular H among them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flint import fmpq, fmpq_mat

from unilth.theory.evidence import Drop, Evidence, Statement, Theorem
from unilth.theory.exact import identity
from unilth.theory.theorems.quadratic.rational_descent import PAIR, SCHEDULED, SINGULAR, Descent, descent
from unilth.theory.verdicts import Verdict, judged, shown, witnessed
from unilth.theory.words import Algebra, letters

PENALTIES = (fmpq(1, 10), fmpq(1), fmpq(7))


@dataclass(frozen=True, eq=False)
class Centred:
    """A descent and the centre of the ridge that it is compared with."""

    descent: Descent
    at_start: bool

    def __str__(self) -> str:
        return f"{self.descent}; ridge centred at {'w0' if self.at_start else '0'}"

    @property
    def centre(self) -> fmpq_mat:
        return self.descent.start if self.at_start else self.descent.start * fmpq(0)


INSTANCES = (
    *(Centred(d, True) for d in (PAIR, SINGULAR, SCHEDULED)),
    Centred(descent("a flat direction", [[1, 0], [0, 0]], [2, 5], [1, 1], ["1/2"] * 2), True),
    Centred(SINGULAR, False),
)
HYPOTHESES: dict[str, Callable[[Centred], bool]] = {"centre": lambda c: c.centre == c.descent.start}


def ridge(d: Descent, minimiser: fmpq_mat, centre: fmpq_mat, penalty: fmpq) -> fmpq_mat:
    """argmin (w-minimiser)'H(w-minimiser)/2 + penalty/2 ||w-centre||^2."""
    shifted = d.hessian + identity(d.hessian.nrows()) * penalty
    return shifted.inv() * (d.hessian * minimiser + centre * penalty)


def on_instance(c: Centred, statement: Statement) -> Verdict:
    """Shift the problem to start at 0 and compare; compare the kernel parts of descent and ridge."""
    d = c.descent
    nought = d.start * fmpq(0)
    shifted = Descent(d.name, d.hessian, d.minimiser - d.start, nought, d.steps)
    end = d.iterates()[-1]
    if end - d.start != shifted.iterates()[-1]:
        return False, "descent does not shift with its start"
    for penalty in PENALTIES:
        point = ridge(d, d.minimiser, c.centre, penalty)
        if point - d.start != ridge(d, d.minimiser - d.start, nought, penalty):
            return False, f"ridge with penalty {penalty} does not shift with the start"
        for x in d.kernel():
            parts = [(x.transpose() * w)[0, 0] for w in (end, point)]
            if parts[0] != parts[1]:
                return False, f"kernel parts {parts[0]} of descent and {parts[1]} of ridge with penalty {penalty}"
    return True, ""


def check(statement: Statement) -> Sequence[Evidence]:
    H, u, g, c, a, e, A = letters("H u g c a e A")  # u = w_0, g = w*, c = a point, A = (H + a)^{-1}
    algebra = Algebra(rules={"A H": 1 - a * A, "H A": 1 - a * A}, central="a e")
    every = "matrices of every size, free algebra"
    step = algebra.equal((c - e * H * (c - g)) - u, (c - u) - e * H * ((c - u) - (g - u)))
    shift = algebra.equal(A * (H * g + a * u) - u, A * H * (g - u))
    x = letters("x")[0]  # a row of the kernel, x'H = 0
    kernel = Algebra(rules={"A H": 1 - a * A, "H A": 1 - a * A, "x H": 0 * H}, central="a e")
    ridge_kernel = kernel.equal(x * (H + a) * A * (H * g + a * u), a * x * u)
    return [
        shown("a step of descent shifts with the start", step, every),
        shown("ridge centred at w_0 shifts with it", shift, every),
        shown("the first-order condition on the kernel: a x'w = a x'w_0", ridge_kernel, every),
        judged("shift and kernel parts on instances", statement, INSTANCES, HYPOTHESES, on_instance),
    ]


THEOREM = Theorem(
    id="any-start",
    catalogue="T1.7",
    title="From any start the equivalence is with ridge centred there; ridge centred at 0 has another kernel part",
    statement=r"w_k(w_0,w^*)-w_0=w_k(0,w^*-w_0),\quad \tilde w_a(w_0,w^*)-w_0=\tilde w_a(0,w^*-w_0);\quad "
    r"\Pi_{\ker H}w_k=\Pi_{\ker H}w_0,\ \Pi_{\ker H}\arg\min\big(L+\tfrac a2\|w\|^2\big)=0",
    source="folklore",
    bound="identity",
    proof="Loss and penalty depend on w - w_0 and w* - w_0 only. On the kernel the first-order condition H(w-w*) + "
    "a(w-centre) = 0 reads a x'(w-centre) = 0.",
    check=check,
    near_miss=Drop("centre"),
    witness=lambda: witnessed(INSTANCES[1], HYPOTHESES),
    assumptions={"centre": "the ridge is centred at w_0"},
    depends_on=("descent-closed-form",),
)
