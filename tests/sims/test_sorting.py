"""GReg-2's sorting: weights that the loss does not hold come down before magnitude chooses among them."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims import find, zoo
from unilth.sims.data import Dataset
from unilth.sims.find import Budget, Search
from unilth.sims.penalties import GrowingPenalty
from unilth.sims.recipe import MaskRule
from unilth.sims.sorting import Sorting
from unilth.sims.training import Masking, Phase

FLAT, HELD = 0.3, 1.0  # the scales of two inputs: curvature goes with their squares


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def logistic() -> Dataset:
    """Two inputs of opposite signs, labels such that the minimiser's weight on the small input is the larger one.

    Every pair of signs occurs 100 times with the labels that logits 2 (w . x) with w = (1.5, 1.2) would give, so the
    minimiser without a penalty is that: the difference of the two classes' weights is w each way.
    """
    rows, labels = [], []
    for a, b in itertools.product((-1.0, 1.0), repeat=2):
        share = 1 / (1 + torch.tensor(-2 * (1.5 * a * FLAT + 1.2 * b * HELD)).exp().item())
        ones = round(100 * share)
        rows += [[a * FLAT, b * HELD]] * 100
        labels += [1] * ones + [0] * (100 - ones)
    split = (torch.tensor(rows)[:, :, None, None], torch.tensor(labels))
    return Dataset("signs", 2, split, split, split)


class Slopes(nn.Module):
    """Logits (-w.x, w.x): one prunable weight for each input."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            self.weights.weight.fill_(0.01)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        slope = self.weights(x.flatten(1))
        return torch.cat([-slope, slope], 1)


LONG = Budget(epochs=130, tune=0.1, batch=400, lr=0.4, momentum=0.9)
SHARP = Sorting(GrowingPenalty(step=2e-4, every=1, ceiling=0.1, power=1, hold=50_000))


def chosen(sorting: Sorting | None) -> tuple[list[bool], list[dict]]:
    recipe = dataclasses.replace(zoo.row("greg-2").recipe, decay=None, sorting=sorting, mask=MaskRule())
    search = Search(recipe, Slopes(), logistic(), 0.5, 0, LONG)
    ticket = search.run()
    return ticket.mask["weights.weight"].flatten().tolist(), search.phases


def test_the_weight_that_the_loss_holds_is_kept_although_it_was_the_smaller_one():
    kept, phases = chosen(SHARP)
    assert kept == [False, True] and [phase["phase"] for phase in phases] == ["free", "sort", "press", "tune"]
    assert chosen(None)[0] == [True, False]  # GReg-1: magnitude alone


@pytest.mark.parametrize("pressed", [[False, False], [False, True]])
def test_a_sorting_that_does_not_press_on_all_is_noticed(pressed, monkeypatch):
    def phase(name, *places, **named):
        if name == "sort":
            named["goes"] = {"weights.weight": torch.tensor([pressed])}
        return Phase(name, *places, **named)

    monkeypatch.setattr(find, "Phase", phase)
    assert chosen(SHARP)[0] == [True, False]


def test_the_row_has_the_published_constants():
    two, one = zoo.row("greg-2").recipe, zoo.row("greg-1").recipe
    assert two.sorting == Sorting(GrowingPenalty(1e-5, 10, 0.01, 1, 0), 1e-4)
    assert (one.penalty.step, one.penalty.every, one.penalty.ceiling, one.penalty.hold) == (1e-4, 10, 1.0, 10_000)
    assert two.sorting.penalty.increments == 1000 and dataclasses.replace(two, sorting=None) == one


def test_sorting_takes_its_published_share_of_the_pressing():
    pressing = zoo.row("greg-2").recipe.penalty  # 100,000 steps of growth and 10,000 held, beside 10,000 of sorting
    assert [Sorting().share(epochs, pressing) for epochs in (0, 1, 2, 18, 96, 180)] == [0, 0, 1, 2, 8, 15]


def test_kept_weights_recover_and_nothing_else_does():
    network = nn.Linear(4, 1)
    with torch.no_grad():
        network.weight.copy_(torch.tensor([[1.0, 2.0, 0.0, -4.0]]))
    mask, goes = {"weight": torch.tensor([[True, True, False, True]])}, {"weight": torch.tensor([[True] + [False] * 3])}
    optimizer = torch.optim.SGD(network.parameters(), lr=1.0)
    penalty = GrowingPenalty(step=1.0, every=1, ceiling=1.0, hold=10)
    Masking(optimizer, network, Phase("press", 1, 1, 1.0, mask=mask, goes=goes, penalty=penalty, recover=0.25))
    for _ in range(2):  # the first step's penalty is 0
        bias = network.bias.detach().clone()
        network.weight.grad, network.bias.grad = torch.zeros(1, 4), torch.zeros(1)
        optimizer.step()
        assert torch.equal(network.bias, bias)
    assert network.weight.tolist() == [[0.0, 2.0 * 1.25**2, 0.0, -4.0 * 1.25**2]]


@pytest.mark.parametrize("recover", [-1.0, float("nan"), float("inf")])
def test_recover_is_checked(recover):
    with pytest.raises(UserError, match="recover"):
        Sorting(recover=recover)


def test_only_recipes_with_a_growing_penalty_sort():
    with pytest.raises(UserError, match="sorting needs a growing penalty"):
        dataclasses.replace(zoo.row("omp").recipe, sorting=Sorting())
