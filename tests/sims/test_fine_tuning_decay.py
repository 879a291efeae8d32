"""``tune_l2``: weight decay of the fine-tuning alone, the same for any recipe if one likes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from unilth.cli import main
from unilth.errors import UserError
from unilth.sims import zoo
from unilth.sims.data import load
from unilth.sims.find import Budget, Search
from unilth.sims.networks import build
from unilth.sims.spec import RunSpec
from unilth.sims.streams import stream


@pytest.mark.parametrize("name", ["l2", "dlth", "unilth", "lth", "dense"])
def test_it_changes_nothing_before_the_fine_tuning(name: str) -> None:
    """The same mask and the same way there bit for bit, then smaller weights; what each phase had is recorded."""
    digits = load("digits")

    def searched(tune_l2: float | None) -> Search:
        network = build("lenet-300-100", (1, 8, 8), 10, stream(0, "initial"))
        recipe = zoo.recipe(RunSpec(name, tune_l2=tune_l2))
        done = Search(recipe, network, digits, 0.9, 0, Budget(epochs=12, batch=256))
        done.run()
        return done

    usual, given, none = map(searched, (None, 0.02, 0.0))
    before = zoo.row(name).recipe.weight_decay
    for done, last in ((usual, before), (given, 0.02), (none, 0.0)):
        assert all(torch.equal(kept, usual.mask[key]) for key, kept in done.mask.items())
        assert [row for row in done.rows if row["phase"] != "tune"] == [
            row for row in usual.rows if row["phase"] != "tune"
        ]
        decays = [phase["weight_decay"] for phase in done.phases]
        assert decays == [before] * (len(decays) - 1) + [last] and done.phases[-1]["phase"] == "tune"
    sizes = [
        sum(float(weight.detach().square().sum()) for weight in done.network.parameters())
        for done in (given, usual, none)
    ]
    assert sizes[0] < sizes[1] and (sizes[1] < sizes[2] if before else sizes[1] == sizes[2])


def test_what_is_no_strength_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for value in (-1e-3, float("nan"), float("inf"), 1e31):
        with pytest.raises(UserError, match="tune_l2 must be"):
            RunSpec("unilth", tune_l2=value)
    for value in (-1.0, float("nan"), "a", True):
        with pytest.raises(UserError, match="tune_decay must be a number from 0"):
            dataclasses.replace(zoo.row("omp").recipe, tune_decay=value)
    assert main(["find", "omp", "--tune-l2", "-1", "--out", str(tmp_path / "t")]) == 2
    assert "tune_l2 must be 0 (none) or positive" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "t").exists()
