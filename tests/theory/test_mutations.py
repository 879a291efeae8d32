"""Every theorem holds, and no check accepts a slightly false statement: constants moved, hypotheses dropped."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from fractions import Fraction

import pytest

from unilth.theory import certificates
from unilth.theory.evidence import Theorem
from unilth.theory.ledger import prove, settle
from unilth.theory.theorems import THEOREMS

HEADINGS = ("Statement", "Assumptions", "Source", "Bound", "Proof", "Evidence")
MUTANTS = [pytest.param(t, m, id=f"{t.catalogue}-{t.id}: {m}") for t in THEOREMS for m in t.mutations()]


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda t: t.id)
def test_every_theorem_holds_as_claimed(theorem: Theorem) -> None:
    evidence = theorem.check(theorem.claim)
    assert evidence and [part.what for part in evidence if part.holds is not True] == []
    simulated = {"rates-on-a-smooth-signal", "marchenko-pastur-ratio"}
    assert all(part.level.proves for part in evidence) is (theorem.id not in simulated)


@pytest.mark.parametrize(("theorem", "mutation"), MUTANTS)
def test_every_mutation_is_refuted(theorem: Theorem, mutation) -> None:
    verdicts = [part.holds for part in theorem.check(mutation(theorem.claim))]
    assert False in verdicts, f"{theorem.id} accepts the statement with {mutation}: {verdicts}"


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda t: t.id)
def test_every_theorem_can_be_made_false(theorem: Theorem) -> None:
    assert list(theorem.mutations()), "neither a constant nor a hypothesis: nothing could show that the check can fail"


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda t: t.id)
def test_a_ledger_with_the_theorem_replaced_by_its_near_miss_fails(theorem: Theorem) -> None:
    false = theorem.near_miss(theorem.claim)
    mutant = replace(theorem, check=lambda statement: theorem.check(false))
    entry = settle(mutant)
    assert entry.status == "failed" and any("refuted" in reason for reason in entry.reasons)


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda t: t.id)
def test_the_witness_meets_every_hypothesis(theorem: Theorem) -> None:
    witness = theorem.witness()
    assert witness.instance and {name: witness.met[name] for name in theorem.assumptions} == dict.fromkeys(
        theorem.assumptions, True
    )


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda t: t.id)
def test_nothing_about_a_theorem_is_left_out(theorem: Theorem) -> None:
    assert re.fullmatch(r"T(10|[1-9])\.[0-9]+b?", theorem.catalogue) and certificates.NAME.fullmatch(theorem.id)
    for text in (theorem.title, theorem.statement, theorem.source, theorem.proof, *theorem.assumptions.values()):
        assert text.strip() and not re.search(r"TODO|FIXME|TBD", text)
    for value in theorem.constants.values():
        Fraction(value)


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda t: t.id)
def test_the_module_states_its_theorem_in_the_fixed_order(theorem: Theorem) -> None:
    text = sys.modules[theorem.check.__module__].__doc__ or ""
    assert re.findall(rf"^({'|'.join(HEADINGS)})\b:?", text, re.MULTILINE) == list(HEADINGS)


def test_ids_are_unique_and_dependencies_known() -> None:
    ids = [theorem.id for theorem in THEOREMS]
    assert len(set(ids)) == len(ids)
    assert all(name in ids for theorem in THEOREMS for name in theorem.depends_on)


def test_a_mutated_theorem_makes_the_whole_ledger_fail() -> None:
    theorem = THEOREMS[0]
    mutant = replace(theorem, check=lambda statement: theorem.check(theorem.near_miss(theorem.claim)))
    assert not prove([mutant], claims=()).ok
    assert prove([theorem], claims=()).ok
