"""The claims table has a column on networks where there are records, and none where there are not."""

from __future__ import annotations

from pathlib import Path

from unilth.paper_figures.report import networks
from unilth.paper_figures.report_document import Grid
from unilth.paper_figures.report_read import Part
from unilth.paper_figures.report_theory import claims

LEDGER = Part({"schema": 1, "claims": [{"id": "a", "claim": "c", "form": "f", "verdict": "holds", "theorems": []}]})


def heads(given: dict[str, list[str]]) -> list[tuple[str, ...]]:
    return [tuple(block.head) for block in claims(LEDGER, given).blocks if isinstance(block, Grid)]


def test_the_column_is_there_only_with_records(tmp_path: Path) -> None:
    assert networks(tmp_path / "none") == {}
    (tmp_path / "broken.json").write_text("{")
    assert networks(tmp_path) == {}
    assert heads({}) == [("Form", "Verdict", "By")]
    assert heads({"a": ["confirmed (x)"]}) == [("Form", "Verdict", "By", "On networks")]
    told = str(claims(LEDGER, {"b": ["confirmed (x)"]}).blocks)
    assert "not measured" in told and "confirmed (x)" in str(claims(LEDGER, {"a": ["confirmed (x)"]}).blocks)
