"""Records that are kept: the same table from them, the same bytes again, and nothing believed that was changed."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from unilth.cli import main
from unilth.commands import table
from unilth.errors import UserError
from unilth.sims import recorded, zoo
from unilth.sims.campaign import load, parse
from unilth.sims.recorded import KEPT, keep, opened
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import keep_campaign
from unilth.sims.table import compare

TEXT = """
claim = "Nothing is claimed."
[grid]
recipes = ["dense", "omp"]
networks = ["lenet-300-100"]
data = ["digits"]
sparsities = [0.5]
seeds = 2
"""


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    campaign = parse(TEXT, name="few", where="few.toml")
    store = Store(tmp_path / "runs")
    store.create()
    keep_campaign(store, campaign)
    for number, spec in enumerate(campaign.specs):
        store.write(spec, {"test": {"accuracy": 0.9 + number / 100}}, lambda folder: (folder / "a").write_text("b"))
    return store.root


def test_the_table_of_kept_records_is_the_table_of_the_sweep(runs: Path, tmp_path: Path, capsys) -> None:
    text = tmp_path / "kept" / "table.md"
    options = ["--keep", str(tmp_path / "kept"), "--markdown", str(text)]
    assert table.main([str(runs), "--baseline", "dense", *options]) == 0
    assert "dense" in text.read_text(encoding="utf-8")
    assert compare(tmp_path / "kept", baseline="dense") == compare(runs, baseline="dense")
    said = capsys.readouterr().out
    assert table.main([str(tmp_path / "kept"), "--baseline", "dense"]) == 0
    assert capsys.readouterr().out == said
    assert sum(path.is_file() for path in (tmp_path / "kept").rglob("*")) == 3


@pytest.mark.parametrize("option", ["", "--keep", "--csv", "--markdown", "--latex"])
def test_an_empty_name_is_not_the_working_directory(runs: Path, capsys, monkeypatch, option: str) -> None:
    monkeypatch.chdir(runs)
    before = sorted(runs.rglob("*"))
    assert main(["table", *([".", option] if option else []), ""]) == 2
    error = capsys.readouterr().err
    assert f"{option or 'DIR'} is empty: give a f" in error and error.count("\n") == 1
    assert sorted(runs.rglob("*")) == before


def test_the_same_records_are_the_same_bytes(runs: Path, tmp_path: Path) -> None:
    first = keep(opened(runs), tmp_path / "one").read_bytes()
    assert keep(opened(tmp_path / "one"), tmp_path / "two").read_bytes() == first
    assert keep(opened(runs), tmp_path / "one").read_bytes() == first


def test_a_folder_of_something_else_is_left_alone(runs: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match="no folder of records: name a new one"):
        keep(opened(runs), other)
    with pytest.raises(UserError, match="no folder of records"):
        keep(opened(runs), other / "thesis.tex")
    assert [path.name for path in other.iterdir()] == ["thesis.tex"]


def damage(kept: Path, what: str) -> None:
    lines = gzip.decompress(kept.read_bytes()).decode().splitlines()
    record = json.loads(lines[1])
    if what == "another run":
        record["spec"]["seed"] += 100
    elif what == "schema":
        record["schema"] = 99
    lines[1] = "{" if what == "JSON" else json.dumps(record)
    kept.write_bytes(gzip.compress("\n".join(lines).encode()))


@pytest.mark.parametrize(("what", "why"), [("another run", "another run"), ("schema", "schema 99"), ("JSON", "JSON")])
def test_a_changed_line_is_named(runs: Path, tmp_path: Path, what: str, why: str) -> None:
    kept = keep(opened(runs), tmp_path / "kept")
    damage(kept, what)
    with pytest.raises(UserError, match=f"line 2 of .*{why}"):
        compare(kept.parent)


def test_a_line_that_is_there_twice_counts_once_and_one_that_differs_is_named(runs: Path, tmp_path: Path) -> None:
    kept = keep(opened(runs), tmp_path / "kept")
    before, lines = compare(kept.parent), gzip.decompress(kept.read_bytes()).decode().splitlines()
    kept.write_bytes(gzip.compress("\n".join([*lines, lines[1]]).encode()))
    assert compare(kept.parent) == before
    record = json.loads(lines[1])
    record["test"]["accuracy"] = 0.1
    kept.write_bytes(gzip.compress("\n".join([*lines, json.dumps(record)]).encode()))
    with pytest.raises(UserError, match=r"line 2 of .* and line 5 of .* differ in test: move"):
        compare(kept.parent)


def test_what_is_no_archive_or_too_large_is_refused(runs: Path, tmp_path: Path, monkeypatch) -> None:
    kept = keep(opened(runs), tmp_path / "kept")
    monkeypatch.setattr(recorded, "LARGEST", 100)
    with pytest.raises(UserError, match="unpacks to more than the 100 bytes"):
        compare(kept.parent)
    monkeypatch.undo()
    whole = kept.read_bytes()
    for content in (whole[: len(whole) // 2], b"no archive at all", whole[:20] + b"\0" * 40):
        kept.write_bytes(content)
        with pytest.raises(UserError, match=f"{KEPT}.* cannot be read"):
            compare(kept.parent)


RESULTS = sorted((Path(__file__).parents[2] / "results" / "sweeps").glob("*/"))


@pytest.mark.parametrize("folder", RESULTS, ids=lambda folder: folder.name)
def test_a_recorded_table_is_what_its_records_say(folder: Path, tmp_path: Path) -> None:
    """`unilth table results/sweeps/NAME --baseline unilth --markdown table.md` writes every byte of the table there."""
    baseline = "random" if folder.name == "zoo-digits" else "unilth"
    assert table.main([str(folder), "--baseline", baseline, "--markdown", str(tmp_path / "table.md")]) == 0
    assert (tmp_path / "table.md").read_text() == (folder / "table.md").read_text()
    (campaign,) = (folder / "campaigns").iterdir()
    assert load(campaign.stem).specs == load(campaign).specs, "the shipped campaign is another one by now"
    records = opened(folder).records()
    assert {record["spec_digest"] for record in records} <= {spec.digest() for spec in load(campaign).specs}
    assert all(record["device"] and record["versions"]["torch"] and record["timing"]["seconds"] for record in records)


def test_there_are_recorded_tables() -> None:
    assert RESULTS


ROOT = Path(__file__).parents[2]


def differences_of(campaign: str) -> dict[tuple[str, str], str]:
    """Of a campaign's table: recipe and sparsity, and the difference to UniLTH, in bold where p < 0.05."""
    text = table_of(campaign).split("Difference to unilth")[1]
    head, _, *rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    found = {}
    for recipe, *cells in rows:
        for sparsity, cell in zip(head[1:], cells, strict=True):
            difference, p = cell.split(", p ")
            found[recipe, sparsity] = f"**{difference}**" if float(p) < 0.05 else difference
    return found


@pytest.mark.parametrize("page", ["README.md", "results/README.md"])
def test_an_overview_quotes_the_recorded_tables(page: str) -> None:
    """Every cell, and what is in bold; every campaign is in it, with all of its sparsities."""
    text = (ROOT / page).read_text().split("| campaign | sparsity |")[1].split("\n\n")[0]
    head, _, *rows = [line.strip("| ").split(" | ") for line in f"campaign | sparsity |{text}".splitlines()]
    named = {"one-shot magnitude": "omp", "LTH": "lth", "L2": "l2", "DLTH": "dlth", "UniDLTH": "unidlth"}
    assert head[2:] == list(named)
    for campaign, sparsity, *cells in rows:
        found = differences_of(campaign)
        assert cells == [found.get((recipe, sparsity), "–") for recipe in named.values()], (campaign, sparsity)
    elsewhere = {"zoo-digits"} | ({"digits"} if page == "README.md" else set())  # digits has a table of its own there
    shown = {(campaign, sparsity) for campaign, sparsity, *_ in rows}
    assert {campaign for campaign, _ in shown} == {folder.name for folder in RESULTS} - elsewhere
    for campaign in {campaign for campaign, _ in shown} - {"digits"}:  # five sparsities, of which two are shown
        assert {sparsity for name, sparsity in shown if name == campaign} == {s for _, s in differences_of(campaign)}


def test_the_overviews_words_are_those_of_its_numbers() -> None:
    """Who is measurably above or below UniLTH, as README.md and results/README.md say it in words."""
    above = {(name, recipe, sparsity) for name, recipe, sparsity, cell in bold() if cell.startswith("**+")}
    assert above == {
        ("mnist", "l2", "0.9"), ("fashion-mnist", "l2", "0.9"), ("fashion-mnist", "lth", "0.9"),
        ("cifar10-resnet20-part", "l2", "0.9"), ("cifar10-resnet20-part", "omp", "0.9"),
    }  # fmt: skip
    below = {(name, recipe, sparsity) for name, recipe, sparsity, cell in bold() if cell.startswith("**-")}
    assert {place for place in below if place[1] in ("omp", "lth", "l2")} == {("conv-small-digits", "l2", "0.98")}
    words = " ".join((ROOT / "results" / "README.md").read_text().split())
    part, short = differences_of("cifar10-resnet20-part"), differences_of("cifar10-resnet20-short")
    leads = [part["l2", "0.9"].strip("*+"), part["omp", "0.9"].strip("*+")]
    assert f"end above UniLTH, by {leads[0]} (p 0.031) and {leads[1]} points (p 0.023)" in words
    assert f"with each of 3 seeds, by {short['l2', '0.9'].strip('+')} points" in words
    lth = re.findall(r"\| lth .*p (0\.\d+) \|$", table_of("mnist").split("Difference")[1], re.MULTILINE)
    assert lth == ["0.059"] and "LTH (on MNIST barely not: p 0.059)" in words


def bold() -> list[tuple[str, str, str, str]]:
    """Campaign, recipe, sparsity and cell of every difference with p < 0.05."""
    names = [folder.name for folder in RESULTS if folder.name != "zoo-digits"]
    cells = [(name, *place, cell) for name in names for place, cell in differences_of(name).items()]
    return [found for found in cells if found[-1].startswith("**")]


def table_of(campaign: str) -> str:
    return (ROOT / "results" / "sweeps" / campaign / "table.md").read_text()


def test_the_readme_quotes_the_digits() -> None:
    section = (ROOT / "README.md").read_text().split("## What tickets reach")[1].split("\n\n| campaign")[0]
    rows = [line for line in section.splitlines() if line.startswith("|") and "±" in line]
    digits = table_of("digits")
    assert len(rows) == 6 and all(row.split("|", 2)[2] in digits for row in rows)


def test_the_stop_of_resnet20_is_too_early_as_its_page_says() -> None:
    """One-shot magnitude has the same free training, and there it goes on improving."""
    records = opened(ROOT / "results" / "sweeps" / "cifar10-resnet20-part").records()
    free = {
        (record["spec"]["recipe"], record["spec"]["seed"]): [
            row["validation_loss"] for row in record["epochs"] if row["phase"] == "free"
        ]
        for record in records
    }
    longer, stopped = ([free[recipe, seed] for seed in range(8)] for recipe in ("omp", "unilth"))
    assert all(more[: len(fewer)] == fewer for more, fewer in zip(longer, stopped, strict=True))
    best = [losses.index(min(losses)) + 1 for losses in longer]
    lowest, there = (sum(map(min, losses)) / 8 for losses in (longer, stopped))
    words = " ".join((ROOT / "results" / "sweeps" / "README.md").read_text().split())
    assert f"after {min(map(len, stopped))} to {max(map(len, stopped))} epochs, by noise" in words
    assert f"to epochs {min(best)} to {max(best)}, to a validation loss of {lowest:.2f} on average" in words
    assert f"against {there:.2f} where UniLTH goes on" in words


@pytest.mark.parametrize(("name", "count"), [("cifar10-resnet20-part", 4), ("cifar10-resnet20-short", 7)])
def test_the_campaigns_page_quotes_cifar(name: str, count: int) -> None:
    text = (ROOT / "results" / "sweeps" / "README.md").read_text().split(f"## {name}\n")[1].split("\n## ")[0]
    (cells,) = [found for line in text.splitlines() if len(found := re.findall(r"[\d.]+ ± [\d.]+", line)) == count]
    assert all(f"| {cell} |" in table_of(name) for cell in cells)


TUNED = sorted((Path(__file__).parents[2] / "results" / "tuning").glob("*.json"))


@pytest.mark.parametrize("path", TUNED, ids=lambda path: path.stem)
def test_a_campaigns_settings_are_the_best_of_its_tries(path: Path) -> None:
    """On validation accuracy and then loss, with as many tries for each method and none of the campaign's seeds."""
    found, campaign = json.loads(path.read_text()), load(path.stem)
    one = {spec.recipe: spec for spec in campaign.specs}
    assert set(found["tries"]) == set(one) and not found["untried"]
    assert not {spec.seed for spec in campaign.specs} & set(found["seeds"])
    assert set(found["sparsities"]) == {spec.sparsity for spec in campaign.specs} - {0}
    records = opened(path.parents[1] / "sweeps" / path.stem).records()
    assert {record["data_digest"] for record in records} == {found["data_digest"]}
    for method, rows in found["tries"].items():
        best = min(rows, key=lambda row: (-round(row["validation_accuracy_percent"], 9), row["validation_loss"]))
        tried = RunSpec.from_dict(found["runs"][method] | best["settings"] | {"sparsity": 0.9})
        assert zoo.recipe(tried) == zoo.recipe(replace(one[method], sparsity=0.9)), method
        names = ("network", "data", "epochs", "batch", "lr", "momentum", "tune", "precision", "augment", "examples")
        assert all(getattr(tried, name) == getattr(one[method], name) for name in names)
        assert len({json.dumps(row["settings"], sort_keys=True) for row in rows}) == len(rows)
        tries = {"dense": 2}.get(method, 8)
        assert len(rows) == tries, "a comparison in which one side has more tries is not fair"
        assert sum(bool(row["settings"]["tune_l2"]) for row in rows) == tries / 2
        sparsities = 1 if method == "dense" else len(found["sparsities"])
        assert {row["runs"] for row in rows} == {sparsities * len(found["seeds"])}


def test_there_are_tuned_campaigns() -> None:
    assert {"mnist", "fashion-mnist", "digits", "conv-small-digits"} == {path.stem for path in TUNED}
