"""Networks: initialised by the generator that is given and nothing else."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims.masks import prunable
from unilth.sims.networks import NETWORKS, build, initialise
from unilth.sims.networks.initialise import materialise
from unilth.sims.streams import stream

SMALL = ("lenet-300-100", "conv-small")


def state(name: str, seed: int):
    return build(name, (1, 8, 8), 10, stream(seed, "initial")).state_dict()


@pytest.mark.parametrize("name", SMALL)
def test_the_seed_decides_every_weight(name):
    before = torch.get_rng_state()
    first, second, other = state(name, 0), state(name, 0), state(name, 1)
    assert torch.equal(torch.get_rng_state(), before)  # nothing global was drawn
    assert all(torch.equal(first[key], second[key]) for key in first)
    network = build(name, (1, 8, 8), 10, stream(0, "initial"))
    assert all(not torch.equal(first[key], other[key]) for key in prunable(network))
    assert all(bool(value.isfinite().all()) for value in first.values())


def test_lenet_has_its_weights_and_scale():
    network = build("lenet-300-100", (1, 8, 8), 10, stream(0, "initial"))
    weights = prunable(network)
    assert {name: tuple(w.shape) for name, w in weights.items()} == {
        "fc1.weight": (300, 64), "fc2.weight": (100, 300), "fc3.weight": (10, 100),
    }  # fmt: skip
    for weight in weights.values():  # kaiming normal, fan-in
        assert weight.std().item() == pytest.approx(math.sqrt(2 / weight.shape[1]), rel=0.1)
    assert all(not p.count_nonzero() for name, p in network.named_parameters() if name.endswith("bias"))


@pytest.mark.parametrize("name", SMALL)
def test_networks_map_a_batch_to_logits(name):
    network = build(name, (3, 9, 11), 7, stream(0, "initial"))
    assert network(torch.zeros(5, 3, 9, 11)).shape == (5, 7)


LARGE = ("wrn-28-4", "wrn-28-10", "resnet18")  # seconds each to draw


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in NETWORKS if name not in SMALL],
)
def test_image_networks_are_initialised_whole(name):
    network = build(name, (3, 32, 32), 10, stream(0, "initial"))
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
    for weight in prunable(network).values():
        assert weight.std().item() == pytest.approx(math.sqrt(2 / weight[0].numel()), rel=0.25)
    if name.startswith(("conv", "vgg", "vit")):
        with pytest.raises(UserError, match="square"):
            build(name, (3, 32, 28), 10, stream(0, "initial"))


def test_what_a_layer_draws_for_itself_comes_from_the_generator():
    first, second, other = (build("vit", (3, 32, 32), 10, stream(seed, "initial")) for seed in (0, 0, 1))
    assert torch.equal(first.positions, second.positions) and not torch.equal(first.positions, other.positions)
    assert first.positions.std().item() == pytest.approx(0.02, rel=0.1)
    assert "blocks.0.attention.qkv.weight" in prunable(first)  # attention is plain Linear layers
    with pytest.raises(UserError, match=r"'vit' does not take .* must divide"):
        build("vit", (3, 30, 30), 10, stream(0, "initial"))


def test_materialised_networks_keep_their_ties_and_types():
    with torch.device("meta"):
        network = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3), nn.BatchNorm1d(3), nn.Linear(3, 3, bias=False)])
    network[1].weight = network[0].weight
    network[3].weight.requires_grad_(False)
    materialise(network)
    assert network[1].weight is network[0].weight and network[0].bias is not network[1].bias
    assert all(isinstance(p, nn.Parameter) and p.device.type == "cpu" for p in network.parameters())
    assert [p.requires_grad for p in network.parameters()] == [True] * 5 + [False]
    assert network[2].num_batches_tracked.dtype == torch.int64 and len({id(p) for p in network.parameters()}) == 6
    initialise(network, stream(0, "initial"))
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())


def test_unknown_networks_and_layers_are_refused():
    with pytest.raises(UserError, match="did you mean 'lenet-300-100'"):
        build("lenet", (1, 8, 8), 10, stream(0, "initial"))
    odd = nn.Sequential(nn.Linear(2, 2), nn.Bilinear(2, 2, 2))
    with pytest.raises(UserError, match="Bilinear"):
        initialise(odd, stream(0, "initial"))


def test_streams_are_independent_of_each_other():
    draws = {torch.rand(1, generator=stream(seed, why)).item() for seed in (0, 1) for why in ("order", "mask")}
    assert len(draws) == 4
    assert torch.rand(3, generator=stream(0, "order")).tolist() == torch.rand(3, generator=stream(0, "order")).tolist()
