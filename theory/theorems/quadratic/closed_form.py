r"""Gradient descent on a quadratic in closed form (catalogue T1.1).

Statement: L(w) = (w-w*)'H(w-w*)/2, H = H' (singular or indefinite allowed), any start, step sizes \varepsilon_j:
    w_k = w* + \prod_j (I - \varepsilon_j H)(w_0 - w*). In the eigenbasis, from w_0 = 0 with a constant step,
    Q'w_k = (I - (I - \varepsilon\Lambda)^k) Q'w*; the component of w_k in ker(H) is that of w_0 for every k.
Assumptions: H symmetric.
Source: Goodfellow, Bengio and Courville 2016, section 7.8, equations 7.33 to 7.45; folklore.
Bound: identity.
Proof: w_{j+1} - w* = (I - \varepsilon_j H)(w_j - w*), induction; x'H = 0 gives x'w_{j+1} = x'w_j.
Evidence: the induction step in the free algebra (every size), SymPy in the eigenbasis, the loop in exact rationals.
"""

from __future__ import annotations

from collections.abc import Sequence

import sympy

from unilth.theory.evidence import Drop, Evidence, Statement, Theorem
from unilth.theory.theorems.quadratic.rational_descent import SINGULAR, SKEWED, SOUND, Descent, is_symmetric
from unilth.theory.verdicts import Verdict, judged, shown, witnessed
from unilth.theory.words import Algebra, letters

HYPOTHESES = {"symmetric": is_symmetric}
EVERY = "matrices of every size, free algebra"


def induction() -> list[Evidence]:
    """From w_j to w_{j+1}, with P_j the product so far and x in the kernel."""
    H, P, d, w, g, x, e = letters("H P d w g x e")  # d = w_0 - w*, g = w*, w = w_j, x = a row of the kernel
    algebra = Algebra(rules={"x H": 0 * H}, central="e")
    here = g + P * d
    there = here - e * H * (here - g)
    kernel = x * (w - e * H * (w - g))
    q, lam, eps = sympy.symbols("q lambda epsilon", real=True)  # q = (1 - eps lam)^k
    gain = 1 - q
    eigen = sympy.expand(gain + eps * lam * (1 - gain) - (1 - q * (1 - eps * lam)))
    return [
        shown("w_{j+1} = w* + (I - e H) P_j (w_0 - w*)", algebra.equal(there, g + (1 - e * H) * P * d), EVERY),
        shown("x'w_{j+1} = x'w_j for x in ker(H)", algebra.equal(kernel, x * w), EVERY),
        shown(
            "eigenbasis from 0: 1 - (1-eps lam)^k becomes 1 - (1-eps lam)^{k+1}", eigen == 0, "all lam, eps, k (SymPy)"
        ),
    ]


def on_instance(d: Descent, statement: Statement) -> Verdict:
    """Run the loop; compare with the product, and the kernel's components with the start's."""
    end = d.iterates()[-1]
    closed = d.minimiser + d.product() * (d.start - d.minimiser)
    if end != closed:
        return (
            False,
            f"the loop ends at {[str(x) for x in end.entries()]}, the product at {[str(x) for x in closed.entries()]}",
        )
    moved = [x for x in d.kernel() if (x.transpose() * (end - d.start))[0, 0] != 0]
    return not moved, f"a kernel component moved: {moved}" if moved else ""


def check(statement: Statement) -> Sequence[Evidence]:
    return [*induction(), judged("the loop on instances", statement, (*SOUND, SKEWED), HYPOTHESES, on_instance)]


THEOREM = Theorem(
    id="descent-closed-form",
    catalogue="T1.1",
    title="Gradient descent on a quadratic in closed form, singular Hessians and any start included",
    statement=r"w_k=w^*+\prod_{j<k}(I-\varepsilon_jH)(w_0-w^*);\quad "
    r"w_0=0:\ Q'w_k=\big(I-(I-\varepsilon\Lambda)^k\big)Q'w^*;\quad \Pi_{\ker H}w_k=\Pi_{\ker H}w_0",
    source="Goodfellow, Bengio and Courville 2016, section 7.8, eqs. 7.33-7.45; folklore",
    bound="identity",
    proof="The gradient is H(w-w*), so w_{j+1}-w* = (I-e_j H)(w_j-w*); induction. For x in ker(H), x'H = 0, so x'w "
    "does not change. No sign of H is used: the catalogue's H >= 0 is not needed.",
    check=check,
    near_miss=Drop("symmetric"),
    witness=lambda: witnessed(SINGULAR, HYPOTHESES),
    assumptions={"symmetric": "H = H', so that H(w-w*) is the gradient of L"},
)
