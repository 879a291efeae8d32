"""Every theorem of the section holds as claimed, its hypotheses can be met, and every single mutation is refuted."""

from fractions import Fraction

import pytest

from unilth.theory.evidence import Theorem
from unilth.theory.theorems.dynamics import THEOREMS


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda t: t.id)
def test_holds_as_claimed(theorem: Theorem) -> None:
    evidence = theorem.check(theorem.claim)
    assert evidence
    assert [e for e in evidence if e.holds is not True] == []
    assert all(e.level.proves for e in evidence)
    for lower, upper in (pair for e in evidence for pair in e.constants.values()):
        assert Fraction(upper) - Fraction(lower) < Fraction(1, 10**10)
    witness = theorem.witness()
    assert set(witness.met) == set(theorem.assumptions)
    assert all(witness.met.values())


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda t: t.id)
def test_every_mutation_is_refuted(theorem: Theorem) -> None:
    for mutation in (theorem.near_miss, *theorem.mutations()):
        outcomes = [e.holds for e in theorem.check(mutation(theorem.claim))]
        assert False in outcomes, f"{theorem.id} accepts: {mutation}"
