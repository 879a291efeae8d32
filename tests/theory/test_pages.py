"""docs/theory/ says what the code says: pages from the committed ledger byte for byte, the ledger from the checks."""

from __future__ import annotations

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest

from unilth.theory import pages
from unilth.theory.evidence import Theorem
from unilth.theory.ledger import Entry, Ledger, prove, settle
from unilth.theory.record import Record, record, records
from unilth.theory.sections import SECTIONS, number
from unilth.theory.theorems import THEOREMS

FOLDER = Path(__file__).parents[2] / "docs" / "theory"
FIGURES = [section.figure for section in SECTIONS if section.figure]
CHEAP = ("T1.2", "T1.7", "T3.2", "T6.2", "T6.5", "T7.1", "T7.3", "T7.6", "T8.1")
REMEDY = "`unilth prove --docs docs/theory` writes it again"


@pytest.fixture(scope="module")
def committed() -> dict[str, Record]:
    content = json.loads((FOLDER / "ledger.json").read_text(encoding="utf-8"))
    assert content["schema"] == 1
    return {name: Record.from_json(row) for name, row in content["theorems"].items()}


def agree(theorem: Theorem, fresh: Record, kept: Record) -> None:
    """All texts are equal; brackets need only meet, for another version of the ball arithmetic may round otherwise."""
    for name in ("status", "level", "near_miss", "witness", "evidence", "reasons"):
        assert getattr(fresh, name) == getattr(kept, name), f"{theorem.id}: {name} has changed; {REMEDY}"
    assert set(fresh.constants) == set(kept.constants), f"{theorem.id}: {REMEDY}"
    for name, (lower, upper) in kept.constants.items():
        low, high = fresh.constants[name]
        meets = Fraction(low) <= Fraction(upper) and Fraction(lower) <= Fraction(high)
        assert meets, f"{theorem.id}: {name} is in [{low}, {high}], the page says [{lower}, {upper}]; {REMEDY}"
    assert fresh.refuted.partition(":")[0] == kept.refuted.partition(":")[0], f"{theorem.id}: {REMEDY}"


def test_the_pages_are_those_that_the_code_writes(committed: dict[str, Record]) -> None:
    expected = pages.pages(committed, FIGURES)
    assert {path.name for path in FOLDER.glob("*.md")} == set(expected), REMEDY
    for name, text in expected.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == text, f"{name} differs; {REMEDY}"
    assert {path.name for path in (FOLDER / "figures").iterdir()} == {f"{name}.png" for name in FIGURES}


def test_the_committed_ledger_has_every_theorem_and_each_holds(committed: dict[str, Record]) -> None:
    assert list(committed) == [theorem.id for theorem in THEOREMS], REMEDY
    for kept in committed.values():
        assert kept.status in ("proved", "supported") and kept.near_miss == "rejected" and not kept.reasons


def settled(number: str) -> list[tuple[Theorem, Entry]]:
    chosen = [theorem for theorem in THEOREMS if theorem.catalogue == number]
    return list(zip(chosen, prove(chosen, claims=(), workers=1).entries, strict=True))


@pytest.mark.parametrize("number", CHEAP)
def test_the_committed_ledger_agrees_with_cheap_checks(number: str, committed: dict[str, Record]) -> None:
    for theorem, entry in settled(number):
        if theorem.depends_on:  # the weakest link is of theorems that are not cheap
            own = record(settle(theorem))
            assert own.evidence == committed[theorem.id].evidence, REMEDY
        else:
            agree(theorem, record(entry), committed[theorem.id])


@pytest.mark.slow
def test_the_committed_ledger_agrees_with_every_check(committed: dict[str, Record]) -> None:
    fresh = records(prove())
    for theorem in THEOREMS:
        agree(theorem, fresh[theorem.id], committed[theorem.id])


def test_a_page_shows_what_a_record_says(committed: dict[str, Record]) -> None:
    """Every field of a record and of a theorem changes the page, so that no disagreement can hide."""
    theorem = next(t for t in THEOREMS if t.id == "mask-ratio")
    link = pages.link_from("")
    kept = committed[theorem.id]
    before = pages.theorem_in_full(theorem, kept, link)
    for change in (
        {"status": "failed"}, {"level": "simulated"}, {"near_miss": "accepted"}, {"refuted": "other"},
        {"witness": "other"}, {"evidence": kept.evidence[1:]}, {"constants": {}}, {"reasons": ("broken",)},
    ):  # fmt: skip
        changed = Record(**{**kept.__dict__, **change})
        assert pages.theorem_in_full(theorem, changed, link) != before, change
    for name, value in {
        "title": "x", "statement": "x", "source": "x", "bound": "upper", "proof": "x", "depends_on": (),
        "assumptions": dict.fromkeys(theorem.assumptions, "x"), "constants": {"RATIO": "2"},
    }.items():  # fmt: skip
        changed_theorem = Theorem(**{**theorem.__dict__, name: value})
        assert pages.theorem_in_full(changed_theorem, kept, link) != before, name


def test_every_link_and_figure_exists() -> None:
    anchors = {}
    for page in FOLDER.glob("*.md"):
        text = page.read_text(encoding="utf-8")
        heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
        slugs = {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}
        anchors[page.name] = slugs | set(re.findall(r'<a id="([^"]+)">', text))
    for page in FOLDER.glob("*.md"):
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"(?:\]\(|<img src=\")([^)\s\"]+)", text):
            name, _, anchor = target.partition("#")
            assert not name or (FOLDER / name).is_file(), f"{page.name} links to {target}"
            assert not anchor or anchor in anchors[name or page.name], f"{page.name} links to {target}"


@pytest.mark.parametrize("theorem", THEOREMS, ids=lambda t: t.id)
def test_statements_are_balanced(theorem: Theorem) -> None:
    bare = re.sub(r"\\[{}]", "", theorem.statement)
    depth = 0
    for letter in bare:
        depth += (letter == "{") - (letter == "}")
        assert depth >= 0
    assert depth == 0 and "$" not in bare and "`" not in bare
    assert len(re.findall(r"\\left(?![a-z])", bare)) == len(re.findall(r"\\right(?![a-z])", bare))


def test_every_theorem_has_a_chapter() -> None:
    assert {number(theorem) for theorem in THEOREMS} == {section.number for section in SECTIONS}


def test_prose_survives_markdown() -> None:
    assert pages.prose("w* and x_i < 2 | a\n b") == r"w\* and x\_i \< 2 \| a b"


def test_figures_that_are_not_there_are_not_shown(tmp_path: Path, committed: dict[str, Record]) -> None:
    assert pages.write(tmp_path, committed) == FIGURES
    assert not any("figures/" in path.read_text(encoding="utf-8") for path in tmp_path.glob("*.md"))
    assert (tmp_path / "ledger.json").read_bytes() == (FOLDER / "ledger.json").read_bytes()


def test_records_leave_out_the_times() -> None:
    ((theorem, entry),) = settled("T7.6")
    text = json.dumps(record(entry).to_json())
    assert "seconds" not in text and Record.from_json(json.loads(text)) == record(entry)
    assert records(Ledger((entry,), (), 1.0)) == {theorem.id: record(entry)}
