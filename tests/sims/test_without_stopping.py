"""``stop="last"``: a recipe without its stopping rule, so that what the rule is worth can be measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from unilth.cli import main
from unilth.errors import UserError
from unilth.sims import zoo
from unilth.sims.data import load
from unilth.sims.find import Budget, Search
from unilth.sims.networks import build
from unilth.sims.spec import RunSpec
from unilth.sims.streams import stream

BUDGET = Budget(epochs=24, batch=64)


def searched(name: str, **choices) -> Search:
    network = build("lenet-300-100", (1, 8, 8), 10, stream(0, "initial"))
    done = Search(zoo.recipe(RunSpec(name, **choices)), network, load("digits"), 0.9, 0, BUDGET)
    done.run()
    return done


def test_free_training_has_all_its_epochs_and_goes_on_from_the_last() -> None:
    """The same free training as with a patience that cannot run out, bit for bit; what follows starts elsewhere."""
    best, last = searched("unilth", patience=BUDGET.epochs), searched("unilth", stop="last")
    (free,) = last.free_epochs()
    assert [phase["epochs"] for phase in last.phases] == [phase["epochs"] for phase in best.phases]
    assert last.phases[0] == best.phases[0] | {"best_epoch": None} and last.phases[0]["epochs"] == free
    assert last.rows[:free] == best.rows[:free]
    assert best.phases[0]["best_epoch"] != free, "or the two are one run, and this shows nothing"
    assert last.rows[free:] != best.rows[free:]


def test_early_bird_without_its_rule_is_one_shot_magnitude() -> None:
    early, shot = searched("early-bird", stop="last"), searched("omp")
    assert early.rows == shot.rows and early.phases[0]["epochs"] == 14
    assert all(bool((kept == shot.mask[name]).all()) for name, kept in early.mask.items())


def test_what_has_no_rule_or_a_patience_too_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("lth", "omp", "dlth", "dense"):
        with pytest.raises(UserError, match=f"'{name}' has no stopping rule: leave stop out"):
            zoo.recipe(RunSpec(name, stop="last"))
    with pytest.raises(UserError, match="leave patience 5 out"):
        RunSpec("unilth", stop="last", patience=5)
    for value in ("first", "", "Last"):
        with pytest.raises(UserError, match="stop must be 'last'"):
            RunSpec("unilth", stop=value)
    assert main(["find", "lth", "--stop", "last", "--out", str(tmp_path / "t")]) == 2
    assert "has no stopping rule" in capsys.readouterr().err and not (tmp_path / "t").exists()


def test_the_record_says_it_and_nothing_of_a_patience(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "t"
    given = ["find", "unilth", "--epochs", "12", "--batch", "256", "--stop", "last", "--out", str(out)]
    assert main(given) == 0 and "did not fire" not in capsys.readouterr().err
    assert main([*given[:6], "--patience", "12", "--out", str(tmp_path / "waits")]) == 0
    assert "did not fire" in capsys.readouterr().err, "or the line above shows nothing"
    assert main(["check", str(out / "ticket.safetensors")]) == 0
    assert '"stop": "last"' in (out / "record.json").read_text()
