r"""Linearised networks: early stopping is close to ridge centred at the initialisation, uniformly.

Statement
    f(θ) = f0 + Φ(θ-θ0), K = ΦΦ'. Gradient flow on ½‖f-y‖² predicts f_t = f0 + (I-e^{-Kt})(y-f0); ridge with penalty
    (a/2)‖θ-θ0‖² predicts f0 + K(K+a)^{-1}(y-f0). With a = 1/t they differ by at most A1 ‖y-f0‖, sharp.
Assumptions
    linear: the model is linear in θ. centred: ridge is centred at θ0. matched: a = 1/t.
Source
    Jacot, Gabriel and Hongler 2018; Lee et al. 2019; the uniform constant as in T1.4.
Bound
    Tight.
Proof
    f' = -K(f-y). The first-order condition of ridge gives Φ(Φ'Φ+a)^{-1}Φ' = K(K+a)^{-1} (push-through). Per
    eigenvalue k of K the difference is |e^{-kt} - 1/(1+kt)| <= A1.
Evidence
    Symbolic in noncommuting Φ, Φ' (every size); certified supremum with its tail; instances in balls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import sympy as sp
from flint import arb

from unilth.theory.balls import ball, precision
from unilth.theory.certify import certified, claimed, supremum
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, named, shown, witnessed


@dataclass(frozen=True)
class Scalar:
    """One training point, one parameter: f(θ) = slope θ + bend θ², start θ0, target, time, penalty and its centre."""

    slope: Fraction
    start: Fraction
    target: Fraction
    time: Fraction
    penalty: Fraction
    centre: Fraction
    bend: Fraction = Fraction(0)


def _scalar(text: str) -> Scalar:
    return Scalar(*(Fraction(x) for x in text.split()))


INSTANCES = (
    _scalar("1 0 3 1 1 0"),
    _scalar("2 1 -1 1/3 3 1"),
    _scalar("1 -2 5 5/2 2/5 -2"),
    _scalar("0 0 10 1 1 0 1"),  # violates linear: the kernel at θ0 = 0 is 0, the flow never starts
    _scalar("1 10 10 1 1 0"),  # violates centred
    _scalar("1 0 3 1 100 0"),  # violates matched
)
HYPOTHESES = {
    "linear": lambda x: x.bend == 0,
    "centred": lambda x: x.centre == x.start,
    "matched": lambda x: x.penalty * x.time == 1,
}


def on_scalar(x: Scalar, statement: Statement) -> Verdict:
    """|flow - ridge| <= A1 |y-f0| in balls; the bent instance has a closed form too."""
    initial = x.slope * x.start + x.bend * x.start**2
    if x.bend:  # f = θ², flow at rest; ridge minimises ½(θ²-y)² + ½aθ², so θ² = y - a/2
        flow, ridge = arb(0), ball(x.target - x.penalty / 2)
    else:
        kernel = x.slope**2
        flow = ball(x.target) + (-ball(kernel * x.time)).exp() * ball(initial - x.target)
        shift = x.slope * x.centre  # predictions of the centre
        ridge = ball(shift + kernel / (kernel + x.penalty) * (x.target - shift))
    gap, bound = abs(flow - ridge), ball(statement.exact("A1")) * ball(abs(x.target - initial))
    holds = True if gap <= bound else False if gap > bound else None
    return holds, f"{named(x)}: differ by {gap.str(8)}, bound {bound.str(8)}"


@cache
def algebra() -> tuple[Evidence, ...]:
    """Identities between Φ and its transpose for every size, in noncommuting symbols."""
    phi, dual = sp.symbols("Phi Psi", commutative=False)  # Ψ stands for Φ'
    a = sp.Symbol("a", positive=True)
    k, t, f0, y = sp.symbols("k t f_0 y", real=True)
    push = sp.expand(phi * (dual * phi + a) - (phi * dual + a) * phi)
    power = sp.expand(phi * dual * phi - phi * (dual * phi))
    flow = f0 + (1 - sp.exp(-k * t)) * (y - f0)
    return (
        shown("(K+a)Φ = Φ(Φ'Φ+a), hence Φ(Φ'Φ+a)^{-1}Φ' = K(K+a)^{-1}", push == 0, "matrices of every size"),
        shown("KΦ = Φ(Φ'Φ), hence e^{-Kt}Φ = Φe^{-Φ'Φt}", power == 0, "matrices of every size; power series"),
        shown("f' = -k(f-y) per eigenvalue", sp.simplify(sp.diff(flow, t) + k * (flow - y)) == 0, "all k, t, f0, y"),
        shown("f(0) = f0", sp.simplify(flow.subs(t, 0) - f0) == 0, "all k, f0, y"),
    )


def gap(statement: Statement) -> list[Evidence]:
    """sup over x = kt of |e^{-x} - 1/(1+x)| is A1."""
    found = supremum(lambda x: 1 / (1 + x) - (-x).exp(), 0, 60)
    tail = certified("beyond 60 the difference is below 1/61 < A1", bool(ball("1/61") < ball("0.2")), "x >= 60")
    x = sp.Symbol("x", positive=True)
    lower = sp.diff(sp.exp(x) - 1 - x, x)  # e^x - 1 - x starts at 0 and increases
    sign = shown("1/(1+x) >= e^{-x}", bool(lower.subs(x, sp.log(1 + x)).simplify().is_positive), "all x >= 0")
    if found is None:
        return [Evidence("sup |e^{-x} - 1/(1+x)|", Level.CERTIFIED, None, "[0, 60]"), tail, sign]
    return [claimed("sup |e^{-x} - 1/(1+x)|", found[0], statement.value("A1"), "A1", "[0, 60]"), tail, sign]


def check(statement: Statement) -> Sequence[Evidence]:
    with precision():
        return [
            *algebra(),
            *gap(statement),
            judged("instances", statement, INSTANCES, HYPOTHESES, on_scalar, level=Level.CERTIFIED),
        ]


THEOREM = Theorem(
    id="linearised-networks",
    catalogue="T10.2",
    title="In linearised networks early stopping is within A1 of ridge centred at the initialisation",
    statement=r"f=f_0+\Phi(\theta-\theta_0),\ K=\Phi\Phi':\quad f_t=f_0+(I-e^{-Kt})(y-f_0),\qquad "
    r"\|f_t-f_{\mathrm{ridge}(1/t)}\|\le A_1\|y-f_0\|",
    source="Jacot, Gabriel and Hongler 2018; Lee et al. 2019; the uniform constant as in T1.4",
    bound="tight",
    proof="f'=-K(f-y); push-through for ridge; per eigenvalue |e^{-kt}-1/(1+kt)| <= A1.",
    check=check,
    near_miss=Drop("centred"),
    witness=lambda: witnessed(INSTANCES[1], HYPOTHESES),
    assumptions={
        "linear": "the model is linear in θ",
        "centred": "ridge is centred at θ0",
        "matched": "a = 1/t",
    },
    constants={"A1": "0.2036321888"},
    depends_on=("uniform-gap",),
)
