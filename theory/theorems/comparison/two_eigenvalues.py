r"""Two problems with two eigenvalues: early stopping wins the first, ridge the second.

Statement
    Eigenvalues s = (1, 2), σ²/n = 1, estimation risk. For β² = (1, 3/2): min_t Risk(ES) = 7/8, at e^{-t} = 1/2, while
    min_a Risk(ridge) = 0.8829423338...; for β² = (1, 1): min_a Risk(ridge) = 5/6, at a = 1, while
    min_t Risk(ES) = 0.8391033410...
Assumptions
    None: two concrete problems.
Source
    Not found in the literature.
Bound
    Counterexample, to "early stopping always beats ridge" and to its converse.
Proof
    With y = e^{-t} the risk of early stopping is a polynomial in y, with u = 1/(1+a) that of ridge is a rational
    function. A value is a lower bound iff a rational polynomial has no root on [0, 1] (Sturm), an upper bound by one
    evaluation.
Evidence
    Symbolic: exact rational arithmetic on the whole parameter range, both ends included.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from unilth.theory.balls import decimal
from unilth.theory.evidence import Evidence, Level, Move, Statement, Theorem, Witness
from unilth.theory.theorems.comparison.rational_problem import Curve, RationalProblem

FLOW_WINS = RationalProblem.of("1 2", "1 3/2")
RIDGE_WINS = RationalProblem.of("1 2", "1 1")


def minimum_is(curve: Curve, claimed: str) -> tuple[bool | None, tuple[str, str]]:
    """Judge "the minimum of the curve is `claimed`" exactly, and bracket the minimum.

    A decimal claims its last digit to one unit; a rational or an integer claims equality.
    """
    value = Fraction(claimed)
    upper = curve.best[1]
    exact = "/" in claimed or "." not in claimed
    slack = Fraction(0) if exact else Fraction(1, 10 ** len(claimed.partition(".")[2]))
    lower = upper - Fraction(1, 10**14)
    bracket = (
        (decimal(lower, 16, up=False), decimal(upper, 16, up=True))
        if curve.stays_above(lower, strict=False)
        else ("", "")
    )
    if upper < value - slack:
        return False, bracket
    if curve.stays_above(value + slack):
        return False, bracket
    if upper <= value + slack and curve.stays_above(value - slack, strict=False):
        return True, bracket
    return None, bracket


def check(statement: Statement) -> Sequence[Evidence]:
    evidence = []
    for what, name, curve in (
        ("early stopping attains it at e^{-t} = 1/2, β² = (1, 3/2)", "ES_1", FLOW_WINS.flow),
        ("the best ridge, β² = (1, 3/2)", "RIDGE_1", FLOW_WINS.ridge),
        ("ridge attains it at a = 1, β² = (1, 1)", "RIDGE_2", RIDGE_WINS.ridge),
        ("the best early stopping, β² = (1, 1)", "ES_2", RIDGE_WINS.flow),
    ):
        holds, bracket = minimum_is(curve, statement.value(name))
        detail = f"minimum in [{bracket[0]}, {bracket[1]}], claimed {statement.value(name)}"
        constants = {name: bracket} if bracket[0] else {}
        evidence.append(Evidence(what, Level.SYMBOLIC, holds, "every parameter, both ends included", detail, constants))
    for name, problem, parameter in (
        ("y", FLOW_WINS.flow, statement.exact("y")),
        ("u", RIDGE_WINS.ridge, statement.exact("u")),
    ):
        attained = problem.at(parameter)
        holds = problem.stays_above(attained, strict=False)
        evidence.append(
            Evidence(
                f"the minimiser {name}", Level.SYMBOLIC, holds, "exact", f"risk at {name}={parameter} is {attained}"
            )
        )
    order = FLOW_WINS.winner == "flow" and RIDGE_WINS.winner == "ridge"
    evidence.append(Evidence("who wins", Level.SYMBOLIC, order, "both problems", "strictly, by a rational separator"))
    return evidence


def witness() -> Witness:
    return Witness(f"{FLOW_WINS}; {RIDGE_WINS}", {})


THEOREM = Theorem(
    id="two-eigenvalues",
    catalogue="T5.3",
    title="Two problems with two eigenvalues: early stopping wins one, ridge the other",
    statement=r"s=(1,2),\ \sigma^2/n=1:\quad \beta^2=(1,\tfrac32):\ \min_t "
    r"R_{\mathrm{ES}}=\tfrac78<0.88294\ldots=\min_a R_{\mathrm{ridge}};\qquad \beta^2=(1,1):\ \min_a "
    r"R_{\mathrm{ridge}}=\tfrac56<0.83910\ldots=\min_t R_{\mathrm{ES}}",
    source="not found in the literature",
    bound="counterexample",
    proof="In y=e^{-t} and u=1/(1+a) both risks are rational functions with rational coefficients on [0,1]; lower "
    "bounds by counting real roots exactly (Sturm), upper bounds by one exact evaluation.",
    check=check,
    near_miss=Move("RIDGE_1", "-1e-6"),
    witness=witness,
    constants={
        "ES_1": "7/8",
        "y": "1/2",
        "RIDGE_1": "0.8829423339",
        "RIDGE_2": "5/6",
        "u": "1/2",
        "ES_2": "0.8391033410",
    },
)
