"""What early stopping is worth: which runs are compared, and by what."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from unilth.errors import UserError
from unilth.sims import zoo
from unilth.sims.campaign import load, parse
from unilth.sims.stopping import EarlyStopping, Epochs

ROOT = Path(__file__).parents[2]
TEXT = """
claim = "c"
[grid]
recipes = ["omp", "unilth", "early-bird"]
sparsities = [0.5, 0.9]
seeds = 2
[run]
epochs = 12
batch = 512
[run.unilth]
patience = 2
"""


pytestmark = pytest.mark.parametrize("program", ["early_stopping"], indirect=True)


def test_each_run_that_stops_early_has_three_ends_and_nothing_else_changes(program: ModuleType) -> None:
    runs = program.ends(parse(TEXT, name="c", where="c"), None)
    assert len(runs) == 3 * 2 * 2 and {spec.recipe for spec in runs} == {"unilth"}
    for one, (spec, end) in runs.items():
        mine, own = zoo.recipe(one), zoo.recipe(spec)
        assert (one.seed, one.sparsity, one.epochs) == (spec.seed, spec.sparsity, spec.epochs)
        assert (mine.penalty, mine.mask, mine.rounds, mine.rewind) == (own.penalty, own.mask, own.rounds, own.rewind)
        stop = {"patience": EarlyStopping(2), "best": EarlyStopping(12), "last": Epochs()}[end]
        assert mine.stop == stop and (end != "patience" or mine == own)
    both = parse(TEXT.replace('"omp"', '"unidlth"'), name="c", where="c")
    assert {spec.recipe for spec in program.ends(both, ["unidlth"])} == {"unidlth"}
    assert {spec.recipe for spec in program.ends(both, None)} == {"unilth", "unidlth"}


@pytest.mark.parametrize(
    ("old", "new", "recipes", "why"),
    [
        ("", "", ["early-bird"], "no run of 'early-bird' in the campaign stops early .*, only \\['unilth'\\]"),
        ('"unilth", ', "", None, "no run that stops early"),
        ("seeds = 2", 'seeds = 2\nnetworks = ["lenet-300-100", "conv-small"]', None, "several networks or data sets"),
        ("patience = 2", "patience = 12", None, "patience of 12 never runs out in 12 epochs"),
    ],
)
def test_what_has_no_three_ends_is_refused(program: ModuleType, old: str, new: str, recipes, why: str) -> None:
    text = TEXT.replace(old, new) if old else TEXT
    if "unilth" not in text.split("[run]")[0]:
        text = text.split("[run.")[0]
    with pytest.raises(UserError, match=why):
        program.ends(parse(text, name="c", where="c"), recipes)


def test_ends_are_compared_with_the_last_by_seed(program: ModuleType) -> None:
    lasts = {0: 90.0, 1: 80.0, 2: 70.0}
    gains = {"last": 0.0, "best": 1.0, "patience": -2.0}
    rows = [
        {"recipe": "unilth", "sparsity": sparsity, "seed": seed, "end": end, "fired": False,
         "free_epochs": 9 - seed * (end == "patience"), "best_epoch": None if end == "last" else 4,
         "validation_loss_there": 0.5,
         "validation_accuracy_percent_there": 60.0 + seed, "test_accuracy_percent": last + gains[end] * (1 + seed),
         "test_loss": 1.0 if end == "last" else 0.9}
        for sparsity in (0.5, 0.9) for seed, last in lasts.items() for end in program.ENDS
    ]  # fmt: skip
    text = program.table(rows[::-1])  # in whatever order the runs come
    # a p of 2 / 2^3 each, times 8 comparisons
    loss = "0.900 ± 0.000 | -0.100 ± 0.000, p 1 |"
    assert (
        f"| unilth | 0.9 | patience | 7 to 9 | 4 | 0.500 | 61.00 | 76.00 ± 29.81 | -4.00 ± 4.97, p 1 | {loss}" in text
    )
    assert f"| unilth | 0.9 | best | 9 | 4 | 0.500 | 61.00 | 82.00 ± 22.36 | +2.00 ± 2.48, p 1 | {loss}" in text
    assert "| unilth | 0.9 | last | 9 | 9 | 0.500 | 61.00 | 80.00 ± 24.84 |  | 1.000 ± 0.000 |  |" in text
    without = [row for row in rows if (row["sparsity"], row["seed"], row["end"]) != (0.9, 0, "last")]
    lines = [line for line in program.table(without).splitlines() if "| 0.9 |" in line]
    for line, accuracy in zip(
        lines, ("70.00 ± 76.24 | -5.00 ± 12.71", "77.50 ± 57.18 | +2.50 ± 6.35", "75.00 ± 63.53 |  "), strict=True
    ):
        assert f"| 0.500 | 61.50 | {accuracy}" in line, "the seed that has no last is left out of the other ends too"
    many = [row | {"seed": row["seed"] + 3 * k, "sparsity": 0.5} for k in range(4) for row in rows[:9]]
    assert ", p 0.002** |" in program.table(many), "12 pairs: 2 / 2^12, times 4 comparisons, in bold"
    assert program.table(rows[:1]).count("| – | – | – | – | – |  | – |  |") == 3


@pytest.mark.parametrize(("best", "loss"), [(2, 0.2), (None, 0.3)])
def test_what_is_kept_is_of_the_epoch_that_training_goes_on_from(
    program: ModuleType, best: int | None, loss: float
) -> None:
    epochs = [{"validation_loss": value, "validation_accuracy": 1 - value} for value in (0.4, 0.2, 0.3, 0.1)]
    record = {"phases": [{"phase": "free", "epochs": 3, "best_epoch": best}], "epochs": epochs, "stopping_epoch": None,
              "test": {"accuracy": 0.5, "loss": 2}}  # fmt: skip
    kept = program.measured(record)
    assert (kept["validation_loss_there"], kept["best_epoch"], kept["test_loss"]) == (loss, best, 2.0)
    assert kept["validation_accuracy_percent_there"] == pytest.approx(100 * (1 - loss))
    record["test"]["loss"] = None
    with pytest.raises(UserError, match="a loss is not finite"):
        program.measured(record)
    record["phases"][0]["epochs"] = 0
    with pytest.raises(UserError, match="free training had no epoch"):
        program.measured(record)


def test_it_runs_what_is_missing_and_keeps_every_run(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.toml").write_text(TEXT.replace("seeds = 2", "seeds = 1").replace("[0.5, 0.9]", "[0.9]"))
    out = tmp_path / "found.json"
    given = ["early_stopping.py", str(tmp_path / "c.toml"), "--runs", str(tmp_path / "runs"), "--workers", "1"]
    monkeypatch.setattr(sys, "argv", [*given, "--out", str(out)])
    program.main()
    said = capsys.readouterr()
    assert "3/3 runs, " in said.err and said.out.count("| unilth | 0.9 |") == 3
    found = json.loads(out.read_text())
    by_end = {row["end"]: row for row in found["runs"]}
    assert set(by_end) == set(program.ENDS) and found["device"] == "cpu" and found["failed"] == []
    assert by_end["last"]["best_epoch"] is None and by_end["best"]["best_epoch"] <= by_end["best"]["free_epochs"]
    assert by_end["best"]["free_epochs"] == by_end["last"]["free_epochs"] >= by_end["patience"]["free_epochs"]
    for path in (tmp_path / "runs").glob("*/record.json"):
        record = json.loads(path.read_text())
        end = "last" if record["spec"].get("stop") else {2: "patience", 12: "best"}[record["spec"]["patience"]]
        losses = [row["validation_loss"] for row in record["epochs"] if row["phase"] == "free"]
        row = by_end[end]
        assert row["validation_loss_there"] == (losses[-1] if end == "last" else min(losses))
        rows = [each for each in record["epochs"] if each["phase"] == "free"]
        (there,) = [each for each in rows if each["validation_loss"] == row["validation_loss_there"]]
        assert row["validation_accuracy_percent_there"] == 100 * there["validation_accuracy"]
        assert row["fired"] == (record["stopping_epoch"] is not None) and row["free_epochs"] == len(losses)
        assert row["test_accuracy_percent"] == 100 * record["test"]["accuracy"]
        assert row["test_loss"] == record["test"]["loss"]
    program.main()
    again = capsys.readouterr()
    assert again.out == said.out and "runs, about" not in again.err and json.loads(out.read_text()) == found


@pytest.mark.parametrize(
    ("change", "why"),
    [([], "no campaign 'nothing'"), (["--recipes", "lth"], "no run of 'lth'"), (["--out", "."], "cannot be written")],
)
def test_what_cannot_be_compared_is_one_sentence(
    program: ModuleType, tmp_path: Path, monkeypatch, capsys, change: list[str], why: str
) -> None:
    campaign = "digits" if change else "nothing"
    monkeypatch.setattr(sys, "argv", ["early_stopping.py", campaign, "--runs", str(tmp_path / "runs"), *change])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2 and why in capsys.readouterr().err and not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("phases", [], "had no epoch"),
        ("epochs", [], "has no epochs"),
        ("test", {"accuracy": 7, "loss": 1.0}, "accuracy"),
    ],
)
def test_a_damaged_record_is_one_sentence(
    program: ModuleType, tmp_path: Path, monkeypatch, capsys, key: str, value: object, why: str
) -> None:
    text = TEXT.replace("seeds = 2", "seeds = 1").replace("[0.5, 0.9]", "[0.9]").replace("epochs = 12", "epochs = 6")
    (tmp_path / "c.toml").write_text(text)
    given = ["early_stopping.py", str(tmp_path / "c.toml"), "--runs", str(tmp_path / "runs"), "--workers", "1"]
    monkeypatch.setattr(sys, "argv", given)
    program.main()
    path = min((tmp_path / "runs").glob("*/record.json"))
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(SystemExit) as ended:
        program.main()
    error = capsys.readouterr().err
    assert ended.value.code == 2 and why in error.splitlines()[-1] and "Traceback" not in error


def test_a_run_that_failed_is_told_and_its_pairs_are_left_out(
    program: ModuleType, tmp_path: Path, monkeypatch, capsys
) -> None:
    text = TEXT.replace("[0.5, 0.9]", "[0.9]").replace("epochs = 12", "epochs = 6")
    (tmp_path / "c.toml").write_text(text)
    runs, out = tmp_path / "runs", tmp_path / "found.json"
    given = ["early_stopping.py", str(tmp_path / "c.toml"), "--runs", str(runs), "--workers", "1", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", given)
    program.main()
    assert len(json.loads(out.read_text())["runs"]) == 6
    (path,) = (path for path in runs.glob("*seed1*/record.json") if '"stop": "last"' in path.read_text())
    for each in path.parent.iterdir():
        each.unlink()
    path.parent.rmdir()
    failed = SimpleNamespace(failed=((path.parent.name, "it diverged"),))
    monkeypatch.setattr("comparison.sweep", lambda *given, **named: failed)
    with pytest.raises(SystemExit) as ended:
        program.main()
    found, error = json.loads(out.read_text()), capsys.readouterr().err
    assert ended.value.code == 1 and "it diverged" in error and "1 of 6 runs failed" in error
    assert found["failed"] == [path.parent.name] and len(found["runs"]) == 5
    for each in runs.glob("*/record.json"):
        each.unlink()
        for other in each.parent.iterdir():
            other.unlink()
        each.parent.rmdir()
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 2 and "every run failed" in capsys.readouterr().err


RECORDED = sorted((ROOT / "results" / "early-stopping").glob("*.json"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_table_is_that_of_its_runs(program: ModuleType, path: Path) -> None:
    found, campaign = json.loads(path.read_text()), load(path.stem)
    assert program.table(found["runs"]) in (path.parent / "README.md").read_text()
    assert found["text"] == campaign.text, "the shipped campaign is another one by now"
    recipes = {row["recipe"] for row in found["runs"]}
    planned = program.ends(campaign, recipes).values()
    keys = [(row["recipe"], row["sparsity"], row["seed"], row["end"]) for row in found["runs"]]
    assert keys == [(spec.recipe, spec.sparsity, spec.seed, end) for spec, end in planned] and not found["failed"]


def test_the_readmes_words_are_those_of_the_runs(program: ModuleType) -> None:
    """What README.md says of Fashion-MNIST, and that no ticket's accuracy is measurably better for an early stop."""
    cells = {
        (path.stem, cell["sparsity"], cell["recipe"], cell["end"]): cell
        for path in RECORDED for cell in program.compared(json.loads(path.read_text())["runs"])
    }  # fmt: skip
    assert {path.stem for path in RECORDED} >= {"digits", "mnist", "fashion-mnist", "cifar10-resnet20-part"}
    assert not [
        place for place, cell in cells.items() if place[-1] != "last" and cell["p"]["test_accuracy_percent"] < 0.05
    ]
    words = " ".join((ROOT / "README.md").read_text().split())
    best, last = (cells["fashion-mnist", 0.9, "unilth", end]["there"][0] for end in ("best", "last"))
    assert f"({sum(best) / len(best):.3f} against {sum(last) / len(last):.3f})" in words
    ours = [cells["fashion-mnist", sparsity, "unilth", "best"] for sparsity in (0.9, 0.98)]
    at_90, at_98 = (cell["difference"]["test_accuracy_percent"] for cell in ours)
    assert (
        f"by {at_90.mean:+.2f} ± {at_90.half:.2f} points at 90% and {at_98.mean:+.2f} ± {at_98.half:.2f} at 98%"
        in words
    )
    at_90, at_98 = (cell["difference"]["test_loss"] for cell in ours)
    assert f"lower by {-at_90.mean:.3f} ± {at_90.half:.3f} and {-at_98.mean:.3f} ± {at_98.half:.3f}" in words
    assert all(cell["p"]["test_loss"] < 0.05 for cell in ours)
    mnist = cells["mnist", 0.9, "unilth", "best"]
    loss, p = mnist["difference"]["test_loss"], mnist["p"]["test_loss"]
    assert f"higher, by {loss.mean:.3f} ± {loss.half:.3f} (p {p:.2g})" in words and p < 0.05
