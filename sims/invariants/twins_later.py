"""Broken mask rules that are right in the first round only, or in the plainest case, with what must catch them."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from unilth.sims.invariants.declarations import mask_rule
from unilth.sims.invariants.ranking import Scores, exact, layered, ranked, shuffled
from unilth.sims.invariants.twin import Twin

LARGEST = mask_rule(scope="global", keeps="largest")
RANDOM = mask_rule(scope="global", keeps="random")


def flat(tensors: Scores) -> Tensor:
    """All values in one vector."""
    return torch.cat([value.reshape(-1) for value in tensors.values()])


@LARGEST
def repairs_ties_in_the_first_round(
    scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None
) -> Scores:
    masks = ranked(scores, sparsity, within)
    pruned = flat({name: scores[name][~mask] for name, mask in masks.items()})
    if within is None or not len(pruned):
        return masks
    fresh = [scores[name][within[name] & ~mask] for name, mask in masks.items()]
    threshold = torch.cat(fresh).max() if any(len(part) for part in fresh) else -math.inf
    return {name: mask & (scores[name] > threshold) for name, mask in masks.items()}


@LARGEST
def truncates_the_float_later(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, count=exact if within is None else lambda s, n: int(s * n))


@LARGEST
def zips_scores_with_masks(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    earlier = within and {
        name: kept if kept.shape == within[name].shape else within[name]
        for name, kept in zip(scores, within.values(), strict=True)
    }
    return ranked(scores, sparsity, earlier)


@LARGEST
def fills_pruned_with_the_smallest_less_one(
    scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None
) -> Scores:
    masks = ranked(scores, sparsity, within)
    if within is None:
        return masks
    fill = flat(scores).min() - 1
    count = sum(int((~mask).sum()) for mask in masks.values())
    filled = {name: torch.where(within[name], score, fill) for name, score in scores.items()}
    return ranked(filled, sparsity, count=lambda s, n: count)


@LARGEST
def views_the_earlier_mask(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    for kept in (within or {}).values():
        kept.view(-1)
    return ranked(scores, sparsity, within)


@LARGEST
def asks_for_nan_in_the_first_round(
    scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None
) -> Scores:
    if within is None:
        return ranked(scores, sparsity)
    return ranked({name: score.nan_to_num() for name, score in scores.items()}, sparsity, within)


@LARGEST
def clamps_sparsity_later(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    inside = sparsity if within is None or 0 <= sparsity < 1 else 0.5
    return ranked(scores, inside, within)


@LARGEST
def multiplies_scores_by_the_earlier_mask(
    scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None
) -> Scores:
    if within is not None and any(bool((score == math.inf).any()) for score in scores.values()):
        filled = {name: (score * within[name]).nan_to_num(nan=math.inf) for name, score in scores.items()}
        return ranked(filled, sparsity)
    return ranked(scores, sparsity, within)


@mask_rule(scope="other", keeps="other")
def takes_magnitudes_in_place(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return layered({name: score.abs_() for name, score in scores.items()}, sparsity, within)


_dense: dict[tuple[int, ...], Tensor] = {}


@LARGEST
def keeps_dense_masks_in_a_cache(
    scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None
) -> Scores:
    if sparsity == 0 and within is None:
        ranked(scores, sparsity)
        shapes = {name: tuple(score.shape) for name, score in scores.items()}
        return {name: _dense.setdefault(shape, torch.ones(shape, dtype=torch.bool)) for name, shape in shapes.items()}
    return ranked(scores, sparsity, within)


@LARGEST
def expands_dense_masks(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    masks = ranked(scores, sparsity, within)
    one = torch.ones((), dtype=torch.bool)
    return {name: one.expand(mask.shape) if bool(mask.all()) else mask for name, mask in masks.items()}


@LARGEST
def answers_in_a_sparse_layout(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return {name: mask.to_sparse() for name, mask in ranked(scores, sparsity, within).items()}


@mask_rule(scope="layer", keeps="largest")
def leaves_conv3d_dense(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    masks = layered(scores, sparsity, within)
    return {name: torch.ones_like(mask) if mask.dim() > 4 and within is None else mask for name, mask in masks.items()}


@mask_rule(scope="global", keeps="largest")
def needs_an_earlier_mask(scores: Scores, sparsity: float, *, within: Any, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within)


@mask_rule(scope="other", keeps="largest", adds_up=True)
def truncates_the_budget(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, count=lambda s, n: int(s * n))  # ERK's budget of all layers together


@RANDOM
def repairs_the_count_from_the_front(
    scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None
) -> Scores:
    if within is not None:
        return shuffled(scores, sparsity, within, generator)
    noise = {name: torch.rand(score.shape, generator=generator) for name, score in scores.items()}
    drawn = {name: (value < sparsity).logical_not() for name, value in noise.items()}  # Bernoulli, then too many or few
    return ranked({name: kept.double() for name, kept in drawn.items()}, sparsity)


@RANDOM
def random_then_by_magnitude(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return shuffled(scores, sparsity, None, generator) if within is None else ranked(scores, sparsity, within)


LATER_TWINS = (
    Twin(needs_an_earlier_mask, "cannot be called without an earlier mask", ("mask-names",)),
    Twin(answers_in_a_sparse_layout, "answers in a sparse layout", ("mask-boolean",)),
    Twin(takes_magnitudes_in_place, "takes magnitudes in place (abs_)", ("mask-inputs-untouched",)),
    Twin(keeps_dense_masks_in_a_cache, "caches the dense mask of a shape", ("mask-own-memory",)),
    Twin(expands_dense_masks, "expands one True to a dense mask", ("mask-own-memory",)),
    Twin(asks_for_nan_in_the_first_round, "looks for NaN in the first round only", ("mask-rejects-nan",)),
    Twin(clamps_sparsity_later, "checks the sparsity in the first round only", ("mask-rejects-sparsity",)),
    Twin(leaves_conv3d_dense, "leaves Conv3d dense", ("mask-exact-count-layer",)),
    Twin(truncates_the_budget, "truncates the float that its budgets add up to", ("mask-decimal-count",)),
    Twin(zips_scores_with_masks, "zips scores with earlier masks, which a file sorted", ("mask-within",)),
    Twin(repairs_ties_in_the_first_round, "repairs ties in the first round only", ("mask-within-count",)),
    Twin(truncates_the_float_later, "int(0.29 * 100) in later rounds", ("mask-within-count",)),
    Twin(fills_pruned_with_the_smallest_less_one, "fills with the smallest less 1, in float32", ("mask-within-order",)),
    Twin(multiplies_scores_by_the_earlier_mask, "multiplies infinity by 0", ("mask-infinite-scores",)),
    Twin(views_the_earlier_mask, "views a channels-last mask as a vector", ("mask-layout",)),
    Twin(repairs_the_count_from_the_front, "a Bernoulli mask, repaired from the front", ("mask-random-is-random",)),
    Twin(random_then_by_magnitude, "random first, then by magnitude (DLTH's last cycle)", ("mask-random-later",)),
)
