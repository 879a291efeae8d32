"""Tiny real problems for ticket finders: handwritten digits, and networks small enough to train in a second.

A case names its problem, ``{"problem": "mlp", "sparsity": 0.73, "seed": 0}``, and is replayed from that alone.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.conv import _ConvNd

from unilth.errors import UserError
from unilth.sims.invariants.invariant import Case

CLASSES, SIZE = 10, 8
TRAIN, VALIDATION = 192, 96


@dataclass(frozen=True)
class Data:
    """What a finder gets: two splits of (inputs, labels), inputs (n, 1, 8, 8). There is no test split to be read."""

    train: tuple[Tensor, Tensor]
    validation: tuple[Tensor, Tensor]
    classes: int = CLASSES

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.train[0].shape[1:])


class Mlp(nn.Module):
    """Two hidden layers, with dropout behind each if asked."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.first = nn.Linear(SIZE * SIZE, 20)
        self.second = nn.Linear(20, 16)
        self.last = nn.Linear(16, CLASSES)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 10)."""
        x = self.dropout(F.relu(self.first(x.flatten(1))))
        return self.last(self.dropout(F.relu(self.second(x))))


class Tied(nn.Module):
    """Two hidden layers that share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(SIZE * SIZE, 16)
        self.second = nn.Linear(16, 16)
        self.third = nn.Linear(16, 16)
        self.third.weight = self.second.weight
        self.last = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 10)."""
        x = F.relu(self.second(F.relu(self.first(x.flatten(1)))))
        return self.last(F.relu(self.third(x)))


class Conv(nn.Module):
    """Two convolutions with batch norm, around the second a shortcut if asked."""

    def __init__(self, residual: bool = False) -> None:
        super().__init__()
        self.residual = residual
        self.conv1 = nn.Conv2d(1, 8, 3, stride=2, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(8)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(8)
        self.last = nn.Linear(8 * 16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, 10)."""
        x = F.relu(self.norm1(self.conv1(x)))
        branch = self.norm2(self.conv2(x))
        return self.last(F.relu(branch + x if self.residual else branch).flatten(1))


PROBLEMS: dict[str, tuple[Any, torch.dtype]] = {
    "mlp": (Mlp, torch.float32),
    "conv": (Conv, torch.float32),
    "residual": (functools.partial(Conv, residual=True), torch.float32),
    "float64": (Mlp, torch.float64),
    "overfit": (Mlp, torch.float32),
    "dropout": (functools.partial(Mlp, dropout=0.3), torch.float32),
    "tied": (Tied, torch.float32),
    "frozen": (Mlp, torch.float32),
    "bfloat16": (Mlp, torch.bfloat16),
}


@functools.cache
def _digits() -> tuple[Tensor, Tensor]:
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # slow to import

    raw = load_digits()
    order = torch.randperm(len(raw.target), generator=torch.Generator().manual_seed(20_220_101))
    inputs = (torch.from_numpy(raw.images)[order, None] - 4.9) / 6.0
    return inputs.float(), torch.from_numpy(raw.target)[order].long()


def data(case: Case) -> Data:
    """Fresh copies of the problem's splits; "overfit" has few rows, half of them with a wrong label."""
    _, dtype = _problem(case)
    inputs, labels = _digits()
    n = 64 if case["problem"] == "overfit" else TRAIN
    train_labels = labels[:n].clone()
    if case["problem"] == "overfit":
        train_labels[::2] = (train_labels[::2] + 3) % CLASSES
    validation = slice(TRAIN, TRAIN + VALIDATION)
    return Data(
        (inputs[:n].to(dtype, copy=True), train_labels),
        (inputs[validation].to(dtype, copy=True), labels[validation].clone()),
    )


FAR = 2_718_281_828
"""Added to the network's seed: a finder that draws from its own seed must not draw what the network was drawn from.

Of a seed torch's generator takes 32 bits.
"""


def network(case: Case) -> nn.Module:
    """The problem's network, initialised from an explicit generator (the same for every seed of the finder)."""
    build, dtype = _problem(case)
    with torch.device("meta"):  # so that the layers' own initialisation draws nothing from the global generator
        made: nn.Module = build()
    made = made.to_empty(device="cpu")
    chance = torch.Generator().manual_seed((int(case.get("network_seed", 7)) + FAR) % 2**63)
    with torch.no_grad():
        for module in made.modules():
            if isinstance(module, nn.Linear | _ConvNd):
                module.weight.normal_(0.0, math.sqrt(2.0 / module.weight[0].numel()), generator=chance)
                if module.bias is not None:
                    module.bias.normal_(0.0, 0.01, generator=chance)  # not 0, so that a restored bias can be told
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
    if isinstance(made, Tied):  # two tensors since to_empty
        made.third.weight = made.second.weight
    if case["problem"] == "frozen":
        made.first.weight.requires_grad_(False)  # type: ignore[union-attr,operator]
    return made.to(dtype)


def prunable(made: nn.Module) -> list[str]:
    """Names of the weights of Linear and Conv layers; a tied weight once, under its first name."""
    weights = {id(module.weight) for module in made.modules() if isinstance(module, nn.Linear | _ConvNd)}
    return [name for name, parameter in made.named_parameters() if id(parameter) in weights]


def _problem(case: Case) -> tuple[Any, torch.dtype]:
    name = case.get("problem")
    if name not in PROBLEMS:
        raise UserError(f"the case's problem {name!r} is not known; use one of {', '.join(PROBLEMS)}")
    return PROBLEMS[name]
