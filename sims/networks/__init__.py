"""Networks: one file per architecture; every parameter drawn from an explicit generator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from unilth.errors import UserError
from unilth.sims.imported import is_import
from unilth.sims.networks.conv_small import ConvSmall
from unilth.sims.networks.imported import ABOUT, build_imported, locate
from unilth.sims.networks.imported import origin as imported_origin
from unilth.sims.networks.initialise import initialise, materialise
from unilth.sims.networks.lenet import LeNet300100
from unilth.sims.networks.resnet import cifar_resnet, resnet18, wide_resnet
from unilth.sims.networks.vgg import conv_network, vgg16
from unilth.sims.networks.vit import SmallViT
from unilth.sims.spec import closest

NETWORKS: dict[str, Callable[[tuple[int, ...], int], nn.Module]] = {
    "lenet-300-100": LeNet300100,
    "conv-small": ConvSmall,
    "conv-2": lambda shape, classes: conv_network(2, shape[0], square(shape), classes),
    "conv-4": lambda shape, classes: conv_network(4, shape[0], square(shape), classes),
    "conv-6": lambda shape, classes: conv_network(6, shape[0], square(shape), classes),
    "resnet20": lambda shape, classes: cifar_resnet(20, shape[0], classes, "B"),  # as open_lth
    "resnet20-a": lambda shape, classes: cifar_resnet(20, shape[0], classes, "A"),  # as DLTH
    "resnet32": lambda shape, classes: cifar_resnet(32, shape[0], classes, "B"),
    "resnet32-a": lambda shape, classes: cifar_resnet(32, shape[0], classes, "A"),
    "resnet56": lambda shape, classes: cifar_resnet(56, shape[0], classes, "B"),
    "resnet56-a": lambda shape, classes: cifar_resnet(56, shape[0], classes, "A"),  # as DLTH
    "resnet18": lambda shape, classes: resnet18(shape[0], classes),  # 3x3 stem: for 32x32 and 64x64
    "wrn-22-2": lambda shape, classes: wide_resnet(22, 2, shape[0], classes),
    "wrn-28-2": lambda shape, classes: wide_resnet(28, 2, shape[0], classes),
    "wrn-28-4": lambda shape, classes: wide_resnet(28, 4, shape[0], classes),
    "wrn-28-10": lambda shape, classes: wide_resnet(28, 10, shape[0], classes),
    "vgg16": lambda shape, classes: vgg16(shape[0], square(shape), classes),
    "vit": lambda shape, classes: SmallViT(shape[0], square(shape), classes, patch=8 if square(shape) >= 64 else 4),
}


def square(shape: tuple[int, ...]) -> int:
    """Height and width of images that must be square."""
    if len(shape) != 3 or shape[1] != shape[2]:
        raise UserError(f"this network takes square images, not inputs of shape {shape}: choose another network")
    return shape[1]


def lookup(name: str) -> None:
    """UserError, with the close names, where ``name`` is no network here and cannot be imported either."""
    if is_import(name):
        locate(name)
    elif name not in NETWORKS:
        raise UserError(f"there is no network {name!r}{closest(name, NETWORKS)}; {ABOUT}")


def origin(name: str) -> dict[str, Any]:
    """Where a network comes from, in plain values for the record: built in, or module, file, SHA-256 and version."""
    lookup(name)
    return imported_origin(name) if is_import(name) else {"kind": "built in", "name": name}


def build(name: str, shape: tuple[int, ...], classes: int, generator: torch.Generator, *, batch: int = 64) -> nn.Module:
    """The network called ``name`` for inputs of ``shape``, initialised from ``generator`` and nothing else.

    A network that is imported keeps its own initialisation, drawn under a seed from ``generator``, and is tried in
    training on ``batch`` inputs at a time.
    """
    lookup(name)
    if is_import(name):
        return build_imported(name, shape, classes, generator, batch)
    try:
        with torch.device("meta"):  # so that the layers' own initialisation draws nothing from the global generator
            network = NETWORKS[name](shape, classes)
    except ValueError as error:
        raise UserError(f"the network {name!r} does not take inputs of shape {shape}: {error}") from None
    materialise(network)
    initialise(network, generator)
    return network


__all__ = ["NETWORKS", "build", "initialise", "lookup", "origin"]
