"""RST's mask choice beside its public code (Bai et al. 2022), on recorded toy cases; its growth is in test_penalties.

The public code chooses in each layer by itself, in the network's order, from the weights flattened row by row. Of n
weights it takes min(ceil(p n), n - 1). One-shot ("rand"): the first so many of a random permutation of the positions,
whatever the weights are. In cycles ("iter_rand"): what the last cycle took is taken to be as many of the smallest
magnitudes as it took, and the rest comes from a random permutation of the other positions. Earlier cycles' weights are
pressed and not set to 0. The README's layers: the first convolution and the last linear layer are left dense. Its
generator is NumPy's global one without a seed; here it is a given one, with the mask it gives written down.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims import masks, zoo
from unilth.sims.data import load
from unilth.sims.execute import execute
from unilth.sims.find import Budget, Search
from unilth.sims.networks import build
from unilth.sims.penalties import L2, GrowingPenalty
from unilth.sims.recipe import MaskRule, Recipe, Rewind, Rounds
from unilth.sims.scores import Score, Sight
from unilth.sims.spec import RunSpec
from unilth.sims.stopping import Epochs
from unilth.sims.streams import stream

# Three layers in the network's order, weights as they are when the mask is chosen.
TOY = {
    "0.weight": [[0.5, -0.1, 0.8], [-0.3, 0.2, -0.9]],
    "1.weight": [[0.4, -0.7], [0.05, 0.6], [-0.2, 0.3], [1.0, -0.15], [0.25, -0.55]],
    "2.weight": [[0.9, 0.11, -0.12, 0.13, -0.14]],
}
WHOLE = ("1.weight", "2.weight")  # 0.4 and 0.8 of their 10 and 5 weights are whole numbers, of the 6 they are not

# What this choice gives for TOY at 0.4 with np.random.RandomState(2022): the positions that go, by layer.
ONE_SHOT = {"0.weight": [0, 2, 3], "1.weight": [3, 4, 5, 9], "2.weight": [0, 4]}


def once(size: int, share: float, draw: np.random.RandomState) -> list[int]:
    """The choice of the first cycle in one layer, from its description."""
    return sorted(draw.permutation(size)[: min(math.ceil(share * size), size - 1)].tolist())


def again(weights: np.ndarray, share: float, before: int, draw: np.random.RandomState) -> list[int]:
    """The choice of a later cycle, ``before`` of the weights having gone in the last one."""
    order = np.argsort(np.abs(weights), kind="stable")
    rest = order[before:].copy()
    draw.shuffle(rest)
    count = min(math.ceil(share * weights.size), weights.size - 1)
    return sorted([*order[:before].tolist(), *rest[: count - before].tolist()])


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def toy() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 2, bias=False), nn.Linear(2, 5, bias=False), nn.Linear(5, 1, bias=False))
    with torch.no_grad():
        for name, weight in masks.prunable(network).items():
            weight.copy_(torch.tensor(TOY[name]))
    return network


def in_their_order(seed: int, later: bool = False) -> Score:
    """The public code's draw as a score of ours: what comes first in its permutation scores lowest."""

    def score(sight: Sight) -> dict[str, torch.Tensor]:
        scores, draw = {}, np.random.RandomState(seed)
        for name, weight in sight.weights.items():
            if later:
                order = np.argsort(np.abs(weight.detach().flatten().numpy()), kind="stable")
                first = order[masks.pruned_of({name: sight.mask[name]}) :].copy()
                draw.shuffle(first)
            else:
                first = draw.permutation(weight.numel())
            ranks = torch.zeros(weight.numel())
            ranks[torch.from_numpy(first)] = torch.arange(1.0, len(first) + 1)
            scores[name] = ranks.view_as(weight)
        return scores

    return score


def going(mask: masks.Mask) -> dict[str, list[int]]:
    return {name: (~kept).flatten().nonzero().flatten().tolist() for name, kept in mask.items()}


def sight(network: nn.Module) -> Sight:
    full = masks.full(masks.prunable(network))
    return Sight(network, torch.zeros(1), torch.zeros(1), full, stream(0, "mask"))


def test_the_one_shot_mask_is_theirs():
    draw = np.random.RandomState(2022)
    assert {name: once(np.size(weights), 0.4, draw) for name, weights in TOY.items()} == ONE_SHOT
    ours = going(MaskRule(in_their_order(2022), "layer").draw(sight(toy()), 0.4))
    assert all(ours[name] == ONE_SHOT[name] for name in WHOLE)
    # 0.4 of 6 is 2.4: they round up, and ours is rounded down, everywhere and always
    assert len(ours["0.weight"]) == 2 and set(ours["0.weight"]) < set(ONE_SHOT["0.weight"])
    for broken in (
        MaskRule("magnitude", "layer"),
        MaskRule(in_their_order(2022)),
        MaskRule(in_their_order(1), "layer"),
    ):
        other = going(broken.draw(sight(toy()), 0.4))
        assert any(other[name] != ONE_SHOT[name] for name in WHOLE)


@pytest.mark.parametrize(("n", "share", "they", "we"), [(100, 0.07, 8, 7), (100, 0.55, 56, 55), (10, 0.99, 9, 9)])
def test_where_counts_differ_it_is_by_their_rounding_up_in_floats(n, share, they, we):
    assert len(once(n, share, np.random.RandomState(0))) == they and masks.pruned_count(n, share) == we


CYCLES = zoo.row("dlth-iter-code").recipe


@pytest.mark.parametrize("shrunk", [1e-3, 0.7])
def test_a_later_cycle_takes_the_smallest_for_those_of_the_last(shrunk):
    """Pressed hard, they are the same ones; pressed little (to 0.7), others are taken for them. Ours does the same."""
    network = toy()
    first = {name: torch.ones(np.shape(weights), dtype=torch.bool) for name, weights in TOY.items()}
    with torch.no_grad():
        for name, weight in masks.prunable(network).items():
            first[name].view(-1)[ONE_SHOT[name]] = False
            weight[~first[name]] *= shrunk
    rule = MaskRule(in_their_order(7, later=True), "layer")
    recipe = Recipe(Epochs(0), rule, GrowingPenalty(), Rounds(2, hard="last"), Rewind("rate"))
    search, draw = Search(recipe, network, load("digits"), 0.8, 0, Budget()), np.random.RandomState(7)
    search.chosen = [first]
    chosen = going(search._choose(0.8))
    weights = {name: weight.detach().flatten().numpy() for name, weight in masks.prunable(network).items()}
    wanted = {name: again(values, 0.8, len(ONE_SHOT[name]), draw) for name, values in weights.items()}
    assert all(chosen[name] == wanted[name] for name in WHOLE)
    assert len(chosen["0.weight"]) == 4 and set(chosen["0.weight"]) < set(wanted["0.weight"])  # of 4.8
    revived = any(not set(ONE_SHOT[name]) <= set(chosen[name]) for name in TOY)
    assert revived == (shrunk == 0.7)


def test_earlier_cycles_are_pressed_from_zero_again_and_not_zeroed(monkeypatch):
    pressed = []
    original = Search._train

    def spy(self, phase, keep=0):
        if phase.name == "press":
            pressed.append((masks.pruned_of(phase.mask), sum(int(goes.sum()) for goes in phase.goes.values())))
        return original(self, phase, keep)

    def run(recipe):
        pressed.clear()
        network = build("lenet-300-100", (1, 8, 8), 10, stream(0, "initial"))
        search = Search(recipe, network, load("digits"), 0.9, 0, Budget(epochs=14, tune=0.25, batch=128))
        return search.run(), [row["penalty"] for row in search.rows if row["phase"] == "press"]

    monkeypatch.setattr(Search, "_train", spy)
    ticket, penalties = run(CYCLES)
    assert pressed == [(0, masks.pruned_of(mask)) for mask in ticket.masks]
    assert sum(later < earlier for earlier, later in itertools.pairwise(penalties)) == 4  # anew in each cycle
    assert not any(ticket.weights[name][~kept].any() for name, kept in ticket.mask.items())
    ours, _ = run(zoo.row("dlth-iter").recipe)
    counts = [0, *map(masks.pruned_of, ours.masks)]
    assert pressed == [(before, after - before) for before, after in itertools.pairwise(counts)]


def test_rows_have_the_constants_of_the_public_code():
    once_, cycles = zoo.row("dlth").recipe, CYCLES
    assert (once_.penalty.growth, once_.penalty.hold) == (50_000, 40_000)
    assert (cycles.penalty.growth, cycles.penalty.hold, cycles.penalty.step) == (10_000, 10_000, 1e-4)
    assert zoo.row("dlth-iter").recipe.penalty == cycles.penalty
    assert once_.decay == cycles.decay == L2(5e-4) and cycles.mask == once_.mask == MaskRule("random", "layer")


@pytest.mark.parametrize("row", ["dlth", "dlth-iter", "dlth-iter-code"])
@pytest.mark.parametrize("power", [1, 2, 3])
def test_the_schedules_x_to_x_cubed(row, power):
    penalty = zoo.recipe(RunSpec(row, power=power)).penalty
    assert penalty.value(penalty.growth // 2) == pytest.approx(0.5**power) and penalty.value(penalty.growth) == 1.0


@pytest.mark.parametrize(("nominal", "counted"), [(0.7, 0.694), (0.98, 0.972)])
def test_the_ends_may_be_spared_as_their_command_does(nominal, counted):
    network = build("resnet56-a", (3, 32, 32), 100, stream(0, "initial"))
    rule = zoo.recipe(RunSpec("dlth-iter-code", spare=True)).mask
    assert round(masks.sparsity_of(rule.draw(sight(network), nominal)), 3) == counted
    assert round(masks.sparsity_of(CYCLES.mask.draw(sight(network), nominal)), 3) == nominal


def test_only_a_growing_penalty_can_leave_the_hard_prune_to_the_last_round():
    with pytest.raises(UserError, match="growing penalty"):
        Recipe(Epochs(), MaskRule(), None, Rounds(2, hard="last"), Rewind())
    with pytest.raises(UserError, match="hard"):
        Rounds(hard="never")


def test_it_runs_and_is_recorded():
    _, record = execute(RunSpec("dlth-iter-code", sparsity=0.8, epochs=10, batch=512, power=2))
    assert record["recipe"]["rounds"]["hard"] == "last" and record["recipe"]["penalty"]["power"] == 2
    assert [phase["sparsity"] for phase in record["phases"] if phase["phase"] == "press"] == [0.0] * 5


def test_a_layer_that_an_earlier_round_emptied_stays_empty():
    """Where rounds choose over all layers, all of one may go, and the next round takes as many of it again."""
    choices = {"scope": "global", "score": "magnitude", "rounds": 5, "sparsity": 0.999}
    spec = RunSpec("dlth-iter-code", "conv-small", **choices, epochs=2, batch=50, lr=0.02, examples=50)
    ticket, _ = execute(spec)
    empty = [name for name, kept in ticket.mask.items() if not kept.any()]
    assert empty and masks.pruned_of(ticket.mask) == masks.exact_sparsity(0.999) * masks.size_of(ticket.mask) // 1
