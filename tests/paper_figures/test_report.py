"""The report: everything from files, everything escaped, nothing fetched, and what was not run said to be not run."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from unilth.paper_figures import manifest, report
from unilth.paper_figures.report_document import Commands, Document, Grid, Section, cell, code
from unilth.paper_figures.report_html import html
from unilth.paper_figures.report_markdown import markdown
from unilth.paper_figures.report_read import Part, seconds
from unilth.paper_figures.report_theory import headlines

MakeRuns = Callable[..., Path]
VOID = ("meta", "img", "br")
ATTACK = "<script>alert(1)</script><img src=http://evil.example/x onerror=alert(2)>|`\"'&]\n# heading"
PIXEL = b"\x89PNG\r\n\x1a\n" + zlib.compress(b"not shown by any test")


class Reader(HTMLParser):
    """Collects tags, attributes and text, and fails on unbalanced tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text += data

    def inside(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def ledger(text: str = "a title") -> dict[str, Any]:
    theorem = {
        "id": "gap", "catalogue": "T1.4", "title": text, "status": "proved", "level": "certified", "scope": text,
        "near_miss": "rejected", "constants": {"A1": ["0.2036", "0.2037"]}, "seconds": 1.5,
    }  # fmt: skip
    failed = {**theorem, "id": "wrong", "status": "failed", "near_miss": "accepted", "reasons": ["refuted: x = 1"]}
    claim = {"id": "c", "claim": text, "form": text, "verdict": "holds if", "theorems": ["T1.4"], "witness": text}
    return {"schema": 1, "theorems": [theorem, failed], "claims": [claim], "counts": {}}


def kit(text: str = "a statement") -> dict[str, Any]:
    row = {"id": "mask-order", "statement": text, "status": "passed", "cases": 12, "seconds": 0.5}
    bad = {
        **row,
        "id": "mask-names",
        "status": "violated",
        "got": text,
        "expected": "names",
        "replay": "unilth check x",
    }
    target = {
        "schema": 1, "target": "m:rule", "kind": "mask_rule", "ok": False, "budget": "quick", "seed": 7,
        "invariants": [row, bad],
        "counts": {"passed": 1, "violated": 1, "not-applicable": 0},
    }  # fmt: skip
    matrix = {
        "twins": [{"name": "caught_one", "mistake": text}, {"name": "escaped_one", "mistake": ""}],
        "killed": {"caught_one": ["mask-order"], "escaped_one": []},
        "declared": {"caught_one": ["mask-order"], "escaped_one": ["mask-names"]},
    }
    return {"schema": 1, "ok": False, "targets": [target], "kill_matrix": matrix}


def fill(out: Path, text: str = "words") -> None:
    """Everything that a reproduction leaves, except runs."""
    (out / "ledger.json").write_text(json.dumps(ledger(text)))
    (out / "invariants.json").write_text(json.dumps(kit(text)))
    entry = {"status": "done", "seconds": 65.2, "finished": "2026-01-02T03:04:05Z", "what": text, "problem": ""}
    manifest.write(out, {"stages": {"prove": entry, "check": {**entry, "status": "failed"}}, "command": text})
    (out / "figures").mkdir(exist_ok=True)
    (out / "figures" / "risk.png").write_bytes(PIXEL)
    record = {"schema": 1, "caption": text, "command": "unilth figures risk --out .", "missing": "3 of 5 seeds"}
    (out / "figures" / "risk.json").write_text(json.dumps(record))


def read(out: Path) -> tuple[Reader, str]:
    page, twin = report.write(out)
    return Reader(page.read_text(encoding="utf-8")), twin.read_text(encoding="utf-8")


def test_an_empty_folder_gives_a_report_that_says_so(tmp_path: Path) -> None:
    page, twin = read(tmp_path)
    for text in (page.text, twin):
        assert text.lower().count("not run") >= 5 and "not drawn" in text
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.md"]


@pytest.mark.parametrize("text", ["{", "[]", '{"schema": 2}', '{"schema": 1, "theorems": 3, "targets": [3]}', "\x00"])
def test_damaged_files_do_not_stop_the_report(text: str, tmp_path: Path) -> None:
    fill(tmp_path)
    for name in ("ledger.json", "invariants.json", manifest.NAME, "figures/risk.json"):
        (tmp_path / name).write_text(text)
    (tmp_path / "figures" / "risk.png").write_bytes(b"GIF89a")
    page, twin = read(tmp_path)
    assert "Not" in page.text and "not drawn" in twin


def test_everything_of_the_contract_is_told(tmp_path: Path, make_runs: MakeRuns) -> None:
    fill(tmp_path)
    make_runs(skip=lambda spec: spec.recipe == "unilth" and spec.sparsity == 0.9 and spec.seed == 2)
    page, twin = read(tmp_path)
    for text in (page.text, twin.replace("\\", "")):
        for expected in (
            "1 of 2", "T1.4", "proved", "certified", "rejected", "accepted", "0.2036", "0.2037", "refuted: x = 1",
            "holds if", "unilth prove gap", "unilth check m:rule --seed 7 --budget quick --only mask-order",
            "escaped", "caught", "UniLTH at 90%: 2 of 3 seeds", "n = 2", "86.0 ± 2.5", "65 s",
            "unilth figures risk --out .", "unilth sweep digits --out runs", "2026-01-02", "03:04:05 UTC", "For tests.",
            "3 of 5 seeds", "--seed 1 --sparsity 0.5",
        ):  # fmt: skip
            assert expected in text, expected
    lines = [line for line in page.text.splitlines() if line.startswith("unilth find ")]
    assert len(lines) == 14 and lines[0].split()[2] in ("dense", "lth", "unilth")


def test_foreign_text_never_becomes_markup(tmp_path: Path) -> None:
    fill(tmp_path, ATTACK)
    page, twin = read(tmp_path)
    assert not page.inside("script") and "alert(1)" in page.text
    assert all(attributes["src"].startswith("data:image/png;base64,") for attributes in page.inside("img"))
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    outside = "\n".join(line for line in twin.splitlines() if not line.startswith("    "))  # not in code blocks
    assert "<script" not in outside and "<img" not in outside and "\n# heading" not in twin
    widths = {line.count(" | ") for line in twin.splitlines() if line.startswith("| T1.4")}
    assert widths == {1, 2}  # a bar in the text does not make a column


def test_the_page_needs_no_network_and_no_script(tmp_path: Path) -> None:
    fill(tmp_path)
    page, _ = read(tmp_path)
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert not {"script", "link", "iframe", "object", "base"} & {tag for tag, _ in page.tags}
    assert not re.search(r"url\(|@import|https?:", text)
    policy = next(meta["content"] for meta in page.inside("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'")
    links = [attributes["href"] for attributes in page.inside("a")]
    assert links and all(link.startswith(("#", "figures/")) for link in links)
    anchors = {attributes["id"] for _, attributes in page.tags if "id" in attributes}
    assert {link[1:] for link in links if link.startswith("#")} <= anchors


def test_the_page_is_made_for_phones_and_for_the_dark(tmp_path: Path) -> None:
    fill(tmp_path)
    page, _ = read(tmp_path)
    assert any(meta.get("name") == "viewport" and "device-width" in meta["content"] for meta in page.inside("meta"))
    assert "prefers-color-scheme: dark" in (tmp_path / "report.html").read_text(encoding="utf-8")
    containers = [attributes for attributes in page.inside("div") if attributes.get("class") == "scroll"]
    assert len(containers) == len(page.inside("table")) > 3
    assert all(attributes.get("alt") for attributes in page.inside("img"))


def test_both_renderings_have_the_same_words() -> None:
    table = Grid(("A", "B"), ((cell("one", code("two `` |")), cell("3")),), frozenset({1}), "caption")
    document = Document("Title", "lead", (Section("s", "Part", (table, Commands(("run this", "and\nthat")))),))
    page, twin = Reader(html(document)), markdown(document)
    for word in ("Title", "lead", "Part", "A", "B", "one", "two `` ", "3", "caption", "run this"):
        assert word in page.text and word in twin
    assert "    and\n    that" in twin and "|---|---:|" in twin and "``` two `` \\| ```" in twin


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.345, "0.34 s"), (12.3, "12 s"), (119.6, "120 s"), (185, "3 min 05 s"), (None, ""), (True, ""), (-1, "")],
)
def test_durations(value: object, text: str) -> None:
    assert seconds(value) == text


def test_claims_are_counted_in_words_of_one_and_of_several() -> None:
    given = ["holds", "holds if", "holds", "fails", "open", "undecided", "open"]
    theorem = {"id": "t", "status": "proved", "near_miss": "rejected"}
    told = headlines(
        Part({"theorems": [theorem], "claims": [{"id": str(n), "verdict": v} for n, v in enumerate(given)]})
    )
    words = "2 hold, 1 holds under a condition, 1 fails, 2 open, 1 undecided"
    assert (told[-1].number, told[-1].label) == ("7 claims", words)
