"""How many weights a saved ticket prunes: exactly what the recipe of its spec prunes, in all or in each layer."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from unilth.cli import main
from unilth.sims import masks, zoo
from unilth.sims.data import load
from unilth.sims.find import Budget, find
from unilth.sims.invariants import check
from unilth.sims.networks import build
from unilth.sims.recipe import MaskRule
from unilth.sims.scores import Sight
from unilth.sims.spec import RunSpec
from unilth.sims.streams import stream
from unilth.sims.tickets import Ticket


class Ends(nn.Sequential):
    """Two convolutions and three linear layers, whose sizes round differently one by one and together."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        layers = (
            nn.Conv2d(1, 3, 3),
            nn.Conv2d(3, 4, 3),
            nn.Flatten(),
            nn.Linear(36, 7),
            nn.Linear(7, 5),
            nn.Linear(5, 3),
        )
        super().__init__(*layers)


def drawn(spec: RunSpec) -> Ticket:
    """A ticket with the mask that `find` would draw for a spec, round by round, and without training."""
    network, chance, recipe = Ends(), torch.Generator().manual_seed(spec.seed), zoo.recipe(spec)
    initial = {name: value.clone() for name, value in network.state_dict().items()}
    mask = masks.full(masks.prunable(network))
    for target in recipe.rounds.targets(spec.sparsity):
        inside = mask
        mask = recipe.mask.draw(Sight(network, torch.randn(8, 1, 7, 7), torch.arange(8) % 3, inside, chance), target)
        if spec.control == "shuffled":
            mask = masks.shuffled(mask, chance, within=inside)
    return ticket_of(mask, initial, spec)


def ticket_of(mask: masks.Mask, initial: dict[str, torch.Tensor], spec: RunSpec) -> Ticket:
    return Ticket(mask, masks.apply(mask, initial), initial, spec.sparsity, spec.recipe, spec.network, spec)


def fits(ticket: Ticket, folder: Path) -> bool:
    report = check(ticket.save(folder), only=["ticket-sparsity"])
    assert report.ok or "nominal sparsity" in str(report) or "dense" in str(report), str(report)
    return report.ok


def specs(recipe: str) -> Iterator[RunSpec]:
    if recipe == "dense":
        yield RunSpec(recipe, "ends", sparsity=0.5)
        return
    yield from (RunSpec(recipe, "ends", sparsity=0.83, control=control) for control in (None, "shuffled"))
    for scope in (None, "global", "layer", "erk", "balanced"):
        score = None if scope is None else "random"
        for spare in (None, True):
            yield RunSpec(recipe, "ends", sparsity=0.57, scope=scope, spare=spare, score=score)
    yield RunSpec(recipe, "ends", sparsity=0.29, rounds=3)


@pytest.mark.parametrize("recipe", zoo.NAMES)
def test_the_count_of_every_recipe_is_expected_and_no_other(tmp_path, recipe):
    for spec in specs(recipe):
        ticket = drawn(spec)
        assert fits(ticket, tmp_path), spec
        for name, kept in ticket.mask.items():
            for value in (True, False):  # one weight more or less in one layer
                if bool((kept != value).any()):
                    other = {key: layer.clone() for key, layer in ticket.mask.items()}
                    other[name].view(-1)[(kept != value).reshape(-1).nonzero()[0]] = value
                    assert not fits(ticket_of(other, ticket.initial, spec), tmp_path), (spec, name, value)


@pytest.mark.parametrize(
    ("choices", "moves"),
    [
        ({"recipe": "lth"}, True),
        ({"recipe": "lth", "scope": "layer"}, False),
        ({"recipe": "random"}, False),
        ({"recipe": "random-erk"}, False),
        ({"recipe": "random-balanced"}, False),
        ({"recipe": "random-erk", "rounds": 5}, True),  # earlier rounds may have rounded in another way
    ],
)
def test_what_one_layer_has_too_much_another_may_not_lack_where_layers_have_shares(tmp_path, choices, moves):
    ticket = drawn(RunSpec(**choices, network="ends", sparsity=0.5))
    other = {name: layer.clone() for name, layer in ticket.mask.items()}
    for name, value in (("3.weight", True), ("1.weight", False)):
        other[name].view(-1)[(other[name] != value).reshape(-1).nonzero()[0]] = value
    assert fits(ticket_of(other, ticket.initial, ticket.spec), tmp_path) == moves


@pytest.mark.parametrize(("dense", "is_one"), [("04", True), ("14", True), ("0", False), ("4", False), ("3", False)])
def test_which_ends_are_spared_is_told_by_what_is_dense(tmp_path, dense, is_one):
    spec = RunSpec("random", "ends", sparsity=0.5, spare=True)
    ticket = drawn(replace(spec, spare=None))
    mask = {name: layer | (name[0] in dense) for name, layer in ticket.mask.items()}
    assert fits(ticket_of(mask, ticket.initial, spec), tmp_path) == is_one


@pytest.mark.parametrize(
    ("dense", "is_one"),
    [("ac", True), ("bc", True), ("ad", True), ("abc", False), ("acd", False), ("a", False), ("c", False)],
)
def test_of_layers_that_are_pruned_each_one_convolution_and_one_linear_layer_are_spared(tmp_path, dense, is_one):
    """A convolution over sequences has three dimensions."""
    sizes = {"a": (2, 3, 2), "b": (4, 2, 3), "c": (3, 4), "d": (2, 3)}
    initial = {name: torch.ones(size) for name, size in sizes.items()}
    half = {
        name: torch.arange(value.numel()).reshape(value.shape) * 2 >= value.numel() for name, value in initial.items()
    }
    mask = {name: kept | (name in dense) for name, kept in half.items()}
    spec = RunSpec("random", "ends", sparsity=0.5, scope="layer", spare=True)
    assert fits(ticket_of(mask, initial, spec), tmp_path) == is_one


def test_no_code_that_a_spec_names_is_run(tmp_path):
    own, ran = tmp_path / "own.py", tmp_path / "ran"
    own.write_text(f"from pathlib import Path\nPath({str(ran)!r}).touch()\ndef mine(sight): ...\n")
    spec = RunSpec("omp", "ends", sparsity=0.5)
    ticket = drawn(spec)
    named = replace(spec, score=f"{own}:mine")
    assert fits(ticket_of(ticket.mask, ticket.initial, named), tmp_path)
    ticket.mask["3.weight"][:] = True
    assert not fits(ticket_of(ticket.mask, ticket.initial, named), tmp_path)
    assert Ticket.load(tmp_path).spec.score.endswith(":mine") and not ran.exists()


def test_a_recipe_that_is_not_in_the_zoo_may_round_as_it_likes(tmp_path):
    ticket = drawn(RunSpec("random", "ends", sparsity=0.5))
    assert fits(ticket_of(ticket.mask, ticket.initial, replace(ticket.spec, recipe="mine")), tmp_path)
    assert not fits(ticket_of(ticket.mask, ticket.initial, replace(ticket.spec, recipe="omp")), tmp_path)


@pytest.mark.parametrize("recipe", ["aaa", "mine"])
@pytest.mark.parametrize(("gone", "is_one"), [(6, False), (7, True), (8, True), (9, True), (10, False)])
def test_without_a_spec_layers_may_be_rounded_down_each_or_together(tmp_path, recipe, gone, is_one):
    """Half of 5 + 5 + 5 + 3 weights are 2 + 2 + 2 + 1 one by one and 9 together."""
    initial = {name: torch.ones(size) for name, size in (("a", 5), ("b", 5), ("c", 5), ("d", 3))}
    kept = (torch.arange(18) >= gone).split([5, 5, 5, 3])
    mask = dict(zip(initial, kept, strict=True))
    assert fits(Ticket(mask, masks.apply(mask, initial), initial, 0.5, recipe, "tiny"), tmp_path) == is_one


@pytest.mark.parametrize(("gone", "is_one"), [(0, True), (6, True), (9, True), (10, False)])
def test_a_recipe_without_a_name_may_spare_layers_and_prunes_no_more_than_is_asked(tmp_path, gone, is_one):
    initial, mask = {"a": torch.ones(18)}, {"a": torch.arange(18) >= gone}
    assert fits(Ticket(mask, masks.apply(mask, initial), initial, 0.5), tmp_path) == is_one


@pytest.mark.parametrize(
    ("recipe", "nominal", "is_one"), [("dense", 0.9, True), ("lth", 0.0, True), ("lth", 0.9, False)]
)
@pytest.mark.parametrize("specified", [True, False])
def test_a_mask_of_no_layer_prunes_nothing(tmp_path, recipe, nominal, is_one, specified):
    initial = {"a": torch.ones(3)}
    spec = RunSpec(recipe, "ends", sparsity=nominal) if specified else None
    path = Ticket({}, initial, initial, nominal, recipe, "ends", spec).save(tmp_path)
    found = [row.got for row in check(path).violations]
    assert found == ([] if is_one else ["a mask of no layer"])


@pytest.mark.parametrize(
    "recipe", ["dense", "omp", zoo.row("omp").recipe, replace(zoo.row("omp").recipe, mask=MaskRule(spare=True))]
)
def test_tickets_found_from_python_without_a_spec_are_not_accused(tmp_path, recipe):
    data = load("digits")
    network = build("lenet-300-100", data.shape, data.classes, stream(0, "initial"))
    ticket = find(recipe, network, data, 0.9, seed=0, budget=Budget(epochs=1, batch=512))
    assert ticket.recipe == (recipe if isinstance(recipe, str) else "") and fits(ticket, tmp_path)


@pytest.mark.parametrize(("gone", "is_one"), [(0, True), (1, False)])
def test_a_dense_ticket_without_a_spec_prunes_nothing(tmp_path, gone, is_one):
    initial, mask = {"a": torch.ones(1)}, {"a": torch.arange(1) >= gone}
    assert fits(Ticket(mask, masks.apply(mask, initial), initial, 0.5, "dense", "tiny"), tmp_path) == is_one


@pytest.mark.parametrize(
    "choices",
    [
        {"scope": "none"},
        {"recipe": "dense", "rounds": 2},
        {"recipe": "dense", "control": "shuffled"},
        {"recipe": "synflow", "scope": "erk"},
        {"score": "synflow", "scope": "erk"},
        {"score": "nope"},
        {"rewind": "foo"},
        {"l1": 0.1},
        {"patience": 3},
    ],
)
def test_a_spec_that_no_run_can_have_is_not_one(tmp_path, choices):
    ticket = drawn(RunSpec("omp", "ends", sparsity=0.5))
    path = ticket_of(ticket.mask, ticket.initial, replace(ticket.spec, **choices)).save(tmp_path)
    (found,) = check(path).violations
    assert found.id == "ticket-sparsity" and found.got.startswith("the spec of no run that there can be: ")


def test_a_run_that_spares_the_ends_is_not_accused(tmp_path, capsys):
    argv = ["find", "lth", "--spare", "True", "--sparsity", "0.5", "--epochs", "3", "--batch", "512"]
    assert main([*argv, "--out", str(tmp_path)]) == 0
    assert main(["check", str(tmp_path / "ticket.safetensors")]) == 0
    assert Ticket.load(tmp_path).spec.spare
