"""Section 3: what the theorems certify, piece by piece, and what they must refuse."""

from __future__ import annotations

from fractions import Fraction

import pytest

from unilth.theory.evidence import Theorem
from unilth.theory.ledger import settle
from unilth.theory.theorems.risk import THEOREMS

CATALOGUE = {
    "K1": "1.298425607525639119484474421064",
    "K": "1.685909058278325034835444938424",
    "KB": "1.214661840834949106792688458783",
    "KC": "1.285189721433157990962620074992",
    "CSTAR": "0.578999485798090720557841628",
    "KBC": "1.078582827462212701167633387795",
    "VF": "1.203885529788227019830827428848",
    "VB": "1.074851728959162009777434953509",
}


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda theorem: theorem.catalogue)
def test_the_theorem_is_proved_and_its_brackets_are_narrow(theorem: Theorem) -> None:
    entry = settle(theorem)
    assert (entry.status, entry.near_miss, entry.reasons) == ("proved", "rejected", ())
    for name, (lower, upper) in entry.constants.items():
        assert 0 <= Fraction(upper) - Fraction(lower) < Fraction(1, 10**10), name
        if name in CATALOGUE:
            assert Fraction(lower) <= Fraction(CATALOGUE[name]) <= Fraction(upper), name


def test_every_constant_of_the_section_is_bracketed() -> None:
    found = {name for theorem in THEOREMS for part in theorem.check(theorem.claim) for name in part.constants}
    assert set(CATALOGUE) <= found


def test_the_printed_constant_is_refuted_as_the_sharp_one() -> None:
    """Ali, Kolter and Tibshirani print 1.6862: true as a bound, and not the supremum."""
    theorem = THEOREMS[0]
    refuted = [part.what for part in theorem.check(theorem.claim.moved("K", "0.000290941722")) if part.holds is False]
    assert "K is attained by pure noise at the stationary point" in refuted
