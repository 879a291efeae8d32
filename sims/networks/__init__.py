"""Networks: one file per architecture; every parameter drawn from an explicit generator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims.networks.conv_small import ConvSmall
from unilth.sims.networks.initialise import initialise, materialise
from unilth.sims.networks.lenet import LeNet300100
from unilth.sims.networks.resnet import cifar_resnet, resnet18, wide_resnet
from unilth.sims.networks.vgg import conv_network, vgg16
from unilth.sims.spec import closest

NETWORKS: dict[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    "lenet-300-100": LeNet300100,
    "conv-small": ConvSmall,
    "conv-2": lambda shape, classes: conv_network(2, shape[0], square(shape), classes),
    "conv-4": lambda shape, classes: conv_network(4, shape[0], square(shape), classes),
    "conv-6": lambda shape, classes: conv_network(6, shape[0], square(shape), classes),
    "resnet20": lambda shape, classes: cifar_resnet(20, shape[0], classes, "B"),  # as open_lth
    "resnet20-a": lambda shape, classes: cifar_resnet(20, shape[0], classes, "A"),  # as DLTH
    "resnet56": lambda shape, classes: cifar_resnet(56, shape[0], classes, "B"),
    "resnet56-a": lambda shape, classes: cifar_resnet(56, shape[0], classes, "A"),  # as DLTH
    "resnet18": lambda shape, classes: resnet18(shape[0], classes),
    "wrn-22-2": lambda shape, classes: wide_resnet(22, 2, shape[0], classes),
    "vgg16": lambda shape, classes: vgg16(shape[0], square(shape), classes),
}


def square(shape: tuple[int, ...]) -> int:
    """Height and width of images that must be square."""
    if len(shape) != 3 or shape[1] != shape[2]:
        raise UserError(f"this network takes square images, not inputs of shape {shape}: choose another network")
    return shape[1]


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
