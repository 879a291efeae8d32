r"""On top of the best ridge, early stopping only harms when the prior is isotropic (catalogue T2.4).

Statement: gradient flow on the ridge objective with penalty a* = \sigma^2/(n\tau^2), prior covariance \tau^2 I: its
    Bayes risk decreases strictly in t for ever, to the Bayes optimum. That of plain early stopping falls at first and
    rises in the end; in between it need not be U-shaped: it can have two local minima.
Assumptions: isotropic prior; \sigma^2 > 0 (for the rise).
Source: Stark and Steinberger 2025, arXiv 2502.10578 (asymptotically); the exact proof: not found in the literature.
Bound: identity.
Proof: risk = risk* + \sum (b+v)(g-g*)^2 with g* the Wiener filter, which is ridge(a*); the filter at time t is
    g*(1-e^{-(s+a*)t}), so the excess is \sum (b+v) g*^2 e^{-2(s+a*)t}.
Evidence: SymPy per eigenvalue; balls on instances, one with two local minima; the limit in exact rationals.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import sympy
from flint import arb

from unilth.theory.balls import precision
from unilth.theory.certify import ball
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

TIMES = tuple(Fraction(2) ** n for n in range(-6, 5))


@dataclass(frozen=True)
class Prior:
    """Eigenvalues s > 0, prior variances b > 0 and the noise sigma^2/n."""

    eigenvalues: tuple[Fraction, ...]
    variances: tuple[Fraction, ...]
    noise: Fraction

    def __str__(self) -> str:
        s, b = ([str(x) for x in values] for values in (self.eigenvalues, self.variances))
        return f"s = {s}, prior variances {b}, noise {self.noise}"

    @property
    def mean_variance(self) -> Fraction:
        return sum(self.variances, Fraction(0)) / len(self.variances)

    def risk(self, gains: Sequence[Fraction | arb]) -> Fraction | arb:
        terms = zip(self.eigenvalues, self.variances, gains, strict=True)
        return sum((b * (1 - g) ** 2 + self.noise / s * g**2 for s, b, g in terms), Fraction(0))

    def risk_at(self, time: Fraction, penalty: Fraction) -> arb:
        """Bayes risk of the flow on the ridge objective, stopped at `time`."""
        total = arb(0)
        for s, b in zip(self.eigenvalues, self.variances, strict=True):
            g = ball(s / (s + penalty)) * -(ball(-(s + penalty) * time).expm1())
            total += ball(b) * (1 - g) ** 2 + ball(self.noise / s) * g**2
        return total

    def plain_slope(self, time: Fraction) -> arb:
        """d/dt of the Bayes risk of plain early stopping."""
        total = arb(0)
        for s, b in zip(self.eigenvalues, self.variances, strict=True):
            y = (-ball(s * time)).exp()
            total += 2 * ball(s) * y * (ball(self.noise / s) * (1 - y) - ball(b) * y)
        return total


def prior(s: Sequence[str], b: Sequence[str], noise: str) -> Prior:
    return Prior(tuple(map(Fraction, s)), tuple(map(Fraction, b)), Fraction(noise))


INSTANCES = (
    prior(["1", "2"], ["1", "1"], "1"),
    prior(["1/10", "1/2", "3"], ["2", "2", "2"], "1/5"),
    prior(["1"], ["1/4"], "3"),
    prior(["1/10", "10"], ["1/10000", "1"], "1"),
    prior(["1", "2"], ["1", "1"], "0"),
)
HYPOTHESES: dict[str, Callable[[Prior], bool]] = {
    "isotropic": lambda p: len(set(p.variances)) == 1,
    "noise": lambda p: p.noise > 0,
}
# A stiff direction a hundred times and a flat one once: plain early stopping falls, rises, falls and rises.
TWO_MINIMA = prior(["1"] * 100 + ["1/1000"], ["100"] * 101, "1")
TURNS = tuple(map(Fraction, (1, 6, 20, 200)))


def on_instance(p: Prior, statement: Statement) -> Verdict:
    """The risk along the flow, its limit against the Bayes optimum, and plain early stopping's two slopes."""
    penalty = statement.exact("PENALTY") * p.noise / p.mean_variance
    limit = p.risk([s / (s + penalty) for s in p.eigenvalues])
    optimum = p.risk([b / (b + p.noise / s) for s, b in zip(p.eigenvalues, p.variances, strict=True)])
    if limit != optimum:
        return False, f"the flow ends at the risk {limit}, the optimum is {optimum}"
    with precision(1024):  # the excess at late times is e^{-2(s+a)t}
        risks = [p.risk_at(t, penalty) for t in TIMES]
        if any(later >= earlier for earlier, later in pairwise(risks)):
            return False, f"the risk does not decrease strictly: {[r.str(6) for r in risks]}"
        early, late = p.plain_slope(TIMES[0]), p.plain_slope(Fraction(1000))
        if early >= 0 or late <= 0:
            return False, f"plain early stopping has the slopes {early.str(5)} early and {late.str(5)} late"
        decided = all(later < earlier for earlier, later in pairwise(risks)) and early < 0 and late > 0
    return True if decided else None, "balls too wide"


def not_u_shaped(p: Prior, times: Sequence[Fraction], name: str) -> Evidence:
    """The slopes of plain early stopping at four times have the signs -, +, -, +: a local minimum twice."""
    what = "plain early stopping need not be U-shaped: its slope is negative, positive, negative, positive"
    with precision():
        slopes = [p.plain_slope(t) for t in times]
    signs = [-1 if slope < 0 else 1 if slope > 0 else 0 for slope in slopes]
    holds = None if 0 in signs else signs == [-1, 1, -1, 1]
    at = ", ".join(str(t) for t in times)
    return Evidence(what, Level.CERTIFIED, holds, f"{name}, t = {at}", str([slope.str(4) for slope in slopes]))


def check(statement: Statement) -> Sequence[Evidence]:
    b, s, noise, t, g = sympy.symbols("b s n t g", positive=True)
    v = noise / s
    wiener = b / (b + v)
    split = sympy.cancel(b * (1 - g) ** 2 + v * g**2 - (b * v / (b + v) + (b + v) * (g - wiener) ** 2))
    penalty = sympy.Rational(*statement.exact("PENALTY").as_integer_ratio()) * noise / b
    is_ridge = sympy.cancel(wiener - s / (s + penalty))
    along = wiener * (1 - sympy.exp(-(s + penalty) * t))
    solves = sympy.simplify(sympy.diff(along, t) - (s - (s + penalty) * along))
    excess = (b + v) * (along - wiener) ** 2
    falls = sympy.simplify(sympy.diff(excess, t) + 2 * (s + penalty) * excess)
    every = "all s, b, noise, t > 0 (SymPy)"
    return [
        shown("risk = optimum + (b+v)(g-g*)^2", split == 0, every),
        shown("the Wiener filter is ridge with a = noise/b", is_ridge == 0, every, f"difference {is_ridge}"),
        shown("the flow's filter is g*(1-e^{-(s+a)t})", solves == 0, every),
        shown("the excess falls at the rate 2(s+a) for ever", falls == 0, every),
        judged(
            "risk along the flow on instances", statement, INSTANCES, HYPOTHESES, on_instance, level=Level.CERTIFIED
        ),
        not_u_shaped(TWO_MINIMA, TURNS, "s = 1 (100 times) and 1/1000 (once), prior variance 100, noise 1"),
    ]


THEOREM = Theorem(
    id="never-stop-the-best-ridge",
    catalogue="T2.4",
    title="With the best ridge penalty and an isotropic prior, never stop: the Bayes risk falls for ever",
    statement=r"a^*=\tfrac{\sigma^2}{n\tau^2}:\quad \mathrm{Bayes}(t)=\mathrm{Bayes}^*+\sum_i(b+v_i)\,g_i^{*2}\,"
    r"e^{-2(s_i+a^*)t}\ \text{strictly decreasing};\quad \text{plain early stopping falls at first and rises in the "
    r"end, not always in one U}",
    source="Stark and Steinberger 2025, arXiv 2502.10578 (asymptotic); one-line exact proof not found in the "
    "literature",
    bound="identity",
    proof="Completing the square, risk = optimum + sum (b+v)(g-g*)^2 with g* = b/(b+v), which is s/(s+a*) for every "
    "eigenvalue because b is the same. The flow on the ridge objective has g = g*(1-e^{-(s+a*)t}). Plain: the slope "
    "is 2 s y (v(1-y) - b y) summed, y = e^{-st}: negative at t = 0, and in the end v > 0 decides. In between it can "
    "change its sign more than once.",
    check=check,
    near_miss=Drop("isotropic"),
    witness=lambda: witnessed(INSTANCES[1], HYPOTHESES),
    assumptions={"isotropic": "the prior covariance is tau^2 I", "noise": "sigma^2 > 0"},
    constants={"PENALTY": "1"},
)
