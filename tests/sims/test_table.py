"""Comparison tables: numbers against hand-made records, and nothing guessed where runs are missing."""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unilth.cli import main
from unilth.errors import UserError
from unilth.sims.campaign import parse
from unilth.sims.recorded import KEPT, keep
from unilth.sims.records import DamagedRecord
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec
from unilth.sims.statistics import holm, sign_flip_p
from unilth.sims.sweep import keep_campaign, plan
from unilth.sims.table import compare
from unilth.sims.table_text import cell_text, comma_separated, difference_text, grids, latex, markdown

TOML = """
claim = "c"
[grid]
recipes = ["dense", "l2", "lth"]
sparsities = [0.5, 0.9]
seeds = 5
"""
CAMPAIGN = parse(TOML, name="some", where="some.toml")
LEVELS = {"dense": 0.97, "l2": 0.95, "lth": 0.96, "omp": 0.5}


def accuracy(spec: RunSpec) -> float:
    return LEVELS[spec.recipe] - 0.02 * spec.sparsity + 0.001 * ((spec.seed * 7 + len(spec.recipe)) % 5)


def record(spec: RunSpec, **more: object) -> dict:
    return {"test": {"accuracy": accuracy(spec), "loss": 1 - accuracy(spec)}, "unilth": "0.1.0", "device": "cpu"} | more


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "out")
    made.create()
    keep_campaign(made, CAMPAIGN)
    for spec in CAMPAIGN.specs:
        made.write(spec, record(spec))
    return made


def remove(store: Store, recipe: str, sparsity: float, seeds: set[int]) -> None:
    for spec in CAMPAIGN.specs:
        if (spec.recipe, spec.sparsity) == (recipe, sparsity) and spec.seed in seeds:
            shutil.rmtree(store.folder(spec))


def test_the_numbers_are_those_of_the_records(store: Store) -> None:
    (comparison,) = compare(store.root, baseline="l2")
    assert comparison.recipes == ("dense", "l2", "lth") and comparison.sparsities == (0.0, 0.5, 0.9)
    assert set(comparison.entries) == {("dense", 0.0), ("l2", 0.5), ("l2", 0.9), ("lth", 0.5), ("lth", 0.9)}
    lth = [accuracy(RunSpec("lth", sparsity=0.9, seed=seed)) for seed in range(5)]
    l2 = [accuracy(RunSpec("l2", sparsity=0.9, seed=seed)) for seed in range(5)]
    entry = comparison.entries["lth", 0.9]
    assert (entry.cell.n, entry.expected) == (5, 5)
    assert math.isclose(entry.cell.mean, np.mean(lth)) and math.isclose(entry.cell.deviation, np.std(lth, ddof=1))
    differences = [a - b for a, b in zip(lth, l2, strict=True)]
    assert math.isclose(entry.difference.mean, np.mean(differences))
    assert entry.difference.p == sign_flip_p(differences)
    raw = [comparison.entries["lth", sparsity].difference.p for sparsity in (0.5, 0.9)]
    assert [comparison.entries["lth", sparsity].adjusted for sparsity in (0.5, 0.9)] == holm(raw)
    assert comparison.entries["l2", 0.9].difference is None  # nothing is compared with itself
    assert comparison.entries["dense", 0.0].difference is None  # the baseline has no dense cell
    assert any("5 pairs no p before the correction is below 0.0625, so none can be" in n for n in comparison.notes)


def test_everything_is_compared_with_a_dense_baseline(store: Store) -> None:
    (comparison,) = compare(store.root, baseline="dense")
    entry = comparison.entries["lth", 0.9]
    dense = [accuracy(RunSpec("dense", sparsity=0.0, seed=seed)) for seed in range(5)]
    lth = [accuracy(RunSpec("lth", sparsity=0.9, seed=seed)) for seed in range(5)]
    assert math.isclose(entry.difference.mean, np.mean(lth) - np.mean(dense))
    assert sum(entry.difference is not None for entry in comparison.entries.values()) == 4


@pytest.mark.parametrize("campaign", [True, False])
def test_a_pruning_baseline_is_compared_at_its_own_sparsity_only(tmp_path: Path, campaign: bool) -> None:
    text = TOML.replace('"l2", ', "")
    store, some = Store(tmp_path), parse(text, name="some", where="some.toml")
    other = parse(text.replace('"dense", "lth"', '"l2"').replace("0.5, ", ""), name="other", where="other.toml")
    for part in (some, other):
        if campaign:
            store.create()
            keep_campaign(store, part)
        for spec in part.specs:
            store.write(spec, record(spec))
    (comparison,) = compare(tmp_path, baseline="l2")
    compared = {place for place, entry in comparison.entries.items() if entry.difference is not None}
    assert compared == {("lth", 0.9)}
    assert comparison.entries["lth", 0.9].adjusted == comparison.entries["lth", 0.9].difference.p  # Holm counts one
    assert "1 cell has no run of l2 at its sparsity and is not compared with it" in comparison.notes
    (_, _), (_, differences) = grids(comparison)
    assert differences[0] == ["recipe", "0.9"]


def test_more_than_twenty_seeds_have_a_p_from_random_flips(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for recipe, seeds in (("l2", 24), ("lth", 24), ("omp", 6)):
        for seed in range(seeds):
            spec = RunSpec(recipe, sparsity=0.9, seed=seed)
            store.write(spec, record(spec, test={"accuracy": LEVELS[recipe] + 0.001 * (seed % 3)}))
    (comparison,) = compare(tmp_path, baseline="l2")
    assert comparison.entries["lth", 0.9].difference.p == 1 / 100_001
    assert comparison.entries["omp", 0.9].difference.p == 2 / 2**6
    assert any(
        note.startswith("p from sign-flip permutation of the seed pairs, exact up to 20 pairs and beyond that from "
                        "100,000 random flips of a fixed seed, corrected for 2 comparisons (Holm); with 24 pairs no p "
                        "before the correction is below 1e-05")
        for note in comparison.notes
    )  # fmt: skip


def test_a_difference_says_its_pairs_where_seeds_are_missing(store: Store) -> None:
    remove(store, "l2", 0.9, {0, 1})
    (comparison,) = compare(store.root, baseline="l2")
    assert difference_text(comparison.entries["lth", 0.9], comparison.metric).endswith(" (3 pairs)")
    assert "pairs" not in difference_text(comparison.entries["lth", 0.5], comparison.metric)


def test_close_sparsities_are_told_apart(tmp_path: Path) -> None:
    store = Store(tmp_path)
    for sparsity in (0.9, 0.9000000001, 0.0, 0.00001):
        spec = RunSpec("lth", sparsity=sparsity)
        store.write(spec, record(spec))
    ((_, table),) = grids(compare(tmp_path)[0])
    assert table[0] == ["recipe", "0", "1e-05", "0.9", "0.9000000001"]


def test_missing_runs_are_counted_and_never_guessed(store: Store) -> None:
    remove(store, "lth", 0.9, {0, 1, 2, 3, 4})
    remove(store, "lth", 0.5, {1, 2})
    remove(store, "l2", 0.5, {0, 1, 2, 3})
    (comparison,) = compare(store.root, baseline="l2")
    entries, metric = comparison.entries, comparison.metric
    assert cell_text(entries["lth", 0.9], metric) == "0 of 5"
    assert cell_text(entries["lth", 0.5], metric).endswith("(3 of 5)")
    assert (
        cell_text(entries["l2", 0.5], metric) == f"{100 * accuracy(RunSpec('l2', sparsity=0.5, seed=4)):.2f} (1 of 5)"
    )
    assert cell_text(entries.get(("dense", 0.5)), metric) == "–"
    assert difference_text(entries["lth", 0.9], metric) == "0 pairs"
    assert entries["lth", 0.5].difference.n == 1  # seed 4 is the only one that both have
    assert "n = 5 seeds in every cell" not in markdown([comparison])


def test_texts_have_every_cell(store: Store) -> None:
    comparisons = compare(store.root, baseline="l2")
    entry = comparisons[0].entries["lth", 0.5]
    shown = f"{100 * entry.cell.mean:.2f} ± {100 * entry.cell.half:.2f}"
    text = markdown(comparisons)
    assert f"| lth | – | {shown} |" in text and "n = 5 seeds in every cell" in text
    assert text.count("| --- |") == 2
    assert shown.replace("±", r"$\pm$") in latex(comparisons)
    assert latex(comparisons).count(r"\begin{tabular}") == latex(comparisons).count(r"\end{tabular}") == 2
    assert r"test.accuracy, \%" in latex(comparisons)
    rows = list(csv.DictReader(io.StringIO(comma_separated(comparisons))))
    assert len(rows) == 5
    row = next(row for row in rows if (row["recipe"], row["sparsity"]) == ("lth", "0.5"))
    assert float(row["mean"]) == entry.cell.mean and float(row["p_holm"]) == entry.adjusted and row["n"] == "5"
    dense = next(row for row in rows if row["recipe"] == "dense")
    assert dense["difference"] == "" and dense["baseline"] == "l2"
    (_, table), (_, differences) = grids(comparisons[0])
    assert table[0] == ["recipe", "0", "0.5", "0.9"]
    assert [line[0] for line in differences] == ["recipe", "lth"] and differences[0] == ["recipe", "0.5", "0.9"]


def test_other_metrics(store: Store) -> None:
    (comparison,) = compare(store.root, metric="test.loss")
    assert cell_text(comparison.entries["dense", 0.0], "test.loss").startswith("0.02")
    assert "%," not in markdown([comparison])
    with pytest.raises(UserError, match=r"no run has a number 'test.acuracy' \(did you mean 'test.accuracy'"):
        compare(store.root, metric="test.acuracy")
    with pytest.raises(UserError, match=r"no run has a number 'device'"):
        compare(store.root, metric="device")


def test_runs_without_the_number_are_missing_and_said(store: Store) -> None:
    spec = RunSpec("lth", sparsity=0.9, seed=0)
    shutil.rmtree(store.folder(spec))
    store.write(spec, record(spec, test={"accuracy": 0.9, "loss": float("nan")}))
    (comparison,) = compare(store.root, metric="test.loss")
    assert comparison.entries["lth", 0.9].cell.n == 4
    assert comparison.notes[0] == "1 finished run has no number test.loss; its cell counts it as missing"


@pytest.mark.parametrize("value", ["null", '"0.9"', "true"])
def test_an_accuracy_that_is_no_number_is_damage_and_not_a_missing_run(store: Store, value: str) -> None:
    path = store.folder(CAMPAIGN.specs[3]) / "record.json"
    path.write_text(re.sub(r'"accuracy": [0-9.]+', f'"accuracy": {value}', path.read_text()))
    with pytest.raises(DamagedRecord, match=rf"{path.parent.name}.*accuracy of a wrong type; run the sweep again"):
        compare(store.root)
    assert plan(CAMPAIGN, store.root).damaged == (CAMPAIGN.specs[3],)  # and so a sweep repeats it


def test_runs_of_no_campaign_are_left_out_and_said(store: Store) -> None:
    stranger = RunSpec("lth", sparsity=0.9, seed=0, epochs=3)
    store.write(stranger, record(stranger, test={"accuracy": 0.0}))
    (comparison,) = compare(store.root)
    assert comparison.entries["lth", 0.9].cell.n == 5
    assert comparison.notes == ("1 run that belongs to no campaign of this directory is left out",)


def test_a_run_of_find_beside_those_of_a_sweep_counts(store: Store, capsys) -> None:
    (before,) = compare(store.root)
    path = store.folder(CAMPAIGN.specs[3]).rename(store.root / "mine") / "record.json"
    changed(path, lambda held: held.pop("files"))
    assert compare(store.root) == (before,)
    store.write(CAMPAIGN.specs[3], record(CAMPAIGN.specs[3]))  # the same run by the sweep: the same record
    assert compare(store.root) == (before,)
    changed(path, lambda held: held["test"].update(accuracy=0.1))
    assert main(["table", str(store.root)]) == 2
    error = capsys.readouterr().err
    assert str(path) in error and str(store.folder(CAMPAIGN.specs[3])) in error and "remove" not in error


def test_without_a_campaign_nothing_is_expected(store: Store) -> None:
    shutil.rmtree(store.root / "campaigns")
    remove(store, "lth", 0.5, {1})
    (comparison,) = compare(store.root)
    assert comparison.entries["lth", 0.5].expected is None
    assert cell_text(comparison.entries["lth", 0.5], "test.accuracy").endswith("(n = 4)")
    other = RunSpec("lth", sparsity=0.9, seed=0, epochs=3)
    store.write(other, record(other))
    with pytest.raises(UserError, match=r"differ in epochs \((60, 3|3, 60)\) and would share a cell"):
        compare(store.root)


def test_differences_in_settings_and_versions_are_said(tmp_path: Path) -> None:
    text = TOML + "[run]\nepochs = 9\n[run.lth]\nepochs = 10\n"
    campaign, store = parse(text, name="some", where="some.toml"), Store(tmp_path)
    keep_campaign(store, campaign)
    for spec in campaign.specs:
        store.write(spec, record(spec, unilth="0.2.0" if spec.seed else "0.1.0"))
    (comparison,) = compare(tmp_path)
    assert comparison.notes == ("the runs differ in epochs: 10, 9", "the runs differ in unilth: 0.1.0, 0.2.0")


def test_other_data_are_said(tmp_path: Path) -> None:
    campaign, store = parse(TOML, name="some", where="some.toml"), Store(tmp_path)
    keep_campaign(store, campaign)
    for spec in campaign.specs:
        store.write(spec, record(spec, data_digest=f"{min(spec.seed, 1)}" * 64))
    (comparison,) = compare(tmp_path)
    assert comparison.notes == ("the runs on digits differ in their data (data_digest): 000000000000, 111111111111",)


def test_parts_of_the_data_are_settings(tmp_path: Path) -> None:
    text = TOML + "[run.lth]\nexamples = 100\n"
    campaign, store = parse(text, name="some", where="some.toml"), Store(tmp_path)
    keep_campaign(store, campaign)
    for spec in campaign.specs:
        store.write(spec, record(spec, data_digest=str(spec.examples)))
    (comparison,) = compare(tmp_path)
    assert comparison.notes == ("the runs differ in examples: 100, None",)


def test_each_network_has_its_own_table_and_all_are_corrected_together(tmp_path: Path) -> None:
    specs = tuple(
        RunSpec(recipe, network=network, sparsity=0.9, seed=seed)
        for network in ("lenet-300-100", "conv-small") for recipe in ("l2", "lth") for seed in range(8)
    )  # fmt: skip
    store = Store(tmp_path)
    for spec in specs:
        store.write(spec, record(spec))
    first, second = compare(tmp_path, baseline="l2")
    assert {first.network, second.network} == {"lenet-300-100", "conv-small"}
    raw = [comparison.entries["lth", 0.9].difference.p for comparison in (first, second)]
    assert raw == [2 / 2**8] * 2
    assert [comparison.entries["lth", 0.9].adjusted for comparison in (first, second)] == [4 / 2**8] * 2


def changed(path: Path, change: Callable[[dict], object]) -> None:
    held = json.loads(path.read_text())
    change(held)
    path.write_text(json.dumps(held))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda held: held["spec"].update(seed=77), "belongs to another run than its spec_digest says"),
        (lambda held: held["spec"].update(zzz=1), "a run spec has no key 'zzz'"),
        (lambda held: held["spec"].update(epochs=0), "epochs must be at least 1"),
    ],
)
def test_a_record_that_is_not_its_own_is_named(store: Store, change: Callable[[dict], object], said: str) -> None:
    shutil.rmtree(store.root / "campaigns")
    path = store.folder(CAMPAIGN.specs[3]) / "record.json"
    changed(path, change)
    with pytest.raises(DamagedRecord) as caught:
        compare(store.root)
    assert str(path) in str(caught.value) and said in str(caught.value)


@pytest.mark.parametrize("value", ["7e300", "-0.5", "1.5", "1" + "0" * 90])
@pytest.mark.parametrize("kept", [False, True])
def test_impossible_numbers_are_named(store: Store, tmp_path: Path, value: str, kept: bool) -> None:
    path = store.folder(CAMPAIGN.specs[3]) / "record.json"
    path.write_text(re.sub(r'"accuracy": [0-9.]+', f'"accuracy": {value}', path.read_text()))
    root = keep(store, tmp_path / "kept").parent if kept else store.root
    with pytest.raises(DamagedRecord, match=rf"{path.parent.name}.*test\.accuracy of "):
        compare(root)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"epochs": 3', '"epochs": 1e999'),
        ('"accuracy": 0.9', '"accuracy": 1e999'),
        ('"seconds": 1', '"seconds": 1e999'),
    ],
)
@pytest.mark.parametrize("kept", [False, True])
def test_infinite_numbers_are_named(tmp_path: Path, capsys, old: str, new: str, kept: bool) -> None:
    """They are in no record that was written, and would end a table or a sweep in an OverflowError."""
    store, spec = Store(tmp_path / "runs"), CAMPAIGN.specs[3]
    store.create()
    free = {"phase": "free", "round": 0, "epochs": 3, "best_epoch": 1}
    recipe = {"stop": {"patience": 1}, "rounds": {"number": 0}, "penalty": None}
    path = store.write(spec, {"test": {"accuracy": 0.9}, "recipe": recipe, "phases": [free], "timing": {"seconds": 1}})
    if kept:
        keep(store, tmp_path / "kept")
        path = tmp_path / "kept" / KEPT
        lines = gzip.decompress(path.read_bytes()).decode()
        assert old in lines
        path.write_bytes(gzip.compress(lines.replace(old, new).encode()))
    else:
        path = path / "record.json"
        assert old in path.read_text()
        path.write_text(path.read_text().replace(old, new))
        assert plan(CAMPAIGN, store.root).damaged == (spec,)  # and so a sweep repeats it
    assert main(["table", str(tmp_path / ("kept" if kept else "runs"))]) == 2
    error = capsys.readouterr().err
    assert str(path) in error and "number that is not finite" in error and error.count("\n") == 1


def test_impossible_losses_are_named(store: Store) -> None:
    path = store.folder(CAMPAIGN.specs[3]) / "record.json"
    changed(path, lambda held: held["test"].update(loss=7e300))
    with pytest.raises(DamagedRecord, match=r"test\.loss of 7e\+300"):
        compare(store.root, metric="test.loss")


def test_what_cannot_be_compared_is_refused(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no run has the baseline 'lht' \(did you mean 'lth'"):
        compare(store.root, baseline="lht")
    with pytest.raises(UserError, match="there is no directory"):
        compare(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no finished run"):
        compare(tmp_path / "empty")
    path = store.folder(CAMPAIGN.specs[3]) / "record.json"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DamagedRecord, match="run the sweep again"):
        compare(store.root)
