"""Recipes are data: five choices, checked when they are made; the zoo is one table."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch

from unilth.errors import UserError
from unilth.sims import zoo
from unilth.sims.masks import full, layer_sparsity, sparsity_of
from unilth.sims.penalties import L2, GrowingPenalty
from unilth.sims.recipe import MaskRule, Recipe, Rewind, Rounds
from unilth.sims.scores import SCORES
from unilth.sims.spec import RunSpec
from unilth.sims.stopping import EarlyStopping, Epochs


def test_geometric_rounds_keep_the_same_share_each_time():
    targets = Rounds(5).targets(0.9)
    kept = [1 - target for target in (0.0, *targets)]
    ratios = [after / before for before, after in itertools.pairwise(kept)]
    assert max(ratios) - min(ratios) < 1e-12 and targets[-1] == 0.9 and len(targets) == 5
    assert Rounds(1).targets(0.29) == (0.29,) and Rounds(0).targets(0.9) == () and Rounds(3).targets(0) == (0, 0, 0)


def test_a_given_schedule_ends_where_it_should():
    assert Rounds(3, (0.5, 0.9, 1)).targets(0.8) == (0.4, pytest.approx(0.72), 0.8)
    for schedule in ((0.5,), (0.9, 0.5, 1), (0.5, 0.9, 0.95), (0, 0.5, 1), (0.5, 1, 1.5)):
        with pytest.raises(UserError, match="share"):
            Rounds(3, schedule)


def test_mask_rules_draw_by_score_and_scope():
    weights = {"a": torch.tensor([[3.0, -4.0], [0.1, 0.2]]), "b": torch.tensor([10.0, -20.0])}
    generator = torch.Generator().manual_seed(0)
    drawn = MaskRule("magnitude", "global").draw(weights, 0.5, full(weights), generator)
    assert drawn["a"].tolist() == [[False, True], [False, False]] and drawn["b"].all()  # magnitudes, not values
    assert layer_sparsity(MaskRule("magnitude", "layer").draw(weights, 0.5, full(weights), generator)) == {
        "a": 0.5,
        "b": 0.5,
    }
    spread = [MaskRule("random", "layer").draw(weights, 0.5, full(weights), generator)["a"].tolist() for _ in range(20)]
    assert len({str(each) for each in spread}) > 1
    assert sparsity_of(MaskRule("random", "global").draw(weights, 0.5, full(weights), generator)) == 0.5


def test_scores_have_the_weights_shapes_and_leave_them_alone():
    weights = {"b": torch.arange(12.0).reshape(3, 4), "a": -torch.arange(5.0)}
    copies = {name: weight.clone() for name, weight in weights.items()}
    for score in SCORES.values():
        first = score(weights, torch.Generator().manual_seed(0))
        turned = score(dict(reversed(weights.items())), torch.Generator().manual_seed(0))
        assert all(first[n].shape == weights[n].shape and torch.equal(first[n], turned[n]) for n in weights)
    assert all(torch.equal(weights[name], copies[name]) for name in weights)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: MaskRule("magnitud"), "did you mean 'magnitude'"), (lambda: MaskRule(scope="row"), "scope"),
        (lambda: Rounds(-1), "number"), (lambda: Rounds(free="never"), "free"), (lambda: Rewind("back"), "rewind"),
        (lambda: Rewind("step"), "step"), (lambda: Rewind("rate", 3), "step"),
    ],
)  # fmt: skip
def test_choices_are_checked_when_made(make, named):
    with pytest.raises(UserError, match=named):
        make()


def test_the_zoo_is_seven_rows_of_five_choices():
    assert zoo.NAMES == ("dense", "omp", "lth", "l2", "dlth", "unilth", "unidlth")
    assert all(isinstance(row.recipe, Recipe) and row.source and row.title for row in zoo.ZOO)
    by = {row.name: row.recipe for row in zoo.ZOO}
    for name in ("unilth", "unidlth"):  # no regularisation before the stop, and the two differ in the score alone
        assert isinstance(by[name].stop, EarlyStopping) and by[name].weight_decay == 0
    assert dataclasses.replace(by["unilth"], mask=by["unidlth"].mask) == by["unidlth"]
    assert dataclasses.replace(by["omp"], penalty=by["l2"].penalty) == by["l2"]
    assert by["lth"].rewind.to == "initial" and by["lth"].rounds.free == "each"
    assert by["dlth"].stop == Epochs(0) and by["dlth"].penalty == GrowingPenalty(1e-4, 5, 1.0, 1, 40_000)
    assert by["dlth"].weight_decay == 5e-4 and by["dense"].rounds.number == 0


def test_a_spec_replaces_choices_of_its_row():
    changed = zoo.recipe(
        RunSpec("unilth", patience=7, power=3, ceiling=0.5, rounds=2, scope="global", rewind="initial")
    )
    assert changed.stop.patience == 7 and changed.rounds.number == 2 and changed.rewind == Rewind("initial")
    assert (changed.penalty.power, changed.penalty.ceiling, changed.mask.scope) == (3, 0.5, "global")
    assert zoo.recipe(RunSpec("unilth")) == zoo.row("unilth").recipe
    assert zoo.recipe(RunSpec("lth", rewind="step:30")).rewind == Rewind("step", 30)
    assert zoo.recipe(RunSpec("l2", l2=0.01)).penalty == L2(0.01)


@pytest.mark.parametrize(
    ("recipe", "choice"),
    [
        ("omp", {"patience": 3}), ("l2", {"power": 2}), ("lth", {"ceiling": 1.0}), ("unilth", {"l2": 0.1}),
        ("dense", {"rounds": 2}), ("dense", {"scope": "layer"}), ("omp", {"scope": "row"}), ("omp", {"rewind": "back"}),
        ("omp", {"rewind": "step:x"}), ("omp", {"rewind": "rate:3"}), ("omp", {"rewind": "step"}),
    ],
)  # fmt: skip
def test_choices_that_a_recipe_does_not_have_are_refused(recipe, choice):
    with pytest.raises(UserError, match=next(iter(choice))):
        zoo.recipe(RunSpec(recipe, **choice))


def test_unknown_recipes_name_the_close_ones():
    with pytest.raises(UserError, match=r"'unlth' \(did you mean 'unilth'"):
        zoo.row("unlth")
