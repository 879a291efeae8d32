"""All that was promised is there: each number of the catalogue, each of its constants, and how much is proved."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from unilth.theory.constants import NAMED
from unilth.theory.ledger import prove
from unilth.theory.theorems import THEOREMS

CATALOGUE = (
    "T1.1", "T1.2", "T1.3", "T1.4", "T1.5", "T1.6", "T1.7",
    "T2.1", "T2.2", "T2.3", "T2.4",
    "T3.1", "T3.2", "T3.3", "T3.4", "T3.6", "T3.7",
    "T4.1", "T4.2", "T4.3", "T4.4", "T4.5",
    "T5.1", "T5.2", "T5.3", "T5.4", "T5.6", "T5.7", "T5.8", "T5.8b", "T5.9", "T5.10",
    "T6.1", "T6.2", "T6.3", "T6.4", "T6.5", "T6.6", "T6.7",
    "T7.1", "T7.2", "T7.3", "T7.4", "T7.5", "T7.6", "T7.7", "T7.8", "T7.9", "T7.10", "T7.11",
    "T8.1", "T8.2", "T8.3", "T8.4", "T8.5",
    "T9.1", "T9.2", "T9.3", "T9.4",
    "T10.1", "T10.2",
)  # fmt: skip

# Section 0 of the catalogue: name, digits as given there (truncated or rounded in the last place).
VALUES = {
    "A1": "0.203632188794536875069646430526", "A1, where": "2.512862417252339353965475",
    "A2": "0.10189259905126", "A2, where": "0.5316985172",
    "K1": "1.298425607525639119484474421064", "K": "1.68590905827832503483",
    "KB": "1.21466184083", "KC": "1.285189721433157990", "c*": "0.578999485798090720",
    "KBC": "1.078582827462", "VF": "1.203885529788", "VB": "1.074851728959",
    "C1": "2", "C2": "1.5625", "C3": "1.4598704433516", "D1": "0.5", "D2": "0.348076211353", "D3": "0.296296296296",
    "1/e": "0.367879441171442321595523770161",
    "Nesterov, least residual": "-0.132279487396100031736846149", "Nesterov, where": "5.135622301840682556301402",
    "Nesterov, gap": "0.386047622185489814026449962", "Nesterov, gap, where": "2.588962926215529935",
    "Nesterov, peak": "1.650061791174702772489399",
    "Y1": "3.92155363456", "PHI": "0.638172686338951480935369235", "PHI, where": "1.256431208626169676982737617",
    "SWITCH": "2.412780082545578607532", "MP": "1.04013784712",
}  # fmt: skip
LEDGER = Path(__file__).parents[2] / "docs" / "theory" / "ledger.json"


def test_every_number_of_the_catalogue_has_a_theorem_and_in_its_order() -> None:
    assert tuple(dict.fromkeys(theorem.catalogue for theorem in THEOREMS)) == CATALOGUE


def test_every_constant_of_the_catalogue_is_named() -> None:
    assert {named.name for named in NAMED} == set(VALUES)
    known = {theorem.id: theorem.constants for theorem in THEOREMS}
    assert all(named.key in known[named.theorem] for named in NAMED)


def test_enough_is_proved_and_nothing_is_undecided() -> None:
    """Of the committed ledger, whose agreement with the checks is tested beside the pages."""
    rows = json.loads(LEDGER.read_text(encoding="utf-8"))["theorems"]
    statuses = [rows[theorem.id]["status"] for theorem in THEOREMS]
    assert statuses.count("proved") >= 45 and set(statuses) == {"proved", "supported"}
    assert {t.catalogue for t in THEOREMS if rows[t.id]["status"] == "supported"} == {"T5.8b", "T10.1"}


@pytest.mark.parametrize("named", NAMED, ids=lambda n: n.name)
def test_every_constant_has_a_narrow_bracket_around_the_catalogue_s_digits(named) -> None:
    rows = json.loads(LEDGER.read_text(encoding="utf-8"))["theorems"]
    lower, upper = (Fraction(end) for end in rows[named.theorem]["constants"][named.key])
    digits = VALUES[named.name]
    unit = Fraction(1, 10 ** len(digits.partition(".")[2]))
    assert 0 <= upper - lower < Fraction(1, 10**10)
    assert Fraction(digits) - unit <= lower and upper <= Fraction(digits) + unit


@pytest.mark.slow
def test_the_whole_ledger_holds() -> None:
    ledger = prove()
    assert ledger.ok and ledger.counts["undecided"] == ledger.counts["failed"] == 0
    assert ledger.counts["proved"] >= 45 and ledger.counts["near_misses_rejected"] == len(THEOREMS)
    assert ledger.counts["claims_confirmed"] == ledger.counts["claims"]
    brackets = {entry.id: entry.constants for entry in ledger.entries}
    for named in NAMED:
        lower, upper = (Fraction(end) for end in brackets[named.theorem][named.key])
        assert 0 <= upper - lower < Fraction(1, 10**10), named.name
