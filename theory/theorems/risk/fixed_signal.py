r"""Out of sample and for a fixed signal no constant holds: the claim is refuted (catalogue T3.3).

Statement: with S = diag(.1, .2, .3), Sigma = I - 11'/3, beta_i = 1 + s_i and sigma^2/n = 1e-8, min_t
    Risk_Sigma(GF(t)) / min_a Risk_Sigma(ridge(a)) = RATIO > 40. For any three distinct positive eigenvalues and
    beta_i = (s_i+a)/a the ratio is unbounded as first sigma -> 0, then a -> infinity.
Assumptions: none (a counterexample).
Source: not found in the literature. No conflict with Ali, Kolter and Tibshirani (who claim the Bayes version, T3.2)
    nor with Wu et al. (for whom Sigma is the covariance of the design).
Bound: counterexample.
Proof: ridge(a) leaves the residual (1, 1, 1) in the kernel of Sigma: no bias. log((s+a)e^{-ts}) is strictly concave
    in s, so it takes no value three times and gradient flow has a bias at every finite t > 0; at t = 0 the residual
    is beta, not constant either. On [0, T] the bias is thus bounded away from 0, so as sigma -> 0 the best time goes
    to infinity and GF pays tr(Sigma S^{-1}), ridge at most tr(Sigma S (S+a)^{-2}) <= tr(Sigma S)/a^2.
Evidence: both minima certified by balls; concavity and the limit symbolic.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import sympy as sp

from unilth.theory.balls import bracket, precision
from unilth.theory.certify import Bracket, ball, certified, claimed, infimum
from unilth.theory.evidence import Evidence, Move, Statement, Theorem, Witness
from unilth.theory.verdicts import shown

SPECTRUM = (Fraction(1, 10), Fraction(1, 5), Fraction(3, 10))
NOISE = Fraction(1, 10**8)
LONG, WEAK = 400, 2  # t in [0, 400]; 1/a in [0, 2]


def risk(residuals: Sequence[Any]) -> Any:
    """Out-of-sample risk in units of sigma^2/n: bias through Sigma = I - 11'/3, variance on its diagonal, 2/3 each."""
    parts = [r * ball(1 + s) for r, s in zip(residuals, SPECTRUM, strict=True)]
    mean = (parts[0] + parts[1] + parts[2]) * ball("1/3")
    bias = sum(((p - mean) ** 2 for p in parts[1:]), (parts[0] - mean) ** 2)
    noise = [(1 - r) ** 2 * ball(Fraction(2, 3) / s) for r, s in zip(residuals, SPECTRUM, strict=True)]
    return bias * ball(1 / NOISE) + noise[0] + noise[1] + noise[2]


def flow(t: Any) -> Any:
    """Gradient flow at time t."""
    return risk([(-ball(s) * t).exp() for s in SPECTRUM])


def ridge(u: Any) -> Any:
    """Ridge with penalty 1/u."""
    return risk([1 / (1 + ball(s) * u) for s in SPECTRUM])


def noise_alone(filters: Sequence[Any]) -> Any:
    """Variance part for given filter values: it grows with each of them."""
    return sum((f * f * ball(Fraction(2, 3) / s) for f, s in zip(filters, SPECTRUM, strict=True)), ball(0))


def ratio() -> tuple[Bracket | None, bool]:
    """The certified ratio of the minima, and whether both tails lie above them."""
    early, shrunk = infimum(flow, 0, LONG, "1e-12"), infimum(ridge, 0, WEAK, "1e-13")
    if early is None or shrunk is None:
        return None, False
    with precision():
        late = noise_alone([1 - (-ball(s) * LONG).exp() for s in SPECTRUM])
        loose = noise_alone([ball(s) * WEAK / (1 + ball(s) * WEAK) for s in SPECTRUM])
        tails = bool(late > early[0].ball()) and bool(loose > shrunk[0].ball())
        return bracket(early[0].ball() / shrunk[0].ball()), tails


def unbounded() -> list[Evidence]:
    """Strict concavity, and the limit of the ratio."""
    s, a, t = sp.symbols("s a t", positive=True)
    concave = sp.simplify(sp.diff(sp.log((s + a) * sp.exp(-t * s)), s, 2) + 1 / (s + a) ** 2) == 0
    far = sp.simplify(s - a**2 * s / (s + a) ** 2 - s**2 * (s + 2 * a) / (s + a) ** 2) == 0
    spectrum = [sp.Rational(x.numerator, x.denominator) for x in SPECTRUM]
    price = sum(1 / x for x in spectrum) / sum(x / (x + a) ** 2 for x in spectrum)
    return [
        shown("log((s+a)e^{-ts}) is strictly concave in s", concave, "all s, a, t > 0 (SymPy)"),
        shown(
            "any spectrum: tr(Sigma S (S+a)^-2) <= tr(Sigma S)/a^2", far, "all s, a > 0 (SymPy)", "the gap is positive"
        ),
        shown(
            "the limit ratio grows without bound in a", sp.limit(price, a, sp.oo) == sp.oo, "sigma -> 0, a -> infinity"
        ),
        shown("at a = 1 it exceeds 45", bool(price.subs(a, 1) > 45), f"exactly {price.subs(a, 1)}"),
    ]


def check(statement: Statement) -> Sequence[Evidence]:
    found, tails = ratio()
    return [
        *unbounded(),
        claimed("ratio of the certified minima", found, statement.value("RATIO"), "RATIO", "all t >= 0, all a > 0"),
        certified("both tails lie above the minima", tails or None, f"t > {LONG}, a < 1/{WEAK}: variance alone"),
        shown("it exceeds 40", statement.exact("RATIO") > 40, "the claimed ratio"),
    ]


THEOREM = Theorem(
    id="fixed-signal-out-of-sample",
    catalogue="T3.3",
    title="Out of sample no constant compares early stopping with ridge for a fixed signal: a ratio above 40",
    statement=r"S=\mathrm{diag}(.1,.2,.3),\ \Sigma=I-\tfrac13\mathbf 1\mathbf 1',\ \beta_i=1+s_i,\ "
    r"\sigma^2/n=10^{-8}:\quad "
    r"\frac{\min_t\mathrm{Risk}_\Sigma(\mathrm{GF}(t))}{\min_a\mathrm{Risk}_\Sigma(\mathrm{ridge}(a))}>40;"
    r"\quad\text{for every }0<s_1<s_2<s_3\text{ the supremum over }\beta,\sigma\text{ is }\infty",
    source="not found in the literature",
    bound="counterexample",
    proof="ridge(a) leaves a residual in ker Sigma when beta_i = (s_i+a)/a; log((s+a)e^{-ts}) is strictly concave in "
    "s, so gradient flow has a bias at every finite time. As sigma -> 0 it pays tr(Sigma S^-1) against at most "
    "tr(Sigma S)/a^2, for any a > 0.",
    check=check,
    near_miss=Move("RATIO"),
    witness=lambda: Witness("the instance itself", {}),
    constants={"RATIO": "45.94264754"},
)
