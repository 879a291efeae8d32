r"""Patience can stop far from the best point, even with an infinite validation set.

Statement
    300 directions with eigenvalue 1 (β² = 3 in total), one with eigenvalue 1/1000 (β² = 100), σ²/n = 1/100: the risk
    falls to a local minimum STOPPED, rises, and only much later reaches its minimum BEST; RATIO = STOPPED/BEST. Waiting
    up to 7.5 time units without improvement returns the local minimum. With eigenvalue 1/(10B) and β² = B in the slow
    direction (σ²/n = 1/B, 3B fast directions) the first local minimum exceeds B + 1 and the risk at convergence is 13:
    the ratio is unbounded.
Assumptions
    short patience: the rule waits at most 7.5 time units (the best point comes after about 2400).
Source
    Explicit form not found in the literature; the phenomenon Baldi and Chauvin 1991, Heckel and Yilmaz 2021.
Bound
    Counterexample, to "stop when the validation loss has not decreased for several epochs".
Proof
    The fast directions overfit (risk up by at most 3/2) while the slow one is still learning (risk down by 88).
Evidence
    Certified: signs of the derivative and bounds in balls on compact intervals; beyond, elementary inequalities.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from flint import arb

from unilth.theory.balls import Bracket, ball, bracket, precision
from unilth.theory.certify import bounded, certified, claimed, monotone, positive, root
from unilth.theory.evidence import Drop, Evidence, Level, Statement, Theorem
from unilth.theory.verdicts import Verdict, judged, shown, witnessed

PATIENCES = (Fraction(1, 10), Fraction(3), Fraction(15, 2), Fraction(3000))  # the last violates short patience
HYPOTHESES = {"short patience": lambda patience: patience <= Fraction(15, 2)}


def risk(t: Any) -> Any:
    """The risk at stopping time t, for balls and series: s = (1, 1/1000), b = (3, 100), v = (3, 10)."""
    y, z = (-t).exp(), (-ball("1/1000") * t).exp()
    return 3 * y * y + 3 * (1 - y) * (1 - y) + 100 * z * z + 10 * (1 - z) * (1 - z)


def risk_slope(t: Any) -> Any:
    """The derivative of `risk` in t."""
    s = ball("1/1000")
    y, z = (-t).exp(), (-s * t).exp()
    return 6 * y * (1 - 2 * y) + 2 * s * z * (10 - 110 * z)


def stopping_time() -> Bracket | None:
    """The first local minimiser: the slope is negative before and has one zero on [3/4, 4/5], where it increases."""
    return root(risk_slope, "3/4", "4/5", unique=True)


def on_patience(patience: Fraction, statement: Statement) -> Verdict:
    """Whether the rule with this patience returns the first local minimum: nothing lower within its wait."""
    where = stopping_time()
    if where is None:
        return None, "the local minimiser was not bracketed"
    stopped = risk(where.ball())
    latest = Fraction(where.upper) + patience
    rising = monotone(risk, where.upper, min(Fraction(2), latest), "increasing")
    if latest <= 2:
        return rising.holds, f"patience {patience}: {rising.detail}"
    later = bounded(risk, 2, latest, below=stopped.upper())
    holds = False if later.holds is False else True if rising.holds and later.holds else None
    return holds, f"patience {patience}: the risk falls below {stopped.str(8)}: {later.detail}"


def constants(statement: Statement) -> list[Evidence]:
    """STOPPED, BEST and RATIO."""
    where = stopping_time()
    if where is None:
        return [Evidence("the local minimiser", Level.CERTIFIED, None, "[3/4, 4/5]")]
    stopped = risk(where.ball())
    # For t >= 200: fast part >= 3 - 6e^{-t}; slow part >= 100*10/110, its minimum over all z, attained at z = 1/11.
    best = ball("133/11") + ball("1e-80") * arb(0, 1)
    attained = risk(1000 * arb(11).log())
    found = bool(6 * arb(-200).exp() < ball("1e-80")) and bool(attained < ball("133/11") + ball("1e-30"))
    early = bounded(risk, 0, 200, below=50)
    scope = "all t >= 0"
    falling = bounded(risk_slope, 0, "3/4", above=0)
    return [
        certified("the risk falls until 3/4", falling, "[0, 3/4]"),
        claimed("the first local minimum", bracket(stopped), statement.value("STOPPED"), "STOPPED", "[0, 4/5]"),
        certified("before t = 200 the risk exceeds 50", early, "[0, 200]"),
        certified("the best is attained at t = 1000 ln 11", found, scope),
        claimed("the best risk", bracket(best), statement.value("BEST"), "BEST", scope),
        claimed("their ratio", bracket(stopped / best), statement.value("RATIO"), "RATIO", scope),
    ]


def family() -> list[Evidence]:
    """For every B >= 100: first local minimum in (0, 3/2) with risk > B+1, risk at convergence 13."""
    three_halves = ball("3/2")
    y = (-three_halves).exp()
    # slow slope >= -2s(B+10) = -(B+10)/(5B) >= -11/50 for B >= 100; at t = 0 the slope is -6 - 2sB < 0
    rises = 6 * y * (1 - 2 * y) - ball("11/50") > 0
    # fast part >= 3/2 (3y²+3(1-y)² is least at y = 1/2), slow part >= B e^{-2st} >= B(1-2st) = B - 3/10 at t = 3/2
    height = positive(lambda x: 3 * x * x + 3 * (1 - x) * (1 - x) - ball("149/100"), 0, 1)
    return [
        certified(
            "the slope at 3/2 is positive for every B >= 100", bool(rises), "all B >= 100", detail="slope at 0 <= -6"
        ),
        certified("the fast part is at least 1.49, so the risk on [0, 3/2] exceeds B + 1", height, "all B >= 100"),
    ]


def realisable() -> Evidence:
    """v_i = multiplicity σ²/(n s_i): both the instance and the family are least-squares problems."""
    noise, slow = Fraction(1, 100), Fraction(1, 1000)
    instance = 300 * noise == 3 and noise / slow == 10
    family_ = all(3 * b * Fraction(1, b) == 3 and Fraction(1, b) / Fraction(1, 10 * b) == 10 for b in (100, 10**6))
    return shown("the variances belong to one noise level", instance and family_, "300 (3B) fast directions, one slow")


def check(statement: Statement) -> Sequence[Evidence]:
    with precision():
        return [
            realisable(),
            *constants(statement),
            *family(),
            judged("patience returns the local minimum", statement, PATIENCES, HYPOTHESES, on_patience,
                   level=Level.CERTIFIED),
        ]  # fmt: skip


THEOREM = Theorem(
    id="patience-can-fail",
    catalogue="T5.10",
    title="Patience on the validation loss can stop at an arbitrarily worse point",
    statement=r"s=(1^{(300)},\tfrac1{1000}),\ b=(3,100),\ \sigma^2/n=\tfrac1{100}:\quad R\text{ has a local minimum "
    r"}101.35\text{ at }t\approx0.77,\text{ stays above it for }7.5\text{ units, and }\min R=12.09\text{ "
    r"at }t\approx2398",
    source="explicit form not found in the literature; phenomenon: Baldi and Chauvin 1991, Heckel and Yilmaz 2021",
    bound="counterexample",
    proof="The fast directions overfit by at most 3/2 while the slow one still has 88 to gain; signs of the "
    "derivative in balls, and R >= 3-6e^{-t}+1000/110 for t >= 200.",
    check=check,
    near_miss=Drop("short patience"),
    witness=lambda: witnessed(Fraction(3), HYPOTHESES),
    assumptions={"short patience": "the rule waits at most 7.5 time units"},
    constants={"STOPPED": "101.3543254867", "BEST": "12.0909090909", "RATIO": "8.38268857"},
)
