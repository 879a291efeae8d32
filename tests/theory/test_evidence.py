"""Evidence takes plain verdicts only, statements move and lose their parts exactly, no theorem is incomplete."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from unilth.theory.evidence import Drop, Evidence, Level, Move, Statement, Theorem, Witness

CLAIM = Statement({"PI": "3.14159", "HALF": "1/2", "LOW": "-0.0000004", "WHOLE": "2"}, frozenset({"real", "small"}))


@pytest.mark.parametrize("verdict", [np.False_, np.True_, sp.false, sp.true, 0, 1, "yes", float("nan")])
def test_only_the_three_verdicts_themselves_are_taken(verdict: object) -> None:
    with pytest.raises(TypeError, match="True, False or None"):
        Evidence("a falsehood of another library", Level.SYMBOLIC, verdict, "-")  # type: ignore[arg-type]


@pytest.mark.parametrize("verdict", [True, False, None])
def test_the_three_verdicts_are_kept(verdict: bool | None) -> None:
    assert Evidence("a verdict", Level.SYMBOLIC, verdict, "-").holds is verdict


def test_levels_are_ranked_and_only_three_prove() -> None:
    assert [level.rank for level in Level] == [0, 1, 2, 3, 4]
    assert [level.value for level in Level if level.proves] == ["symbolic", "certified", "exhaustive"]


@pytest.mark.parametrize(
    ("name", "by", "moved"),
    [
        ("PI", "1e-6", "3.141591000"),
        ("PI", "-1e-6", "3.141589000"),
        ("HALF", "1e-6", "500001/1000000"),
        ("LOW", "1e-6", "0.000000600"),
        ("LOW", "-1e-6", "-0.000001400"),
        ("WHOLE", "1e-6", "2000001/1000000"),
    ],
)
def test_a_constant_moves_exactly_and_claims_digits_enough_to_show_it(name: str, by: str, moved: str) -> None:
    assert CLAIM.moved(name, by).value(name) == moved
    assert CLAIM.value(name) != moved, "the statement itself is not changed"


@given(st.decimals(-1000, 1000, places=12), st.sampled_from(["1e-6", "-1e-6", "1e-9"]))
def test_moving_is_exact(value: object, by: str) -> None:
    claim = Statement({"C": f"{value:f}"}, frozenset())
    assert claim.moved("C", by).exact("C") - claim.exact("C") == Fraction(by)


def test_dropping_a_hypothesis_leaves_the_others() -> None:
    assert CLAIM.without("real").assumptions == {"small"} and not CLAIM.without("real").assumes("real")
    with pytest.raises(KeyError):
        CLAIM.without("absent")


GOOD = Theorem(
    id="one", catalogue="T99.1", title="One is one", statement="1=1", source="folklore", bound="identity", proof="look",
    check=lambda s: [], near_miss=Move("ONE"), witness=lambda: Witness("1", {"real": True}),
    assumptions={"real": "1 is real"}, constants={"ONE": "1"},
)  # fmt: skip


def test_every_constant_moves_both_ways_and_every_hypothesis_is_dropped() -> None:
    assert list(GOOD.mutations()) == [Move("ONE", "1e-6"), Move("ONE", "-1e-6"), Drop("real")]
    assert [str(m) for m in GOOD.mutations()][1:] == ["ONE moved by -1e-6", "without the hypothesis 'real'"]


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"bound": "sharp"}, ValueError),
        ({"source": ""}, ValueError),
        ({"proof": ""}, ValueError),
        ({"near_miss": Move("TWO")}, ValueError),
        ({"near_miss": Drop("complex")}, ValueError),
    ],
)
def test_an_incomplete_theorem_cannot_be_written(change: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        replace(GOOD, **change)  # type: ignore[arg-type]
