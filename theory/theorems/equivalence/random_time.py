r"""Ridge is early stopping at a random time, so it is never worse than stopping at that random time (catalogue T2.2).

Statement: for T ~ Exp(a), E e^{-Ts} = a/(s+a); for a geometric number of steps with 0 < q|1-\varepsilon\lambda| < 1,
    \sum_k (1-q) q^k (1-\varepsilon\lambda)^k = a/(a+\lambda) with a = (1-q)/(q\varepsilon), both exactly. Hence for
    every convex loss, risk(ridge(a)) <= E risk(ES(T)), strictly for a strictly convex one and s > 0.
Assumptions: the series converges; the loss is convex.
Source: geometric averaging is ridge: Neu and Rosasco, COLT 2018; the exact identity: folklore.
Bound: identity.
Proof: Laplace transform of the exponential law; geometric series; Jensen.
Evidence: SymPy for the identities and for squared bias and variance, exact rationals for the series and for polynomial
    losses.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import sympy

from unilth.theory.evidence import Evidence, Move, Statement, Theorem, Witness
from unilth.theory.verdicts import Verdict, judged, shown


@dataclass(frozen=True)
class Geometric:
    """A geometric number of steps: P(k) = (1-q) q^k, the step size and an eigenvalue."""

    q: Fraction
    step: Fraction
    eigenvalue: Fraction

    def __str__(self) -> str:
        return f"q = {self.q}, step {self.step}, eigenvalue {self.eigenvalue}"

    @property
    def ratio(self) -> Fraction:
        return self.q * (1 - self.step * self.eigenvalue)

    def error(self, terms: int) -> Fraction:
        """What the first terms of the series miss of a/(a+lambda)."""
        a = (1 - self.q) / (self.q * self.step)
        partial = sum((1 - self.q) * self.ratio**k for k in range(terms))
        return a / (a + self.eigenvalue) - partial


@dataclass(frozen=True)
class Loss:
    """A loss c_0 + c_1 r + c_2 r^2 + c_3 r^3 of the residual r in [0, 1], a penalty and an eigenvalue."""

    name: str
    coefficients: tuple[int, ...]
    penalty: Fraction
    eigenvalue: Fraction

    def __str__(self) -> str:
        return f"the loss {self.name} at a = {self.penalty}, s = {self.eigenvalue}"

    def curvature(self, r: int) -> int:
        """The second derivative, linear in r for degree 3."""
        c = (*self.coefficients, 0, 0, 0)
        return 2 * c[2] + 6 * c[3] * r

    def at_mean(self, mean: Fraction) -> Fraction:
        return sum((c * mean**m for m, c in enumerate(self.coefficients)), Fraction(0))

    def averaged(self, rate: Fraction) -> Fraction:
        """E f(e^{-sT}) for T ~ Exp(rate): the m-th moment of the residual is rate/(rate + m s)."""
        moments = (rate / (rate + m * self.eigenvalue) for m in range(len(self.coefficients)))
        return sum((c * m for c, m in zip(self.coefficients, moments, strict=True)), Fraction(0))


def losses(name: str, *coefficients: int) -> list[Loss]:
    values = (Fraction(1, 3), Fraction(1), Fraction(7))
    return [Loss(name, coefficients, a, s) for a in values for s in values]


SERIES = (
    Geometric(Fraction(9, 10), Fraction(1, 4), Fraction(2)),
    Geometric(Fraction(1, 2), Fraction(1), Fraction(5, 2)),
    Geometric(Fraction(3, 4), Fraction(1, 3), Fraction(0)),
    Geometric(Fraction(9, 10), Fraction(1), Fraction(3)),
)
LOSSES = (
    *losses("r^2", 0, 0, 1),
    *losses("(1-r)^2", 1, -2, 1),
    *losses("3 r^2 + 2 (1-r)^2", 2, -4, 5),
    *losses("r^3", 0, 0, 0, 1),
    *losses("r(1-r)", 0, 1, -1),
)
OF_SERIES: dict[str, Callable[[Geometric], bool]] = {
    "converges": lambda g: 0 < g.q < 1 and abs(g.ratio) < 1,
    "convex": lambda g: True,
}
OF_LOSS: dict[str, Callable[[Loss], bool]] = {
    "converges": lambda x: True,
    "convex": lambda x: x.curvature(0) >= 0 and x.curvature(1) >= 0,
}


def on_series(g: Geometric, statement: Statement) -> Verdict:
    """The error of the partial sums is the closed form times ratio^terms: it must die out."""
    errors = [g.error(n) for n in (0, 1, 20, 40)]
    geometric = errors[1] == errors[0] * g.ratio and errors[3] == errors[2] * g.ratio**20
    dies = abs(errors[3]) < abs(errors[2])
    return geometric and dies, f"errors after 20 and 40 terms: {float(errors[2]):.3g}, {float(errors[3]):.3g}"


def on_loss(x: Loss, statement: Statement) -> Verdict:
    """Ridge's residual is the mean residual at rate a, and its loss is below the mean loss."""
    rate = statement.exact("RATE") * x.penalty
    mean, ridge = rate / (rate + x.eigenvalue), x.penalty / (x.penalty + x.eigenvalue)
    if mean != ridge:
        return False, f"the mean residual is {mean}, ridge's {ridge}"
    one, average = x.at_mean(ridge), x.averaged(rate)
    return one < average, f"ridge's loss {one}, mean loss {average}"


def check(statement: Statement) -> Sequence[Evidence]:
    a, s, t, q, eps = sympy.symbols("a s t q epsilon", positive=True)
    lam = sympy.symbols("lambda", real=True)
    # an antiderivative of a e^{-at} e^{-st}, which is 0 at infinity
    antiderivative = -a / (a + s) * sympy.exp(-(a + s) * t)
    slope = sympy.simplify(sympy.diff(antiderivative, t) - a * sympy.exp(-a * t) * sympy.exp(-s * t))
    laplace = slope == 0 and sympy.limit(antiderivative, t, sympy.oo) - antiderivative.subs(t, 0) == a / (s + a)
    series = (1 - q) / (1 - q * (1 - eps * lam))
    penalty = (1 - q) / (q * eps)
    discrete = sympy.cancel(series - penalty / (penalty + lam))
    gap = a / (a + 2 * s) - (a / (a + s)) ** 2  # the same for squared bias and for variance: the mean of r is ridge's
    jensen = sympy.cancel(gap - a * s**2 / ((a + 2 * s) * (a + s) ** 2))
    return [
        shown("int_0^oo a e^{-at} e^{-ts} dt = a/(s+a)", laplace, "all a, s > 0 (SymPy)"),
        shown(
            "the geometric series sums to a/(a+lambda), a = (1-q)/(q eps)", discrete == 0, "all q, eps, lambda (SymPy)"
        ),
        shown("Jensen's gap for squares is a s^2/((a+2s)(a+s)^2) > 0", jensen == 0, "all a, s > 0 (SymPy)"),
        judged("partial sums of the series", statement, SERIES, OF_SERIES, on_series),
        judged("polynomial losses", statement, LOSSES, OF_LOSS, on_loss),
    ]


def witness() -> Witness:
    series, loss = SERIES[0], LOSSES[0]
    return Witness(
        f"{series}; {loss}", {"converges": OF_SERIES["converges"](series), "convex": OF_LOSS["convex"](loss)}
    )


THEOREM = Theorem(
    id="ridge-is-random-stopping",
    catalogue="T2.2",
    title="Ridge is early stopping at an exponential time, and never worse than that on average",
    statement=r"T\sim\mathrm{Exp}(a):\ \mathbb E\,e^{-Ts}=\frac a{s+a};\quad "
    r"\sum_k(1-q)q^k(1-\varepsilon\lambda)^k=\frac a{a+\lambda},\ a=\frac{1-q}{q\varepsilon};\quad "
    r"\mathrm{risk}(\mathrm{ridge}(a))\le\mathbb E\,\mathrm{risk}(\mathrm{ES}(T))",
    source="geometric averaging is ridge: Neu and Rosasco, COLT 2018; exact identity folklore",
    bound="identity",
    proof="The Laplace transform of the exponential law at s, and the geometric series, which converges for q|1-eps "
    "lam| < 1. So ridge's estimate is the mean of ES(T), and Jensen's inequality compares the losses.",
    check=check,
    near_miss=Move("RATE", "1e-6"),
    witness=witness,
    assumptions={
        "converges": "0 < q < 1 and q|1 - eps lambda| < 1",
        "convex": "the loss is convex",
    },
    constants={"RATE": "1"},
)
