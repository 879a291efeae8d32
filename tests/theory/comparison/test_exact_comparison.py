"""The exact comparison of early stopping and ridge against brute force, and on ties that must not be called wins."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sympy import Poly, Rational

from unilth.theory.theorems.comparison.ordering import common_parameter, crossing
from unilth.theory.theorems.comparison.rational_problem import (
    RationalProblem,
    X,
    nonnegative_on_unit_interval,
    signal_nonincreasing,
    time_nondecreasing,
)


def brute_force(problem: RationalProblem) -> tuple[float, float]:
    """Best risk of early stopping and of ridge on fine grids of t and a, in floating point from the definitions."""
    s, b, v = (np.array([float(x) for x in xs]) for xs in (problem.eigenvalues, problem.signal, problem.variance))
    t = np.concatenate([[0.0], np.geomspace(1e-4, 1e3, 40_001)])[:, None]
    a = np.concatenate([[0.0], np.geomspace(1e-5, 1e5, 40_001)])[:, None]
    flow, ridge = np.exp(-t * s), a / (s + a)
    weight = s if problem.prediction else np.ones_like(s)
    best = [float(((b * r**2 + v * (1 - r) ** 2) * weight).sum(1).min()) for r in (flow, ridge)]
    return best[0], best[1]


def problems() -> st.SearchStrategy[RationalProblem]:
    eigenvalues = st.lists(st.integers(1, 6), min_size=2, max_size=4, unique=True).map(sorted)
    return eigenvalues.flatmap(
        lambda s: st.builds(
            RationalProblem,
            st.just(tuple(map(Fraction, s))),
            st.tuples(*[st.fractions(0, 20, max_denominator=8) for _ in s]),
            st.fractions(Fraction(1, 8), 8, max_denominator=8),
            prediction=st.booleans(),
        )
    )


@settings(max_examples=60, deadline=None)
@given(problems())
def test_minima_agree_with_brute_force(problem: RationalProblem) -> None:
    flow, ridge = brute_force(problem)
    assert float(problem.flow.best[1]) == pytest.approx(flow, rel=1e-6, abs=1e-7)
    assert float(problem.ridge.best[1]) == pytest.approx(ridge, rel=1e-6, abs=1e-7)


@settings(max_examples=80, deadline=None)
@given(problems())
def test_crossing_theorem_on_random_problems(problem: RationalProblem) -> None:
    if not any(problem.signal):
        assert problem.winner == "tie"
        return
    if signal_nonincreasing(problem):
        assert problem.winner == "ridge"
    if time_nondecreasing(problem):
        assert problem.winner == "flow"


@pytest.mark.parametrize(
    ("problem", "winner"),
    [
        (RationalProblem.of("2", "3"), "tie"),
        (RationalProblem.of("1 2", "0 0"), "tie"),
        (RationalProblem.of("1 2", "1 1", "0"), "tie"),
        (RationalProblem.of("1 2", "1 3/2"), "flow"),
        (RationalProblem.of("1 2", "1 1"), "ridge"),
    ],
)
def test_winner_on_known_problems(problem: RationalProblem, winner: str) -> None:
    assert problem.winner == winner


@pytest.mark.parametrize(
    ("coefficients", "weak", "strict"),
    [
        ([1, -1, "1/4"], True, False),  # (x-1/2)²
        ([1, -1, "1/3"], True, True),  # no real root
        ([1, "-1/2"], False, False),  # changes sign inside
        ([1, 0], True, False),  # root at the left end
        ([-1, 1], True, False),  # root at the right end
        ([-1, 1, 0], True, False),  # roots at both ends only
        ([-1, 0], False, False),
        ([0], True, False),
        (["-1"], False, False),
        ([-4, 8, -5, 1], True, False),  # (1-x)(2x-1)²
    ],
)
def test_signs_of_polynomials(coefficients: list[object], weak: bool, strict: bool) -> None:
    polynomial = Poly([Rational(c) for c in coefficients], X, domain="QQ")
    assert nonnegative_on_unit_interval(polynomial, strict=False) is weak
    assert nonnegative_on_unit_interval(polynomial, strict=True) is strict


def test_equality_curves_attain_the_oracle() -> None:
    """SNR = e^{ts}-1 puts early stopping on the Wiener point, SNR proportional to s puts ridge there."""
    flow = RationalProblem.of("1 2 3", "2 4 26/3")  # SNR = 3^s - 1
    ridge = RationalProblem.of("1 2 3", "2 2 2")
    for problem, curve in ((flow, flow.flow), (ridge, ridge.ridge)):
        oracle = sum(b * v / (b + v) for b, v in zip(problem.signal, problem.variance, strict=True))
        assert curve.best[1] == oracle


def test_malformed_problems_are_refused() -> None:
    with pytest.raises(ValueError, match="one each"):
        RationalProblem.of("1 2", "1")
    with pytest.raises(ValueError, match="increasing order"):
        RationalProblem.of("2 1", "1 1")


def test_order_logic() -> None:
    assert common_parameter((3, 1), (0, 2)) == 1
    assert common_parameter((3, 2), (3, 0)) is None
    assert crossing("ordered", wiener_nondecreasing=True, up_to=3).holds is True
    assert crossing("arbitrary", wiener_nondecreasing=False, up_to=2).holds is False
