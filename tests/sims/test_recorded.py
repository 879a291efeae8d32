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


def test_the_readme_quotes_the_recorded_tables() -> None:
    """Each row of its first table stands in the digits' recorded one, each cell of the second in CIFAR-10's."""
    root = Path(__file__).parents[2]
    section = (root / "README.md").read_text().split("## What tickets reach")[1].split("\n## ")[0]
    names = ("digits", "cifar10-resnet20-short")
    digits, cifar = ((root / "results" / "sweeps" / name / "table.md").read_text() for name in names)
    *rows, last = [line for line in section.splitlines() if line.startswith("|") and "±" in line]
    assert len(rows) == 6 and all(row.split("|", 2)[2] in digits for row in rows)
    cells = re.findall(r"[\d.]+ ± [\d.]+", last)
    assert len(cells) == 7 and all(f"| {cell} |" in cifar for cell in cells)
    words = " ".join(section.split())
    for name, leads, (said,) in (
        ("fashion-mnist", ["l2", "lth"], re.findall(r"L2 and LTH end above UniLTH at 90%, by (.*?) points", words)),
        ("mnist", ["l2"], re.findall(r"L2 ends above UniLTH at 90%, by (.*?) points", words)),
    ):
        table = (root / "results" / "sweeps" / name / "table.md").read_text()
        lines = table.split("Difference to unilth")[1].splitlines()
        differences = [line.split("|") for line in lines if line.startswith("| ")]
        found = {
            recipe.strip(): re.findall(r"\+([\d.]+ ± [\d.]+), p 0\.0[0-4]", at_90)
            for _, recipe, at_90, *_ in differences
        }
        assert {recipe for recipe, lead in found.items() if lead} == set(leads), "who is above UniLTH at 90%"
        assert re.findall(r"[\d.]+ ± [\d.]+", said) == [found[recipe][0] for recipe in leads]
    (said,) = re.findall(r"UniLTH ends above L2 at 98%, by ([\d.]+ ± [\d.]+) points", words)
    conv = (root / "results" / "sweeps" / "conv-small-digits" / "table.md").read_text()
    assert re.search(rf"\| -{said}, p 0\.0[0-4]\d* \|$", conv.split("\n| l2 |")[2].splitlines()[0])


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
