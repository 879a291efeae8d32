r"""When gradient descent converges, and when its filter shrinks (catalogue T1.2).

Statement: with u = \varepsilon\lambda, (1-u)^k \to 0 iff 0 < u < 2; the filter 1 - (1-u)^k lies in [0, 1] for all k iff
    0 <= u <= 1; for 1 < u < 2 it exceeds 1 for every odd k (anti-shrinkage).
Assumptions: none.
Source: folklore.
Bound: tight.
Proof: |1-u| < 1 iff u(u-2) < 0; 0 <= 1-u <= 1 makes every power lie in [0, 1], and k = 1 alone asks for it.
Evidence: SymPy for all u; exact rationals on both sides of every border, at a distance of 1e-7 too.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import sympy

from unilth.theory.evidence import Evidence, Move, Statement, Theorem, Witness
from unilth.theory.verdicts import Verdict, judged, shown

BORDER = Fraction(1, 10**7)
POINTS = tuple(
    sorted({Fraction(x) + d for x in (0, 1, 2) for d in (-BORDER, 0, BORDER)} | {Fraction(n, 4) for n in range(-4, 13)})
)
STEPS = range(10)


def on_point(u: Fraction, statement: Statement) -> Verdict:
    """Both equivalences and the overshoot at one u, exactly."""
    converges = abs(1 - u) < 1  # a geometric sequence tends to 0 iff its ratio is below 1 in modulus
    if converges != (0 < u < statement.exact("CONVERGES")):
        return False, f"(1-u)^k {'tends' if converges else 'does not tend'} to 0, claimed otherwise"
    shrinks = u >= 0 and abs(1 - u) <= 1 and all(0 <= 1 - (1 - u) ** k <= 1 for k in STEPS)
    if shrinks != (0 <= u <= statement.exact("SHRINKS")):
        return False, f"the filter {'stays in' if shrinks else 'leaves'} [0, 1], claimed otherwise"
    if statement.exact("SHRINKS") < u < statement.exact("CONVERGES"):
        low = [k for k in STEPS if k % 2 and not 1 - (1 - u) ** k > 1]
        return not low, f"no overshoot at k in {low}" if low else ""
    return True, ""


def check(statement: Statement) -> Sequence[Evidence]:
    u, v = sympy.symbols("u v")
    p = sympy.symbols("p", positive=True)
    j = sympy.symbols("j", integer=True, nonnegative=True)
    converges, shrinks = (sympy.Rational(*statement.exact(c).as_integer_ratio()) for c in ("CONVERGES", "SHRINKS"))
    inside = sympy.expand((1 - u) ** 2 - 1 - u * (u - converges))
    gain = 1 - (1 - u)
    odd = sympy.expand(-p * (p**2) ** j - (-p) ** (2 * j + 1))
    # q in [0, 1] and 0 <= u <= 1 give q(1-u) in [0, 1]: with q = 1 - v and u both in [0, 1], 1 - q(1-u) = u + v(1-u)
    step = sympy.expand(1 - (1 - v) * (1 - u) - (u + v * (1 - u)))
    return [
        shown("(1-u)^2 - 1 = u(u-2)", inside == 0, "all u (SymPy)", f"residual {inside}"),
        shown(
            "one step gains u, which reaches 1 at the border", gain.subs(u, shrinks) == 1, "SymPy", f"border {shrinks}"
        ),
        shown("a gain v in [0, 1] becomes u + v(1-u), in [0, 1] for u in [0, 1]", step == 0, "all u, v (SymPy)"),
        shown(
            "an odd power of 1-u = -p < 0 is negative",
            odd == 0 and (p * (p**2) ** j).is_positive is True,
            "all p, k (SymPy)",
        ),
        judged("both equivalences at exact points", statement, POINTS, {}, on_point),
    ]


THEOREM = Theorem(
    id="descent-stability",
    catalogue="T1.2",
    title="Gradient descent converges for steps below 2/lambda and shrinks for steps up to 1/lambda",
    statement=r"(1-\varepsilon\lambda)^k\to0\iff0<\varepsilon\lambda<2;\quad "
    r"1-(1-\varepsilon\lambda)^k\in[0,1]\ \forall k\iff0\le\varepsilon\lambda\le1;\quad "
    r"1<\varepsilon\lambda<2,\ k\text{ odd}:\ 1-(1-\varepsilon\lambda)^k>1",
    source="folklore",
    bound="tight",
    proof="(1-u)^2 < 1 iff u(u-2) < 0. For 0 <= u <= 1 every power of 1-u is in [0, 1]; conversely k = 1 has gain u. "
    "For u > 1 an odd power of 1-u is negative.",
    check=check,
    near_miss=Move("CONVERGES", "1e-6"),
    witness=lambda: Witness("u = 1/2", {}),
    constants={"CONVERGES": "2", "SHRINKS": "1"},
)
