"""Recipes are data: five choices, checked when they are made; the zoo is one table."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import pickle

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from unilth.errors import UserError
from unilth.sims import zoo
from unilth.sims.masks import Mask, full, layer_sparsity, prunable, pruned_count, sparsity_of
from unilth.sims.networks import initialise
from unilth.sims.networks.vit import SmallViT
from unilth.sims.penalties import L1, L2, GrowingPenalty
from unilth.sims.recipe import MaskRule, Recipe, Rewind, Rounds, first_and_last
from unilth.sims.saliency import SCORES, grasp, snip, synflow
from unilth.sims.scores import Sight, lamp
from unilth.sims.spec import RunSpec
from unilth.sims.stopping import EarlyStopping, Epochs
from unilth.sims.streams import stream


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


def _sight(network: nn.Module, mask: Mask | None = None, seed: int = 0) -> Sight:
    draw = torch.Generator().manual_seed(seed)
    first = next(iter(network.parameters()))
    inputs = torch.randn(12, *((1, 8, 8) if first.ndim == 4 else (first.shape[1],)), generator=draw)
    labels = torch.randint(3, (12,), generator=draw)
    return Sight(network, inputs, labels, full(prunable(network)) if mask is None else mask, draw)


def _dense() -> nn.Module:
    network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[3.0, -4.0], [0.1, 0.2]]))
        network[1].weight.copy_(torch.tensor([[10.0, -20.0]]))
    return network


def _deep(seed: int = 0) -> nn.Module:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Flatten(),
        nn.Dropout(0.5), nn.Linear(96, 3),
    )  # fmt: skip
    initialise(network, torch.Generator().manual_seed(seed))
    return network


def test_mask_rules_draw_by_score_and_scope():
    drawn = MaskRule("magnitude", "global").draw(_sight(_dense()), 0.5)
    assert drawn["0.weight"].tolist() == [[False, True], [False, False]]  # magnitudes, not values
    assert drawn["1.weight"].all()
    by_layer = layer_sparsity(MaskRule("magnitude", "layer").draw(_sight(_dense()), 0.5))
    assert by_layer == {"0.weight": 0.5, "1.weight": 0.5}
    sight = _sight(_dense())
    spread = [MaskRule("random", "layer").draw(sight, 0.5)["0.weight"].tolist() for _ in range(20)]
    assert len({str(each) for each in spread}) > 1
    assert sparsity_of(MaskRule("random", "global").draw(sight, 0.5)) == 0.5


@pytest.mark.parametrize("name", SCORES)
def test_scores_have_the_weights_shapes_and_leave_the_network_alone(name):
    network = _deep()
    before, modes = copy.deepcopy(network.state_dict()), [module.training for module in network.modules()]
    state = torch.get_rng_state()
    first, second = (SCORES[name](_sight(network)) for _ in range(2))
    weights = prunable(network)
    assert all(first[n].shape == w.shape and torch.equal(first[n], second[n]) for n, w in weights.items())
    assert all(bool(score.isfinite().all()) and not score.requires_grad for score in first.values())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert modes == [module.training for module in network.modules()]
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_lamp_by_its_definition():
    network = nn.Linear(6, 1, bias=False)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[3.0, -1.0, 2.0, 2.0, 0.0, -5.0]]))
    values = network.weight.detach().flatten().double()
    wanted = [float(v**2 / (values[values.abs() >= v.abs()] ** 2).sum()) for v in values]
    assert lamp(_sight(nn.Sequential(network)))["0.weight"].flatten().tolist() == pytest.approx(wanted, rel=1e-14)


def test_snip_is_the_change_of_the_loss_to_first_order():
    network = _deep()
    sight = _sight(network)
    scores = snip(sight)["3.weight"].flatten()
    place = int(scores.argmax())

    def loss(factor: float) -> float:
        moved = copy.deepcopy(network).double().train()
        moved[6].eval()
        with torch.no_grad():
            moved[3].weight.view(-1)[place] *= factor
        with torch.no_grad():
            return float(F.cross_entropy(moved(sight.inputs.double()), sight.labels))

    slope = (loss(1 + 1e-5) - loss(1 - 1e-5)) / 2e-5  # dL/dw times w
    assert float(scores[place]) == pytest.approx(abs(slope), rel=1e-3)


def test_grasp_is_half_the_change_of_the_gradients_norm():
    network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))
    initialise(network, torch.Generator().manual_seed(1))
    sight = _sight(network)
    scores = grasp(sight)["2.weight"].flatten()

    def flow(place: int, factor: float) -> float:
        moved = copy.deepcopy(network).double()
        with torch.no_grad():
            moved[2].weight.view(-1)[place] *= factor
        loss = F.cross_entropy(moved(sight.inputs.double()) / 200, sight.labels)
        slopes = torch.autograd.grad(loss, [moved[0].weight, moved[2].weight])
        return float(sum((slope * slope).sum() for slope in slopes))

    wanted = [(flow(place, 1 + 1e-5) - flow(place, 1 - 1e-5)) / 4e-5 for place in range(len(scores))]
    assert scores.tolist() == pytest.approx(wanted, rel=1e-3, abs=1e-9)
    assert min(wanted) < 0 < max(wanted)  # the sign is part of the score


def test_synflow_scores_flow_through_and_keep_it():
    network = _deep()
    network[1].eval()
    scores = synflow(_sight(network))
    assert float(scores["3.weight"].sum()) == pytest.approx(float(scores["7.weight"].sum()), rel=1e-6)  # conservation
    other = _sight(network, seed=5)
    assert all(torch.equal(scores[name], value) for name, value in synflow(other).items())  # data-free
    mask = MaskRule("synflow", steps=100).draw(_sight(network), 0.98)
    assert sparsity_of(mask) == pruned_count(540, 0.98) / 540 and all(layer.any() for layer in mask.values())


class Foreign(nn.Module):
    """A layer that no forward pass uses, one without weights, and one that goes on without a gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.unused, self.first, self.empty = nn.Linear(4, 4), nn.Linear(6, 5), nn.Linear(4, 0)
        self.last = nn.Linear(5, 3)
        initialise(self.first, torch.Generator().manual_seed(0))
        initialise(self.last, torch.Generator().manual_seed(1))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return self.last(self.first(inputs).tanh()) + self.empty(inputs[:, :4]).sum()


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
@pytest.mark.parametrize("name", SCORES)
def test_weights_that_are_not_used_score_zero_and_layers_may_be_empty(name):
    network = Foreign()
    sight = Sight(network, torch.randn(9, 6), torch.arange(9) % 3, full(prunable(network)), stream(0, "mask"))
    scores = SCORES[name](sight)
    assert {n: score.shape for n, score in scores.items()} == {n: w.shape for n, w in prunable(network).items()}
    assert scores["first.weight"].count_nonzero() > 20 and scores["empty.weight"].numel() == 0
    if name in ("snip", "grasp", "synflow"):
        assert not scores["unused.weight"].any()
    for scope in ("global", "layer", "erk", "balanced"):
        mask = MaskRule(name, scope).draw(sight, 0.5)
        assert abs(sparsity_of(mask) - 0.5) < 0.05


class Casting(nn.Linear):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return super().forward(inputs.float())


class Exits(nn.Linear):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        raise SystemExit(3)


@pytest.mark.parametrize(
    ("name", "network", "why"),
    [("synflow", Casting(6, 3), "RuntimeError: mat1 and mat2"), ("snip", Exits(6, 3), "SystemExit: 3")],
)
def test_a_score_that_fails_on_a_network_is_one_sentence(name, network, why):
    sight = Sight(nn.Sequential(network), torch.randn(9, 6), torch.arange(9) % 3, {}, stream(0, "mask"))
    sight = dataclasses.replace(sight, mask=full(sight.weights))
    with pytest.raises(UserError, match=f"the score '{name}' fails: {why}") as caught:
        MaskRule(name).draw(sight, 0.5)
    assert "\n" not in str(caught.value)
    assert len(pickle.dumps(MaskRule(name))) > 0  # to another process


def test_grasp_differentiates_attention_twice():
    network = SmallViT(1, 8, 3, width=24, depth=1)
    initialise(network, torch.Generator().manual_seed(0))
    scores = grasp(Sight(network, torch.randn(6, 1, 8, 8), torch.arange(6) % 3, {}, stream(0, "mask")))
    assert all(score.any() for score in scores.values())


def test_synflow_does_not_overflow_in_a_deep_network():
    layers = [nn.Linear(60, 60) for _ in range(60)]
    network = nn.Sequential(*layers)
    initialise(network, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for layer in layers:
            layer.weight.mul_(10)
    scores = synflow(_sight(network))
    assert max(float(score.max()) for score in scores.values()) > 3.4e38  # what float32 could not hold
    assert all(bool(score.isfinite().all()) for score in scores.values())


def test_a_mask_may_be_drawn_in_steps_and_spare_the_ends():
    network = _deep()
    first = MaskRule("magnitude").draw(_sight(network), 0.5)
    nested = MaskRule("synflow", steps=7).draw(_sight(network, first), 0.9)
    assert all(bool((first[name] | ~kept).all()) for name, kept in nested.items())
    assert sparsity_of(nested) == pruned_count(540, 0.9) / 540
    spared = MaskRule("random", "layer", spare=True).draw(_sight(network), 0.7)
    assert layer_sparsity(spared) == {"0.weight": 0, "3.weight": pruned_count(216, 0.7) / 216, "7.weight": 0}
    assert first_and_last(_dense()) == ("1.weight",)


def test_a_score_of_ones_own():
    def smallest(sight: Sight) -> dict[str, torch.Tensor]:
        return {name: -weight.detach().abs() for name, weight in sight.weights.items()}

    assert not MaskRule(smallest).draw(_sight(_dense()), 0.5)["1.weight"].any()
    with pytest.raises(UserError, match="one number for each"):
        MaskRule(lambda sight: {}).draw(_sight(_dense()), 0.5)
    with pytest.raises(UserError, match="NaN"):
        MaskRule(lambda sight: {n: w.detach() * math.nan for n, w in sight.weights.items()}).draw(_sight(_dense()), 0.5)


@pytest.mark.parametrize(
    ("make", "named"),
    [
        (lambda: MaskRule("magnitud"), "did you mean 'magnitude'"), (lambda: MaskRule(scope="row"), "scope"),
        (lambda: MaskRule(steps=0), "steps must be at least 1, not 0"),
        (lambda: MaskRule(scope="layer", steps=2), "'magnitude' draws its mask in 2 steps, .* 'global', not 'layer'"),
        (lambda: Rounds(-1), "number"), (lambda: Rounds(free="never"), "free"), (lambda: Rewind("back"), "rewind"),
        (lambda: Rewind("step"), "step"), (lambda: Rewind("rate", 3), "step"),
    ],
)  # fmt: skip
def test_choices_are_checked_when_made(make, named):
    with pytest.raises(UserError, match=named):
        make()


def test_the_zoo_is_rows_of_five_choices():
    assert {"dense", "omp", "lth", "l2", "dlth", "unilth", "unidlth"} <= set(zoo.NAMES)
    assert len(set(zoo.NAMES)) == len(zoo.ZOO) == len({row.recipe for row in zoo.ZOO})  # no two rows are the same
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
    assert zoo.recipe(RunSpec("l1", l1=0.01)).penalty == L1(0.01)
    for name, before in (("l2", 5e-4), ("dlth", 5e-4), ("unilth", 0.0), ("dense", 0.0)):
        for given, then in ((None, before), (0.0, 0.0), (0.01, 0.01)):
            made = zoo.recipe(RunSpec(name, tune_l2=given))
            assert (made.weight_decay, made.tuning_decay) == (before, then)
    assert zoo.recipe(RunSpec("omp", score="synflow")).mask == zoo.row("synflow").recipe.mask
    assert zoo.recipe(RunSpec("random", scope="erk")) == zoo.row("random-erk").recipe
    assert zoo.recipe(RunSpec("dlth", spare=True)).mask == MaskRule("random", "layer", spare=True)
    assert zoo.recipe(RunSpec("synflow", spare=True)).mask.steps == 100


@pytest.mark.parametrize(
    ("recipe", "choice"),
    [
        ("omp", {"patience": 3}), ("l2", {"power": 2}), ("lth", {"ceiling": 1.0}), ("unilth", {"l2": 0.1}),
        ("dense", {"rounds": 2}), ("dense", {"scope": "layer"}), ("omp", {"scope": "row"}), ("omp", {"rewind": "back"}),
        ("omp", {"rewind": "step:x"}), ("omp", {"rewind": "rate:3"}), ("omp", {"rewind": "step"}),
        ("l2", {"l1": 0.1}), ("omp", {"score": "snipp"}), ("dense", {"control": "shuffled"}),
        ("dense", {"spare": True}),
    ],
)  # fmt: skip
def test_choices_that_a_recipe_does_not_have_are_refused(recipe, choice):
    with pytest.raises(UserError, match=next(iter(choice))):
        zoo.recipe(RunSpec(recipe, **choice))


@pytest.mark.parametrize(("recipe", "choice"), [("synflow", {"scope": "layer"}), ("omp-layer", {"score": "synflow"})])
def test_synflow_is_told_to_compare_all_layers_whichever_half_was_asked_for(recipe, choice):
    why = (
        "^the score 'synflow' draws its mask in 100 steps, .* give it the scope 'global', not 'layer', or take another"
    )
    with pytest.raises(UserError, match=why):
        zoo.recipe(RunSpec(recipe, **choice))


def test_unknown_recipes_name_the_close_ones():
    with pytest.raises(UserError, match=r"'unlth' \(did you mean 'unilth'"):
        zoo.row("unlth")
