"""Networks: one file per architecture; every parameter drawn from an explicit generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims.networks.conv_small import ConvSmall
from unilth.sims.networks.initialise import initialise, materialise
from unilth.sims.networks.lenet import LeNet300100
from unilth.sims.spec import closest

NETWORKS: dict[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    "lenet-300-100": LeNet300100,
    "conv-small": ConvSmall,
}


def build(name: str, shape: tuple[int, ...], classes: int, generator: torch.Generator) -> nn.Module:
    """The network called ``name`` for inputs of ``shape``, initialised from ``generator`` and nothing else."""
    if name not in NETWORKS:
        raise UserError(f"there is no network {name!r}{closest(name, NETWORKS)}")
    with torch.device("meta"):  # so that the layers' own initialisation draws nothing from the global generator
        network = NETWORKS[name](shape, classes)
    materialise(network)
    initialise(network, generator)
    return network


__all__ = ["NETWORKS", "build", "initialise"]
