r"""The ridge penalty that k steps of gradient descent amount to, per eigenvalue: no scalar penalty does (catalogue
T1.3).

Statement: for 0 < \varepsilon\lambda < 1 and k >= 1 let (1-\varepsilon\lambda)^k = a/(\lambda+a). Then
    1/a_k(\lambda) = \varepsilon\sum_{j=1}^k (1-\varepsilon\lambda)^{-j}, and for gradient flow 1/a_t(s) = (e^{ts}-1)/s.
    So a_k > 0 decreases strictly in \lambda from a_k(0+) = 1/(\varepsilon k), an upper bound for every \lambda, and
    (I-\varepsilon\Lambda)^k = a(\Lambda+aI)^{-1} holds on the eigenvalues with (Q'(w*-w_0))_i != 0 for a scalar a
    iff all those eigenvalues coincide (eigenvalue 0 never counts: nothing moves there). \tau(\lambda) =
    ln(1+\lambda/a)/(-ln(1-\varepsilon\lambda)), the number of steps that amounts to a, satisfies
    (1-\lambda/2a)(1-\varepsilon\lambda) <= \varepsilon a\tau <= 1; the 1/2 is the best constant.
Assumptions: steps below 1/\lambda; at least one step.
Source: the equality with a scalar penalty is Goodfellow, Bengio and Courville 2016, eq. 7.45, an approximation; the
    exact penalty: folklore, not found in the literature.
Bound: identity.
Proof: geometric sum, whose terms increase in \lambda; x - x^2/2 <= ln(1+x) <= x and u <= -ln(1-u) <= u/(1-u).
Evidence: SymPy (induction over k, derivatives), exact rational spectra.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import sympy

from unilth.theory.evidence import Drop, Evidence, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed


@dataclass(frozen=True)
class Spectrum:
    """The eigenvalues in whose directions w* - w_0 has a component, a step size and a number of steps."""

    active: tuple[Fraction, ...]
    step: Fraction
    steps: int

    def __str__(self) -> str:
        return f"eigenvalues {[str(x) for x in self.active]}, {self.steps} steps of {self.step}"

    def penalty(self, lam: Fraction) -> Fraction:
        """a with (1 - step lam)^k = a/(lam + a). Raises ZeroDivisionError if there is none."""
        residual = (1 - self.step * lam) ** self.steps
        return lam * residual / (1 - residual)


def spectrum(values: Sequence[int | str], step: str, steps: int) -> Spectrum:
    return Spectrum(tuple(Fraction(x) for x in values), Fraction(step), steps)


INSTANCES = (
    spectrum(["1", "2", "3"], "1/4", 1),
    spectrum(["1/10", "1", "1", "9/2"], "1/5", 7),
    spectrum(["2", "2"], "1/3", 5),
    spectrum(["1/1000000", "1"], "1/2", 3),
    spectrum(["3/2"], "1", 1),
    spectrum(["1", "2"], "1/4", 0),
)
HYPOTHESES = {
    "small-steps": lambda s: all(0 < s.step * x < 1 for x in s.active),
    "a-step": lambda s: s.steps >= 1,
}


def on_instance(s: Spectrum, statement: Statement) -> Verdict:
    """Solve for the penalty of every eigenvalue and compare with the sum, the order and the limit."""
    flat = statement.exact("FLAT")
    try:
        penalties = {x: s.penalty(x) for x in s.active}
        bound = flat / (s.step * s.steps)
    except ZeroDivisionError:
        return False, "no penalty amounts to this"
    for x, a in penalties.items():
        total = s.step * sum((1 - s.step * x) ** -j for j in range(1, s.steps + 1))
        if a <= 0 or 1 / a != total or a >= bound:
            return False, f"at eigenvalue {x} the penalty is {a}, the sum gives {total}, the upper bound is {bound}"
    ordered = [penalties[x] for x in sorted(penalties)]
    if any(a <= b for a, b in pairwise(ordered)):
        return False, f"the penalties {[str(a) for a in ordered]} do not decrease"
    one_penalty, one_eigenvalue = len(set(ordered)) == 1, len(set(s.active)) == 1
    return one_penalty == one_eigenvalue, f"one penalty: {one_penalty}, one eigenvalue: {one_eigenvalue}"


def identities(statement: Statement) -> list[Evidence]:
    eps, s, t, x, u, lam = sympy.symbols("epsilon s t x u lambda", positive=True)
    q, Q = sympy.symbols("q Q", positive=True)  # q = 1 - eps lam, Q = q^{-k}
    j, k = sympy.symbols("j k", positive=True, integer=True)
    of_q = (1 - q) / eps
    sum_to = (Q - 1) / of_q  # what the residual q^k = 1/Q solves to
    solves = sympy.cancel(1 / sum_to / (of_q + 1 / sum_to) - 1 / Q)
    begins = sympy.cancel(sum_to.subs(Q, 1))
    grows = sympy.cancel(sum_to + eps * Q / q - sum_to.subs(Q, Q / q))
    rises = sympy.cancel(sympy.diff((1 - eps * lam) ** -j, lam) / ((1 - eps * lam) ** (-j - 1)) - j * eps)
    flow = sympy.expand(sympy.integrate(sympy.exp(t * s), (t, 0, t)) * s - (sympy.exp(t * s) - 1))
    bounds = (
        (sympy.log(1 + x) - x + x**2 / 2, x, x**2 / (1 + x)),
        (x - sympy.log(1 + x), x, x / (1 + x)),
        (-sympy.log(1 - u) - u, u, u / (1 - u)),
        (u / (1 - u) + sympy.log(1 - u), u, u / (1 - u) ** 2),
    )
    slopes = all(f.subs(v, 0) == 0 and sympy.cancel(sympy.diff(f, v) - slope) == 0 for f, v, slope in bounds)
    half = sympy.Rational(*statement.exact("HALF").as_integer_ratio())
    best = sympy.limit((1 - sympy.log(1 + x) / x) / x, x, 0)
    flat = sympy.Rational(*statement.exact("FLAT").as_integer_ratio())
    at_zero = 1 / sympy.summation(eps * (1 - eps * lam).subs(lam, 0) ** -j, (j, 1, k)) * eps * k
    return [
        shown("1/a = (q^{-k}-1)/lambda solves q^k = a/(lambda+a)", solves == 0, "all k (SymPy)"),
        shown(
            "it is the sum: 0 at k = 0, and one more step adds eps q^{-k-1}",
            begins == 0 and grows == 0,
            "all k (SymPy)",
        ),
        shown("every term of the sum increases in lambda", rises == 0, "all j (SymPy)"),
        shown("a_k(0+) = FLAT/(eps k)", at_zero == flat, "all k (SymPy)", f"a_k(0+) eps k is {at_zero}"),
        shown("gradient flow: int_0^t e^{us} du = (e^{ts}-1)/s", flow == 0, "all s, t (SymPy)"),
        shown(
            "x-x^2/2 <= ln(1+x) <= x and u <= -ln(1-u) <= u/(1-u)", slopes, "all x > 0, 0 < u < 1 (derivatives, SymPy)"
        ),
        shown(
            "1/2 is the best constant in 1 - lambda/(2a)", best == half, "limit at 0 (SymPy)", f"the limit is {best}"
        ),
    ]


def check(statement: Statement) -> Sequence[Evidence]:
    return [*identities(statement), judged("exact spectra", statement, INSTANCES, HYPOTHESES, on_instance)]


THEOREM = Theorem(
    id="effective-ridge",
    catalogue="T1.3",
    title="Early-stopped descent is ridge with one penalty per eigenvalue; a scalar one only if active ones coincide",
    statement=r"(1-\varepsilon\lambda)^k=\frac{a_k}{\lambda+a_k},\quad "
    r"\frac1{a_k(\lambda)}=\varepsilon\sum_{j=1}^k(1-\varepsilon\lambda)^{-j}\ "
    r"\big(\text{flow: }\tfrac{e^{ts}-1}{s}\big);\quad "
    r"a_k\downarrow,\ a_k(0+)=\tfrac1{\varepsilon k};\quad "
    r"(1-\tfrac{\lambda}{2a})(1-\varepsilon\lambda)\le\varepsilon a\tau\le1",
    source="the approximate scalar equality: Goodfellow, Bengio and Courville 2016, eq. 7.45; the exact penalty not "
    "found in the literature",
    bound="identity",
    proof="1/a = ((1-eps lam)^{-k} - 1)/lam is a geometric sum of k terms, each strictly increasing in lam and 1 at "
    "lam = 0. So a_k is strictly decreasing, hence one-to-one: two different active eigenvalues need two penalties. "
    "With x = lam/a and u = eps lam, eps a tau = (ln(1+x)/x) (u/(-ln(1-u))), and both factors are bounded by "
    "integrating derivatives.",
    check=check,
    near_miss=Drop("small-steps"),
    witness=lambda: witnessed(INSTANCES[1], HYPOTHESES),
    assumptions={
        "small-steps": "0 < eps lambda < 1 for every nonzero eigenvalue with a component of w* - w0: the active ones",
        "a-step": "k >= 1",
    },
    constants={"HALF": "1/2", "FLAT": "1"},
)
