"""The claims table has a column on networks where there are records, and none where there are not."""

from __future__ import annotations

from pathlib import Path

from unilth.paper_figures.report import networks
from unilth.paper_figures.report_document import Grid
from unilth.paper_figures.report_endpoints import section
from unilth.paper_figures.report_read import Part
from unilth.paper_figures.report_theory import claims
from unilth.sims.endpoints.records import read
from unilth.sims.endpoints.verdicts import verdicts

LEDGER = Part({"schema": 1, "claims": [{"id": "a", "claim": "c", "form": "f", "verdict": "holds", "theorems": []}]})


def heads(given: dict[str, list[str]]) -> list[tuple[str, ...]]:
    return [tuple(block.head) for block in claims(LEDGER, given).blocks if isinstance(block, Grid)]


def test_the_column_is_there_only_with_records(tmp_path: Path) -> None:
    assert networks(tmp_path / "none") == {}
    (tmp_path / "broken.json").write_text("{")
    assert networks(tmp_path) == {}
    assert "broken.json" in str(section(tmp_path).blocks)
    assert "Not measured." in str(section(tmp_path / "none").blocks)
    assert heads({}) == [("Form", "Verdict", "By")]
    assert heads({"a": ["confirmed (x)"]}) == [("Form", "Verdict", "By", "On networks")]
    told = str(claims(LEDGER, {"b": ["confirmed (x)"]}).blocks)
    assert "not measured" in told and "confirmed (x)" in str(claims(LEDGER, {"a": ["confirmed (x)"]}).blocks)


def test_every_prediction_and_its_rule_are_in_the_section() -> None:
    folder = Path(__file__).parents[2] / "results" / "endpoints"
    told = str(section(folder).blocks)
    for record in read(folder):
        for one in verdicts(record):
            assert one.verdict in told and repr(one.prediction)[1:-1] in told and one.rule in told
            assert all(str(effect) in told for effect in one.effects)
