"""The sanity controls: a mask at random places, or kept weights drawn anew before they are fine-tuned."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from unilth.errors import UserError
from unilth.sims import masks, zoo
from unilth.sims.checkpoints import Checkpoint
from unilth.sims.data import load
from unilth.sims.execute import execute
from unilth.sims.find import Budget, Search
from unilth.sims.networks import build
from unilth.sims.recipe import Recipe, Rewind, Rounds
from unilth.sims.spec import RunSpec
from unilth.sims.streams import stream

SHORT = Budget(epochs=12, tune=0.25, batch=128)
SEVERAL = tuple(row.name for row in zoo.ZOO if row.recipe.rounds.number > 1 and row.recipe.rounds.hard == "each")
REWOUND = ("lth", "lth-step")  # to values that no round has touched


class Killed(BaseException):
    """A kill, as far as a process can do that to itself."""


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def digits():
    return load("digits")


def lenet(purpose: str = "initial") -> torch.nn.Module:
    return build("lenet-300-100", (1, 8, 8), 10, stream(0, purpose))


class Watched(Search):
    """A search that notes what its recipe chose before anything was shuffled, and the state before fine-tuning."""

    def __init__(self, *arguments: object, **named: object) -> None:
        super().__init__(*arguments, **named)
        rule, self.drawn, self.start = self.recipe.mask, [], {}

        class Rule:
            def draw(_, sight, target):
                self.drawn.append(rule.draw(sight, target))
                return dict(self.drawn[-1])

        self.recipe = dataclasses.replace(self.recipe, mask=Rule())

    def _train(self, phase, keep=0) -> dict[str, Tensor] | None:
        if phase.name == "tune":
            self.start = self._state()
        return super()._train(phase, keep)


def searched(digits, recipe: str | Recipe, control: str | None = "shuffled", seed: int = 0, **more) -> Watched:
    chosen = zoo.row(recipe).recipe if isinstance(recipe, str) else recipe
    fresh = lenet("control").state_dict() if control == "reinitialised" else None
    search = Watched(chosen, lenet(), digits, 0.9, seed, SHORT, control=control, fresh=fresh, **more)
    search.ticket = search.run()
    return search


def counts(mask: masks.Mask) -> dict[str, int]:
    return {name: int(kept.sum()) for name, kept in mask.items()}


@pytest.mark.parametrize("name", REWOUND)
def test_where_weights_are_rewound_the_finished_mask_is_shuffled(digits, name):
    """As published: what the rounds chose is the ticket's own, with its counts, and every weight is a place for it."""
    plain, search = searched(digits, name, None), searched(digits, name)
    assert [masks.digest(mask) for mask in search.drawn] == [masks.digest(mask) for mask in plain.drawn]
    assert counts(search.ticket.mask) == counts(plain.ticket.mask)
    assert [masks.digest(mask) for mask in search.ticket.masks] == [masks.digest(search.ticket.mask)]
    assert all((search.ticket.mask[n] & ~kept).any() for n, kept in plain.ticket.masks[-2].items())
    expected = masks.apply(search.ticket.mask, search.rewound)
    assert all(torch.equal(search.start[layer], value) for layer, value in expected.items())


def test_what_a_penalty_presses_on_is_shuffled_though_weights_are_rewound(digits):
    recipe = dataclasses.replace(zoo.row("unilth").recipe, rewind=Rewind("initial"))
    search = searched(digits, recipe)
    assert [counts(mask) for mask in search.ticket.masks] == [counts(mask) for mask in search.drawn]
    assert len(search.ticket.masks) == 5 and masks.digest(search.ticket.masks[0]) != masks.digest(search.drawn[0])


@pytest.mark.parametrize("name", sorted(set(SEVERAL) - set(REWOUND)))
def test_every_round_is_shuffled_inside_the_last_one(digits, name):
    search = searched(digits, name)
    made = search.ticket.masks
    assert len(made) == len(search.drawn) == zoo.row(name).recipe.rounds.number
    for chosen, mask in zip(search.drawn, made, strict=True):
        assert counts(mask) == counts(chosen) and masks.digest(mask) != masks.digest(chosen)
    for before, after in itertools.pairwise(made):
        assert not any(bool((after[n] & ~before[n]).any()) for n in after)
    for layer, kept in search.ticket.mask.items():  # what is fine-tuned was never set to zero before
        assert search.start[layer][kept].all() and not search.start[layer][~kept].any()


@pytest.mark.parametrize("name", ["unilth", "omp", "lth", "lth-rate", "snip"])
def test_where_the_mask_is_shuffled_to_is_chance(digits, name):
    plain = searched(digits, name, None)
    first, again, other = (searched(digits, name, seed=seed) for seed in (0, 0, 1))
    assert masks.digest(first.ticket.mask) == masks.digest(again.ticket.mask) != masks.digest(other.ticket.mask)
    own = plain.ticket.masks[-len(first.ticket.masks)]
    assert counts(first.ticket.masks[0]) == counts(own)
    for made, chosen in ((first.ticket.masks[0], own), (first.ticket.mask, other.ticket.mask)):
        for layer, kept in made.items():  # as many in both as by chance, up to five deviations
            size, count = kept.numel(), int(kept.sum())
            share = int(chosen[layer].sum()) / size
            deviation = (count * share * (1 - share) * (size - count) / (size - 1)) ** 0.5
            assert abs(int((kept & chosen[layer]).sum()) - count * share) < 5 * deviation + 1, layer


def test_shuffled_keeps_the_counts_and_stays_inside():
    mask = {"a": torch.zeros(40, 50, dtype=torch.bool), "b": torch.ones(3, dtype=torch.bool), "c": torch.ones(0).bool()}
    mask["a"][:, :5] = True
    within = {name: torch.ones_like(kept) for name, kept in mask.items()}
    within["a"][:, 20:] = False
    before = {name: kept.clone() for name, kept in mask.items()}
    drawn, again, other = (masks.shuffled(mask, torch.Generator().manual_seed(s), within=within) for s in (0, 0, 1))
    assert counts(drawn) == counts(mask) and masks.digest(mask) == masks.digest(before)
    assert not (drawn["a"] & ~within["a"]).any()
    assert torch.equal(drawn["a"], again["a"]) and not torch.equal(drawn["a"], other["a"])
    by_column = drawn["a"][:, :20].sum(0).double()  # 200 of 800 places, evenly: 10 in each column of 40
    assert by_column.sum() == 200 and by_column.min() > 0 and by_column.max() < 21
    free, full = (
        masks.shuffled(mask, torch.Generator().manual_seed(0), **inside)
        for inside in ({}, {"within": masks.full(mask)})
    )
    assert masks.digest(free) == masks.digest(full) and (free["a"] & ~within["a"]).any()


def test_fresh_values_take_the_place_of_the_kept_ones(digits):
    plain, search = searched(digits, "lth", None), searched(digits, "lth", "reinitialised")
    assert masks.digest(search.ticket.mask) == masks.digest(plain.ticket.mask)
    expected = masks.apply(search.ticket.mask, lenet("control").state_dict())
    assert all(torch.equal(search.start[name], value) for name, value in expected.items())
    assert not torch.equal(search.start["fc1.weight"], plain.start["fc1.weight"])
    assert all(torch.equal(search.ticket.initial[n], value) for n, value in lenet("control").state_dict().items())
    assert all(torch.equal(plain.ticket.initial[n], value) for n, value in lenet().state_dict().items())
    with pytest.raises(UserError, match="give fresh"):
        Search(zoo.row("lth").recipe, lenet(), digits, 0.9, 0, SHORT, control="reinitialised")


OWN = """
from torch import nn


class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.rows = nn.Embedding(17, 4)
        self.up, self.norm = nn.ConvTranspose1d(4, 4, 3), nn.BatchNorm1d(4)
        self.frozen, self.none, self.last = nn.Linear(66, 8), nn.Linear(4, 0), nn.Linear(32, classes)
        self.frozen.requires_grad_(False)
        nn.init.constant_(self.last.bias, 0.5)
        nn.init.uniform_(self.last.weight, 0.1, 0.2)

    def forward(self, x):
        hidden = self.rows((x.flatten(1).clamp(0, 1) * 16).long()).transpose(1, 2)
        return self.last(self.frozen(self.norm(self.up(hidden)).relu()).flatten(1))
"""


@pytest.mark.filterwarnings("ignore:Initializing zero-element")
def test_a_network_of_one_s_own_is_drawn_anew_by_its_own_code(tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text(OWN)
    starts = []
    original = Search._train

    def spy(self, phase, keep=0):
        if phase.name == "tune":
            starts.append(self._state())
        return original(self, phase, keep)

    monkeypatch.setattr(Search, "_train", spy)
    spec = RunSpec("lth", network=f"{tmp_path}/own.py:Net", epochs=5, batch=512, control="reinitialised", sparsity=0.5)
    ticket, _ = execute(spec)
    start = starts[0]
    assert torch.equal(start["last.bias"], torch.full((10,), 0.5)) and not start["norm.running_mean"].any()
    kept = ticket.mask["last.weight"]
    assert start["last.weight"][kept].min() >= 0.1 and start["last.weight"].max() <= 0.2
    plain, _ = execute(dataclasses.replace(spec, control=None))
    assert not torch.equal(start["last.weight"][kept], plain.initial["last.weight"][kept])
    fresh = build(spec.network, (1, 8, 8), 10, stream(0, "control")).state_dict()
    expected = masks.apply(ticket.mask, fresh)
    assert all(torch.equal(value, expected[name]) for name, value in start.items())
    assert all(torch.equal(value, fresh[name]) for name, value in ticket.initial.items())


@pytest.mark.parametrize("control", ["shuffled", "reinitialised"])
@pytest.mark.parametrize(
    "recipe",
    [
        dataclasses.replace(zoo.row("unilth").recipe, rounds=Rounds(2)),
        dataclasses.replace(zoo.row("lth").recipe, rewind=Rewind("step", 3), rounds=Rounds(2, free="each")),
        dataclasses.replace(zoo.row("dlth-iter-code").recipe, rounds=Rounds(3, hard="last")),
    ],
)
def test_a_control_killed_after_any_epoch_ends_with_the_same_bits(digits, tmp_path: Path, recipe, control):
    straight = searched(digits, recipe, control)
    for kill in range(1, SHORT.epochs, 2):

        def progress(done: int, total: int, what: str, kill: int = kill) -> None:
            if done == kill:
                raise Killed

        path = tmp_path / f"{kill}.safetensors"
        with pytest.raises(Killed):
            searched(digits, recipe, control, progress=progress, checkpoint=Checkpoint(path, {}, seconds=0))
        again = searched(digits, recipe, control, checkpoint=Checkpoint(path, {}, seconds=0))
        assert again.ticket.digest() == straight.ticket.digest(), kill
        assert [masks.digest(m) for m in again.ticket.masks] == [masks.digest(m) for m in straight.ticket.masks]
