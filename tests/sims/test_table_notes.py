"""What a table says beside its numbers: what differs between the runs, what is not there, and one of a thing as one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from unilth.sims.campaign import parse
from unilth.sims.records import DamagedRecord
from unilth.sims.results import Store
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import keep_campaign
from unilth.sims.table import Comparison, compare
from unilth.sims.table_text import grids, latex, markdown

NET = "nets/__init__.py:Net"


def stored(root: Path, *runs: tuple[RunSpec, dict]) -> Store:
    store = Store(root)
    store.create()
    for spec, more in runs:
        store.write(spec, {"test": {"accuracy": 0.9 - 0.1 * spec.sparsity}} | more)
    return store


def omp(seed: int = 0, **more: object) -> RunSpec:
    return RunSpec("omp", sparsity=0.5, seed=seed, **more)


def imported(name: str, digest: str | None) -> dict:
    return {"kind": "imported", "name": name, "sha256": digest}


def test_other_versions_of_the_users_own_files_are_said(tmp_path: Path) -> None:
    """Runs of one cell that were made before and after an edit of the file look the same but for this."""
    first, second = "1" * 64, "2" * 64
    stored(
        tmp_path,
        (omp(0, network=NET), {"network": imported(NET, first)}),
        (omp(1, network=NET), {"network": imported(NET, second)}),
        (omp(0, score="a.py:s"), {"score": imported("a.py:s", second)}),
        (omp(1, score="a.py:s"), {"score": imported("a.py:s", None)}),
    )
    said = compare(tmp_path)[0].notes
    assert {note for note in said if "its file" in note} == {
        f"the runs with the network {NET} differ in its file (network.sha256): 111111111111, 222222222222",
        "the runs with the score a.py:s differ in its file (score.sha256): 222222222222, None",
    }


def test_other_networks_and_scores_are_no_other_versions(tmp_path: Path) -> None:
    stored(
        tmp_path,
        (omp(network="a.py:N"), {"network": imported("a.py:N", "1" * 64), "score": imported("a.py:s", "3" * 64)}),
        (omp(network="b.py:N"), {"network": imported("b.py:N", "2" * 64), "score": imported("b.py:s", "4" * 64)}),
        (omp(), {"network": {"kind": "built in"}, "score": {"kind": "built in", "name": "magnitude"}}),
        (omp(1), {"network": "as others write it"}),
    )
    assert compare(tmp_path)[0].notes == ()


def test_what_is_there_once_is_named_in_the_singular(tmp_path: Path) -> None:
    text = 'claim = "c"\n[grid]\nrecipes = ["l2", "omp"]\nsparsities = [0.5]\nseeds = 1\n'
    campaign = parse(text, name="some", where="some.toml")
    store = stored(tmp_path, *((spec, {}) for spec in campaign.specs), (omp(5), {}))
    keep_campaign(store, campaign)
    (comparison,) = compare(tmp_path, baseline="l2")
    assert comparison.notes[0] == "1 run that belongs to no campaign of this directory is left out"
    assert "corrected for 1 comparison (Holm); with 1 pair no p before" in comparison.notes[1]
    assert "; n = 1 seed in every cell\n" in markdown([comparison])


def test_several_are_named_in_the_plural(tmp_path: Path) -> None:
    specs = [RunSpec(recipe, sparsity=0.5, seed=seed) for recipe in ("l2", "lth", "omp") for seed in (0, 1)]
    more = [RunSpec(recipe, sparsity=0.9) for recipe in ("lth", "omp")]
    stored(tmp_path, *((spec, {"stopping_epoch": spec.seed or None}) for spec in [*specs, *more]))
    (comparison,) = compare(tmp_path, baseline="l2", metric="stopping_epoch")
    assert comparison.notes[0] == "5 finished runs have no number stopping_epoch; their cells count them as missing"
    assert "2 cells have no run of l2 at their sparsity and are not compared with it" in comparison.notes
    assert "corrected for 2 comparisons (Holm); with 1 pair no p" in comparison.notes[-1]


@pytest.mark.parametrize(
    ("others", "said"),
    [
        ([omp()], "1 cell has no run of l2 at its sparsity and is not compared with it"),
        ([RunSpec("dense", sparsity=0.0)], "there is nothing to compare with l2"),
        ([], "there is nothing to compare with l2"),
    ],
)
def test_without_a_counterpart_there_is_a_note_and_no_empty_table(tmp_path: Path, others: list, said: str) -> None:
    stored(tmp_path, *((spec, {}) for spec in [RunSpec("l2", sparsity=0.9), *others]))
    (comparison,) = compare(tmp_path, baseline="l2")
    assert len(grids(comparison)) == 1 and comparison.notes == (said,)
    for text in (markdown([comparison]), latex([comparison])):
        assert "Difference" not in text and said in text and "mean ± half" in text.replace(r"$\pm$", "±")


def test_a_dense_network_that_is_compared_is_something(tmp_path: Path) -> None:
    stored(tmp_path, (RunSpec("l2", sparsity=0.0), {}), (RunSpec("dense", sparsity=0.0), {}))
    (comparison,) = compare(tmp_path, baseline="l2")
    assert len(grids(comparison)) == 2 and "nothing to compare" not in "".join(comparison.notes)


def test_a_minus_in_latex_is_no_hyphen(tmp_path: Path) -> None:
    recipes = {"greg-1": 0.8, "l2": 0.9}
    for recipe, accuracy in recipes.items():
        stored(tmp_path, (RunSpec(recipe, sparsity=0.00001), {"test": {"accuracy": accuracy}}))
    comparisons = compare(tmp_path, baseline="l2")
    assert r"greg-1 & $-$10.00, p 1" in latex(comparisons)
    assert r"recipe & 1e$-$05 \\" in latex(comparisons) and "| greg-1 | -10.00, p 1" in markdown(comparisons)


def test_markdown_makes_nothing_bold() -> None:
    (line, *_) = markdown([Comparison(NET, "fashion_mnist", "m", None, (), (), {}, ())]).splitlines()
    assert line.startswith(r"nets/\_\_init\_\_.py:Net on fashion\_mnist: m, ")


@pytest.mark.parametrize(
    ("file", "wrong"), [("ticket", "is missing or has another size"), ("record.json", "cannot be")]
)
def test_a_damaged_folder_is_refused_with_one_remedy(tmp_path: Path, file: str, wrong: str) -> None:
    campaign = parse(
        'claim = "c"\n[grid]\nrecipes = ["omp"]\nsparsities = [0.5]\nseeds = 2\n', name="a", where="a.toml"
    )
    store = Store(tmp_path)
    keep_campaign(store, campaign)
    for spec in campaign.specs:
        store.write(spec, {"test": {"accuracy": 0.9}}, lambda folder: (folder / "ticket").write_bytes(b"mask"))
    (store.folder(campaign.specs[0]) / file).unlink()
    with pytest.raises(DamagedRecord, match=wrong) as caught:
        compare(tmp_path)
    assert str(caught.value).count("run the sweep again to repeat this run, restore it, or move") == 1
    shutil.rmtree(store.folder(campaign.specs[0]))
    assert compare(tmp_path)[0].entries["omp", 0.5].cell.n == 1


CHOSEN = {"rewind": "none", "score": "lamp", "spare": True, "rounds": 3, "scope": "erk"}


def test_a_recipe_without_its_stopping_rule_is_said(tmp_path: Path) -> None:
    stored(tmp_path, (omp(), {}), (RunSpec("unilth", sparsity=0.5, stop="last"), {}))
    assert compare(tmp_path)[0].notes == ("settings of single recipes: unilth (stop last)",)


@pytest.mark.parametrize("name", CHOSEN)
def test_each_choice_of_a_recipe_is_said_with_the_recipe(tmp_path: Path, name: str) -> None:
    stored(tmp_path, (omp(), {}), (RunSpec("lth", sparsity=0.5, **{name: CHOSEN[name]}), {}))
    assert compare(tmp_path)[0].notes == (f"settings of single recipes: lth ({name} {CHOSEN[name]})",)


def test_the_settings_of_several_recipes_are_one_note(tmp_path: Path) -> None:
    stored(tmp_path, (omp(), {}), (RunSpec("l2", l2=0.01), {}), (RunSpec("lth", rounds=3, scope="layer"), {}))
    said = "settings of single recipes: l2 (l2 0.01), lth (rounds 3, scope layer)"
    assert compare(tmp_path)[0].notes == (said,)


def test_a_setting_of_which_a_recipe_has_several_is_a_difference(tmp_path: Path) -> None:
    l2 = [(RunSpec("l2", seed=seed, l2=strength), {}) for seed, strength in enumerate((0.2, 0.3))]
    stored(tmp_path, *l2, *((RunSpec("lth", seed=seed, rounds=4), {}) for seed in range(2)))
    assert compare(tmp_path)[0].notes == (
        "settings of single recipes: lth (rounds 4)",
        "the runs differ in l2: 0.2, 0.3, None",
    )
