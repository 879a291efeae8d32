"""Scores: what a mask rule compares. One function per score, from a network to one number per prunable weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

Score = Callable[[Mapping[str, Tensor], torch.Generator], dict[str, Tensor]]


def magnitude(weights: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """|w| (Han et al. 2015; Frankle and Carbin 2019). Shapes as ``weights``; ``generator`` is not used."""
    return {name: weight.detach().abs() for name, weight in weights.items()}


def random(weights: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Uniform in [0, 1) in float64, drawn along the sorted names (Bai et al. 2022, RST)."""
    drawn = {
        name: torch.rand(weights[name].numel(), dtype=torch.float64, generator=generator) for name in sorted(weights)
    }
    return {name: drawn[name].reshape(weight.shape).to(weight.device) for name, weight in weights.items()}


SCORES: dict[str, Score] = {"magnitude": magnitude, "random": random}
