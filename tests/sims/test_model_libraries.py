"""Networks of torchvision and timm, named by address, where those packages are installed; unilth does not need them."""

from __future__ import annotations

import pytest
import torch

from unilth.errors import UserError
from unilth.sims import masks
from unilth.sims.data import Dataset
from unilth.sims.find import Budget, find
from unilth.sims.networks import build, origin
from unilth.sims.streams import stream

SHAPE, CLASSES = (3, 32, 32), 4


def noise() -> Dataset:
    """Images that say nothing: only that training and pruning go through is asked."""
    draw = torch.Generator().manual_seed(0)
    split = torch.randn(8, *SHAPE, generator=draw), torch.arange(8) % CLASSES
    return Dataset("noise", CLASSES, split, split, split)


def check(name: str) -> None:
    facts = origin(name)
    assert facts["kind"] == "imported" and facts["sha256"] and facts["version"]
    network = build(name, SHAPE, CLASSES, stream(0, "initial"))
    again = build(name, SHAPE, CLASSES, stream(0, "initial")).state_dict()
    assert all(torch.equal(again[key], value) for key, value in network.state_dict().items())
    ticket = find("unilth", network, noise(), 0.8, seed=0, budget=Budget(epochs=3, batch=4, lr=0.01))
    assert masks.pruned_of(ticket.mask) == sum(masks.pruned_count(kept.numel(), 0.8) for kept in ticket.mask.values())
    assert not any(ticket.weights[key][~kept].any() for key, kept in ticket.mask.items())


@pytest.mark.slow
def test_a_network_of_torchvision():
    pytest.importorskip("torchvision")
    check("torchvision.models:mobilenet_v3_small")
    with pytest.raises(UserError, match="cannot take inputs of shape"):
        build("torchvision.models:resnet18", (1, 8, 8), CLASSES, stream(0, "initial"))  # it wants three channels


@pytest.mark.slow
def test_a_network_of_timm():
    pytest.importorskip("timm")
    check("timm.models.resnet:resnet10t")
