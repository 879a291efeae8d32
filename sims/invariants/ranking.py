"""Correct rankings, small and plain: what the references use, and what the twins break one thing of."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

Scores = dict[str, Tensor]


def exact(sparsity: float, n: int) -> int:
    """floor(sparsity x n) of the decimal; refuses what is no fraction in [0, 1)."""
    if not 0 <= sparsity < 1:
        raise ValueError(f"sparsity {sparsity} must lie in [0, 1)")
    return math.floor(Fraction(repr(float(sparsity))) * n)


def ranked(
    scores: Scores,
    sparsity: float,
    within: Scores | None = None,
    *,
    count: Callable[[float, int], int] = exact,
    key: Callable[[Tensor], Tensor] = lambda score: score.double(),
    reads: Callable[[Tensor], Tensor] = lambda score: score.reshape(-1),
) -> Scores:
    """Prune the ``count`` smallest keys, first all that ``within`` pruned: correct, unless an argument breaks it."""
    exact(sparsity, 1)
    values = torch.cat([key(reads(score)) for score in scores.values()])
    if values.isnan().any():
        raise ValueError("the scores contain NaN")
    gone = [False] * len(values)
    if within is not None:
        gone = (~torch.cat([within[name].reshape(-1) for name in scores])).tolist()
    numbers = values.tolist()
    order = sorted(range(len(numbers)), key=lambda i: (not gone[i], numbers[i]))
    keep = torch.ones(len(numbers), dtype=torch.bool)
    keep[order[: max(count(sparsity, len(numbers)), sum(gone))]] = False
    parts = torch.split(keep, [score.numel() for score in scores.values()])
    return {
        name: part.reshape(score.shape).to(score.device, copy=True)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }


def layered(scores: Scores, sparsity: float, within: Scores | None = None, **more: Any) -> Scores:
    """`ranked` in each layer by itself."""
    answer: Scores = {}
    for name, score in scores.items():
        answer |= ranked({name: score}, sparsity, None if within is None else {name: within[name]}, **more)
    return answer


def shuffled(scores: Scores, sparsity: float, within: Scores | None, generator: torch.Generator | None) -> Scores:
    """A correct random rule: rank noise from the generator."""
    noise = {name: torch.rand(score.shape, generator=generator, dtype=torch.float64) for name, score in scores.items()}
    return ranked(noise, sparsity, within)
