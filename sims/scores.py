"""Scores: what a mask rule compares. One function per score, from what it may see to one number per prunable weight."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from unilth.sims.masks import Mask, prunable


@dataclass(frozen=True)
class Sight:
    """What a score may look at: the network as it is now, training data, the mask so far, and a generator.

    ``inputs`` (n, *shape) and ``labels`` (n,) are training examples, prepared for the network. A score returns one
    floating-point number per prunable weight; what is kept are the largest. It leaves the network as it found it.
    """

    network: nn.Module
    inputs: Tensor
    labels: Tensor
    mask: Mask
    generator: torch.Generator

    @property
    def weights(self) -> Mapping[str, nn.Parameter]:
        """The prunable weights by name."""
        return prunable(self.network)


Score = Callable[[Sight], dict[str, Tensor]]


def magnitude(sight: Sight) -> dict[str, Tensor]:
    """|w| (Han et al. 2015; Frankle and Carbin 2019)."""
    return {name: weight.detach().abs() for name, weight in sight.weights.items()}


def random(sight: Sight) -> dict[str, Tensor]:
    """Uniform in [0, 1) in float64, drawn along the sorted names (Bai et al. 2022, RST)."""
    weights = sight.weights
    drawn = {
        name: torch.rand(weights[name].numel(), dtype=torch.float64, generator=sight.generator)
        for name in sorted(weights)
    }
    return {name: drawn[name].reshape(weight.shape).to(weight.device) for name, weight in weights.items()}


def lamp(sight: Sight) -> dict[str, Tensor]:
    """w^2 over the sum of the squares in its layer that are not smaller (Lee et al. 2021), in float64.

    Compared over all layers. Weights of equal magnitude get equal scores; a layer of zeros scores 0.
    """
    scores = {}
    for name, weight in sight.weights.items():
        squares = weight.detach().double().square().reshape(-1)
        ordered, _ = squares.sort()
        not_smaller = ordered.flip(0).cumsum(0).flip(0)[torch.searchsorted(ordered, squares)]  # from the first equal on
        scores[name] = torch.where(squares > 0, squares / not_smaller.clamp_min(1e-300), 0.0).reshape(weight.shape)
    return scores
