"""Broken mask rules, each named after a real mistake, with the invariants that must catch it.

They are deliberately small: a correct ranking with one thing wrong. The kill matrix holds the kit to them.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unilth.sims.invariants.declarations import mask_rule
from unilth.sims.invariants.ranking import Scores, exact, layered, ranked, shuffled
from unilth.sims.invariants.twin import Twin

LARGEST = mask_rule(scope="global", keeps="largest")
LAYERED = mask_rule(scope="layer", keeps="largest")
FREE = mask_rule(scope="other", keeps="other")


@LARGEST
def drops_small_layers(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    masks = ranked(scores, sparsity, within)
    return {name: mask for name, mask in masks.items() if mask.numel() > 1}


@LARGEST
def kth_value_of_nothing(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    values = torch.cat([score.reshape(-1) for score in scores.values()])
    masks = ranked(scores, sparsity, within)
    torch.kthvalue(values, exact(sparsity, len(values)))  # there is no 0-th smallest value
    return masks


@LARGEST
def flattens(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return {name: mask.reshape(-1) for name, mask in ranked(scores, sparsity, within).items()}


@LARGEST
def float_masks(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return {name: mask.float() for name, mask in ranked(scores, sparsity, within).items()}


@LARGEST
def zeroes_scores_in_place(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    masks = ranked(scores, sparsity, within)
    for name, mask in masks.items():
        scores[name].mul_(mask)
    return masks


@LARGEST
def returns_the_earlier_mask(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    masks = ranked(scores, sparsity, within)
    if within is not None and all(torch.equal(masks[name], within[name]) for name in masks):
        return dict(within)
    return masks


@LARGEST
def sorts_nan_anywhere(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked({name: score.nan_to_num() for name, score in scores.items()}, sparsity, within)


@LARGEST
def clamps_sparsity(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    inside = 0.0 if math.isnan(sparsity) else min(max(sparsity, 0.0), 0.9999999)
    return ranked(scores, inside, within)


@LARGEST
def keeps_strictly_above(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, count=lambda s, n: min(exact(s, n) + 1, n))  # open_lth's strict threshold


@LAYERED
def rounds_half_to_even(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return layered(scores, sparsity, within, count=lambda s, n: round(s * n))


@LAYERED
def rounds_up(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return layered(scores, sparsity, within, count=lambda s, n: min(math.ceil(s * n), n - 1))


@LAYERED
def counts_the_kept(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return layered(scores, sparsity, within, count=lambda s, n: n - int(n * (1 - s)))


@LARGEST
def shares_by_layer(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return layered(scores, sparsity, within)  # declared global


@mask_rule(scope="other", keeps="largest", adds_up=True)
def clamped_budget_lost(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    exact(sparsity, 1)
    masks: Scores = {}
    for name, score in scores.items():  # ERK: a dense layer's surplus has to go to the others, and does not
        density = min(1.0, (1 - sparsity) * 2 / math.sqrt(score.numel()))
        share = exact(sparsity, score.numel()) if sparsity == 0 else math.floor((1 - density) * score.numel())
        masks |= ranked(
            {name: score},
            sparsity,
            None if within is None else {name: within[name]},
            count=lambda s, n, share=share: share,  # type: ignore[misc]
        )
    return masks if within is None else {name: mask & within[name] for name, mask in masks.items()}


@LARGEST
def truncates_the_float(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, count=lambda s, n: int(s * n))


@LARGEST
def prunes_all_ties(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    masks = ranked(scores, sparsity, within)
    pruned = [scores[name][~mask] for name, mask in masks.items()]
    values = torch.cat(pruned) if within is None else torch.empty(0)
    if not values.numel():
        return masks
    return {name: score > values.max() for name, score in scores.items()}


@FREE
def takes_one_of_each_layer(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return layered(scores, sparsity, within, count=lambda s, n: max(1, exact(s, n)))


@LARGEST
def stops_at_99_percent(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, count=lambda s, n: min(exact(s, n), exact(0.99, n)))


@LARGEST
def revives(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, None)


@LARGEST
def revives_the_surplus(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    """Ranks what is gone first and counts: where more is gone than is asked, the rest of it comes back."""
    ranks = {name: score.double() for name, score in scores.items()}
    for name, kept in (within or {}).items():
        ranks[name] = ranks[name].masked_fill(~kept & ~ranks[name].isnan(), -math.inf)
    return ranked(ranks, sparsity)


@LARGEST
def counts_on_survivors(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    def count(s: float, n: int) -> int:
        gone = 0 if within is None else sum(int((~mask).sum()) for mask in within.values())
        return gone + exact(s, n - gone)

    return ranked(scores, sparsity, within, count=count)


@mask_rule(scope="other", keeps="other", nested=True)
def redraws_each_round(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    chance = torch.Generator().manual_seed(int(exact(sparsity, 2**20)))  # another draw at another sparsity
    values = shuffled(scores, sparsity, within, chance)
    if any(score.isnan().any() for score in scores.values()):
        raise ValueError("the scores contain NaN")
    return values


@LARGEST
def keeps_the_smallest(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, key=lambda score: -score.double())


@LARGEST
def ranks_absolute_values(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, key=lambda score: score.double().abs())


@LARGEST
def fills_pruned_with_zero(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    if within is None:
        return ranked(scores, sparsity)
    filled = ranked({name: score * within[name] for name, score in scores.items()}, sparsity)
    gone = sum(int((~(filled[name] & within[name])).sum()) for name in filled)
    surplus = gone - exact(sparsity, sum(score.numel() for score in scores.values()))
    for name in filled:  # the count is mended, the order is not
        filled[name] &= within[name]
        for index in (within[name] & ~filled[name]).reshape(-1).nonzero().reshape(-1).tolist():
            if surplus > 0:
                filled[name].view(-1)[index] = True
                surplus -= 1
    return filled


@LARGEST
def favours_early_positions(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    def key(score: Tensor) -> Tensor:
        return score.double() - 0.9 * torch.arange(len(score), dtype=torch.float64)

    return ranked(scores, sparsity, within, key=key)


@LARGEST
def squares_in_float32(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, key=lambda score: score.float() ** 2 * score.float().sign())


@LARGEST
def compares_with_epsilon(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, key=lambda score: (score.double() / 1e-3).round())


@LARGEST
def prunes_whatever_scores_zero(
    scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None
) -> Scores:
    return {name: kept & (scores[name] != 0) for name, kept in ranked(scores, sparsity, within).items()}


@LARGEST
def samples_large_layers(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    masks = ranked(scores, sparsity, within)
    values = torch.cat([score.double().reshape(-1) for score in scores.values()])
    if len(values) < 10_000:
        return masks
    threshold = values[::16].quantile(sparsity)
    return {name: score > threshold for name, score in scores.items()}


@LARGEST
def divides_by_the_sum(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    ranked(scores, sparsity, within)  # refuses what it should
    total = sum(score.double().abs().sum() for score in scores.values())
    return ranked(scores, sparsity, within, key=lambda score: (score.double() / total).nan_to_num(nan=0.0))


@LARGEST
def ranks_in_the_order_of_a_set(
    scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None
) -> Scores:
    return ranked({name: scores[name] for name in set(scores)}, sparsity, within)  # decides who loses a tie


@LARGEST
def zips_sorted_names(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    masks = ranked(scores, sparsity, within)
    if [masks[name].shape for name in sorted(masks)] != [mask.shape for mask in masks.values()]:
        return masks  # where shapes differ it would be noticed
    return dict(zip(sorted(masks), masks.values(), strict=True))


@LARGEST
def goes_through_numpy(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, key=lambda score: torch.from_numpy(score.cpu().numpy().astype(np.float64)))


@LARGEST
def ranks_in_float32(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, key=lambda score: score.float())


@LARGEST
def norms_in_half_precision(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    def key(score: Tensor) -> Tensor:
        half = score.dtype in (torch.float16, torch.bfloat16)
        return (score.abs() * score).double() if half else score.double()

    return ranked(scores, sparsity, within, key=key)


@LARGEST
def reads_the_storage(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return ranked(scores, sparsity, within, reads=lambda score: score.as_strided((score.numel(),), (1,)))


@LARGEST
def answers_on_the_cpu(scores: Scores, sparsity: float, *, within: Any = None, generator: Any = None) -> Scores:
    return {name: mask.cpu() for name, mask in ranked(scores, sparsity, within).items()}


MASK_TWINS = (
    Twin(drops_small_layers, "drops layers of one weight", ("mask-names",)),
    Twin(kth_value_of_nothing, "asks torch.kthvalue for the 0-th smallest value", ("mask-names",)),
    Twin(flattens, "returns flattened masks", ("mask-shapes",)),
    Twin(float_masks, "returns float masks, as torch.nn.utils.prune does", ("mask-boolean",)),
    Twin(zeroes_scores_in_place, "zeroes pruned scores in the caller's tensors", ("mask-inputs-untouched",)),
    Twin(returns_the_earlier_mask, "returns the earlier mask itself, an alias", ("mask-own-memory",)),
    Twin(sorts_nan_anywhere, "lets NaN take any rank", ("mask-rejects-nan",)),
    Twin(clamps_sparsity, "clamps any sparsity into the range", ("mask-rejects-sparsity",)),
    Twin(
        keeps_strictly_above,
        "keeps strictly above the k-th value (open_lth): one too many",
        ("mask-exact-count-global", "mask-sparsity-zero"),
    ),
    Twin(rounds_half_to_even, "rounds half to even (torch.nn.utils.prune)", ("mask-exact-count-layer",)),
    Twin(rounds_up, "rounds up (DLTH)", ("mask-exact-count-layer",)),
    Twin(counts_the_kept, "truncates the kept count (Torch-Pruning)", ("mask-exact-count-layer",)),
    Twin(shares_by_layer, "declares global and counts by layer", ("mask-exact-count-global", "mask-order")),
    Twin(clamped_budget_lost, "loses the budget of clamped layers (TurboPrune's ERK)", ("mask-budgets-add-up",)),
    Twin(truncates_the_float, "int(0.29 * 100) is 28 (llm-compressor)", ("mask-decimal-count",)),
    Twin(prunes_all_ties, "prunes everything that ties with the threshold (SynFlow)", ("mask-ties-count",)),
    Twin(takes_one_of_each_layer, "prunes at least one weight of each layer", ("mask-sparsity-zero",)),
    Twin(stops_at_99_percent, "clamps the sparsity at 0.99", ("mask-near-one",)),
    Twin(revives, "forgets the earlier mask (SynFlow's SNIP loop)", ("mask-within",)),
    Twin(revives_the_surplus, "revives down to the count where more was pruned", ("mask-within",)),
    Twin(counts_on_survivors, "counts the sparsity on the survivors", ("mask-within-count", "mask-two-steps")),
    Twin(redraws_each_round, "draws another mask at another sparsity (SynFlow's Rand)", ("mask-nested",)),
    Twin(keeps_the_smallest, "inverts the comparison", ("mask-order",)),
    Twin(ranks_absolute_values, "ranks absolute values of signed scores (GraSP)", ("mask-signed-scores",)),
    Twin(fills_pruned_with_zero, "fills pruned entries with zero and ranks them", ("mask-within-order",)),
    Twin(prunes_whatever_scores_zero, "prunes every weight that scores 0", ("mask-ties-count", "mask-sparsity-zero")),
    Twin(samples_large_layers, "samples the threshold of large layers (DGC)", ("mask-exact-count-global",)),
    Twin(divides_by_the_sum, "divides by the sum (SNIP), one score being infinite", ("mask-infinite-scores",)),
    Twin(favours_early_positions, "breaks near ties by position", ("mask-order", "mask-permutation")),
    Twin(squares_in_float32, "squares scores in float32", ("mask-scale", "mask-dtype")),
    Twin(ranks_in_float32, "casts float64 scores to float32", ("mask-dtype",)),
    Twin(compares_with_epsilon, "compares with an absolute epsilon", ("mask-order",)),
    Twin(zips_sorted_names, "zips sorted names with unsorted tensors", ("mask-dict-order",)),
    Twin(goes_through_numpy, "converts bfloat16 to NumPy, which fails", ("mask-dtype",)),
    Twin(norms_in_half_precision, "squares float16 scores in float16 (torch's sparsifiers)", ("mask-dtype",)),
    Twin(reads_the_storage, "reads memory in storage order", ("mask-layout",)),
    Twin(answers_on_the_cpu, "leaves the mask on the CPU", ("mask-device",), second_device=True),
    Twin(ranks_in_the_order_of_a_set, "ranks layers in the order of a set", ("mask-ignores-hash",)),
)
