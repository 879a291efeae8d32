"""What a budget left no room for: said in the record, after `unilth find` and under a table."""

from __future__ import annotations

import pytest

from unilth.cli import main
from unilth.sims.execute import execute
from unilth.sims.shortfalls import shortfalls, stopped, tallied
from unilth.sims.spec import RunSpec
from unilth.sims.sweep import sweep


def run(recipe: str, **values: object) -> dict:
    return execute(RunSpec(recipe, batch=256, **values))[1]


def test_early_stopping_counts_only_where_it_fired():
    short, long = run("unilth", epochs=12), run("unilth", epochs=40, patience=1)
    assert short["stopping_epoch"] is None and stopped(short) is None and short["phases"][0]["epochs"] == 3
    assert shortfalls(short) == [
        "early stopping (patience 5) did not fire: free training ended with its 3 epochs",
        "the penalty pressed in 4 of 5 rounds",
    ]
    free = long["phases"][0]
    assert long["stopping_epoch"] == free["epochs"] == free["best_epoch"] + 1 < 12 and shortfalls(long) == []
    assert run("omp", epochs=4)["stopping_epoch"] is None


def test_patience_is_counted_from_the_best_epoch():
    record = run("unilth", epochs=12)
    for best, epochs, wanted in ((4, 9, 9), (5, 9, None), (None, 5, 5), (None, 4, None)):
        record["phases"][0] |= {"best_epoch": best, "epochs": epochs}
        assert stopped(record) == wanted


def test_a_mask_that_settles_stops_and_one_that_does_not_is_said():
    settled, late, short = run("early-bird", epochs=20), run("early-bird", epochs=9), run("early-bird", epochs=5)
    assert settled["stopping_epoch"] == settled["phases"][0]["epochs"] == 5 and shortfalls(settled) == []
    assert late["stopping_epoch"] == late["phases"][0]["epochs"] == 5, "at the last epoch that it may have"
    assert short["stopping_epoch"] is None and short["phases"][0]["epochs"] == 3
    assert shortfalls(short) == ["the mask did not settle: free training ended with its 3 epochs"]
    del short["phases"][0]["settled"]  # earlier records do not tell
    assert stopped(short) is None and shortfalls(short) == []


def test_a_sorting_that_did_not_take_place_is_said():
    said = "the weights were not sorted before the mask was drawn"
    assert said in shortfalls(run("greg-2", epochs=3))
    assert said not in shortfalls(run("greg-2", epochs=12)) + shortfalls(run("greg-1", epochs=3))


@pytest.mark.parametrize(
    ("recipe", "values", "said"),
    [
        ("lth", {"epochs": 4, "rounds": 4}, ["2 of 4 phases of free training had no epoch"]),
        ("greg-1", {"epochs": 1}, ["1 of 1 phases of free training had no epoch"]),
        ("dlth", {"epochs": 6}, []),
        ("random", {"epochs": 2}, []),
        ("dense", {"epochs": 2, "sparsity": 0.0}, []),
    ],
)
def test_rounds_without_epochs_are_said(recipe, values, said):
    found = shortfalls(run(recipe, **values))
    assert [sentence for sentence in found if "free" in sentence] == said


def test_a_table_says_it_of_all_runs_together(tmp_path, capsys):
    from unilth.sims.campaign import parse

    text = 'claim = "c"\n[grid]\nrecipes = ["omp", "unilth"]\nsparsities = [0.5, 0.9]\nseeds = 1\n[run]\nepochs = 5\n'
    assert sweep(parse(text + "batch = 256\n", name="c", where="c"), tmp_path, workers=1).ok
    assert main(["table", str(tmp_path)]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "unilth: the penalty pressed in 2 of 5 rounds (2 of 2 runs)" in shown and "omp: " not in shown
    foreign = [{}, {"phases": 5, "recipe": {}}, {"phases": [3], "recipe": {"stop": {"patience": 1}, "rounds": {}}}]
    assert tallied({"spec": {"recipe": "omp"}, **record} for record in foreign) == []


def test_find_says_it(tmp_path, capsys):
    assert main(["find", "unilth", "--epochs", "6", "--batch", "256", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert (
        "note: early stopping (patience 5) did not fire" in err and "early stop" in out and "after 2 epochs" not in out
    )
