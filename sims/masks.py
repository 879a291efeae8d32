"""Masks: which weights are kept. Exact counts, ties by position, the same on every device and in every dtype.

*Prunable* are the weights of Linear and Conv layers, never biases or normalisation. *Sparsity* is the fraction of the
prunable weights that is pruned; of n weights exactly floor(sparsity x n) go, computed from the decimal that was written
(0.29 of 100 is 29, although the float 0.29 is smaller than 29/100). Positions count along the sorted names and, within
a tensor, row-major; among equal scores the earlier position is pruned first.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from unilth.errors import UserError
from unilth.sims.layer_budgets import BUDGETS

Mask = dict[str, Tensor]  # name -> bool tensor of the weight's shape, True = kept
Scope = Literal["global", "layer", "erk", "balanced"]
Sparsity = float | str | Fraction | Decimal

SMALL = 1 << 16  # below this many candidates a plain partition is as fast as a bracket


def exact_sparsity(sparsity: Sparsity) -> Fraction:
    """The decimal that was written, as a fraction in [0, 1); UserError for anything else, NaN included."""
    if isinstance(sparsity, bool) or not isinstance(sparsity, (int, float, str, Fraction, Decimal, np.floating)):
        raise UserError(f"sparsity must be a number in [0, 1), not {sparsity!r}: give for example 0.9")
    try:
        value = Fraction(str(sparsity))
    except (ValueError, ZeroDivisionError):
        value = Fraction(-1)
    if not 0 <= value < 1:
        raise UserError(f"sparsity must be in [0, 1), not {sparsity!r}: give the fraction to prune, for example 0.9")
    return value


def pruned_count(n: int, sparsity: Sparsity) -> int:
    """How many of ``n`` weights are pruned: floor(sparsity x n), exact in the decimal that was written."""
    return math.floor(exact_sparsity(sparsity) * n)


def prunable(network: nn.Module) -> dict[str, nn.Parameter]:
    """The weights of Linear and Conv layers of any rank by name; a weight that is tied appears once."""
    found = {id(module.weight) for module in network.modules() if isinstance(module, (nn.Linear, _ConvNd))}
    return {name: parameter for name, parameter in network.named_parameters() if id(parameter) in found}


# --- choosing -------------------------------------------------------------------------------------------------------


def _flat(scores: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """Row-major arrays by sorted name, half precision widened (exactly) to float32; NaN and non-floats are refused."""
    flat = {}
    for name in sorted(scores):
        tensor = scores[name].detach()
        if not tensor.is_floating_point():
            raise UserError(f"the scores of {name!r} are {tensor.dtype}: give floating-point scores")
        if tensor.dtype not in (torch.float32, torch.float64):
            tensor = tensor.float()
        flat[name] = tensor.cpu().reshape(-1).numpy()
        if flat[name].size and np.isnan(flat[name].min()):  # min propagates NaN and needs no temporary
            raise UserError(f"the scores of {name!r} contain NaN: a mask cannot be drawn from a network that diverged")
    return flat


def _check_within(scores: Mapping[str, Tensor], within: Mask | None) -> None:
    if within is None:
        return
    if within.keys() != scores.keys():
        odd = sorted(within.keys() ^ scores.keys())
        raise UserError(f"the mask `within` and the scores disagree on {odd}: give both for the same weights")
    for name, kept in within.items():
        if kept.dtype != torch.bool or kept.shape != scores[name].shape:
            raise UserError(
                f"the mask `within` of {name!r} is {kept.dtype} {tuple(kept.shape)}: "
                f"give torch.bool {tuple(scores[name].shape)}"
            )


def _kth_smallest(arrays: list[np.ndarray], k: int) -> np.floating:
    """The k-th smallest value (k = 1 is the minimum) of all arrays together, exactly.

    A strided sample brackets it, and only the few values inside the bracket are partitioned; a bracket that misses
    costs a full partition, never a wrong answer.
    """
    total = sum(array.size for array in arrays)
    if total > SMALL:
        stride = max(1, total // SMALL)
        sample = np.concatenate([array[::stride] for array in arrays])
        centre, margin = k / total * sample.size, 4 * math.sqrt(sample.size)
        low = int(max(centre - margin, 0))
        high = int(min(centre + margin, sample.size - 1))
        sample.partition((low, high))
        floor, ceiling = sample[low], sample[high]
        below = sum(int(np.count_nonzero(array < floor)) for array in arrays) if low else 0
        inside = [array[(array >= floor) & (array <= ceiling)] if low else array[array <= ceiling] for array in arrays]
        if below < k <= below + sum(part.size for part in inside):
            arrays, k = inside, k - below
    values = np.concatenate(arrays)
    values.partition(k - 1)
    return values[k - 1]  # a NumPy scalar, so that comparing it with a narrower array widens the array


def _keep_largest(
    flat: dict[str, np.ndarray], inside: dict[str, np.ndarray] | None, count: int
) -> dict[str, np.ndarray]:
    """Masks that prune exactly ``count`` of all the values given, among them everything outside ``inside``."""
    if inside is not None:
        already = sum(int(kept.size - np.count_nonzero(kept)) for kept in inside.values())
        if already > count:
            raise UserError(
                f"{already} of the weights {', '.join(flat)} are pruned already and the sparsity asks for {count}: "
                "masks are nested, ask for a sparsity that is not smaller"
            )
        count -= already
    if count == 0:
        return {name: np.ones(v.size, bool) if inside is None else inside[name].copy() for name, v in flat.items()}
    threshold = _kth_smallest([v if inside is None else v[inside[n]] for n, v in flat.items()], count)
    kept, equal = {}, {}
    lower = 0
    for name, values in flat.items():
        kept[name], equal[name] = values >= threshold, values == threshold
        if inside is not None:
            kept[name] &= inside[name]
            equal[name] &= inside[name]
        lower += (values.size if inside is None else int(np.count_nonzero(inside[name]))) - int(
            np.count_nonzero(kept[name])
        )
    surplus = count - lower  # of the values equal to the threshold, the first this many go
    for name in flat:
        if surplus <= 0:
            break
        tied = np.flatnonzero(equal[name])[:surplus]
        kept[name][tied] = False
        surplus -= tied.size
    return kept


def _groups(
    scores: Mapping[str, Tensor], inside: dict[str, np.ndarray] | None, scope: Scope, sparsity: Sparsity
) -> list[tuple[list[str], int]]:
    """Which weights are compared with each other, and how many of them go."""
    sizes = {name: scores[name].numel() for name in sorted(scores)}
    if scope == "global":
        return [(list(sizes), pruned_count(sum(sizes.values()), sparsity))]
    if scope == "layer":
        return [([name], pruned_count(size, sparsity)) for name, size in sizes.items()]
    total = sum(sizes.values())
    budgets = BUDGETS[scope]({name: tuple(scores[name].shape) for name in sizes}, total - pruned_count(total, sparsity))
    goes = {name: size - budgets[name] for name, size in sizes.items()}
    if inside is not None:  # a layer may have been pruned more than its new budget says, by rounding: others go instead
        gone = {name: int(kept.size - np.count_nonzero(kept)) for name, kept in inside.items()}
        surplus = sum(max(gone[name] - goes[name], 0) for name in sizes)
        for name in sizes:
            room = max(goes[name] - gone[name], 0)
            goes[name] = max(goes[name], gone[name]) - min(room, surplus)
            surplus -= min(room, surplus)
    return [([name], goes[name]) for name in sizes]


def keep_largest(
    scores: Mapping[str, Tensor],
    sparsity: Sparsity,
    *,
    scope: Scope = "global",
    within: Mask | None = None,
    generator: torch.Generator | None = None,
) -> Mask:
    """Keep the largest scores; the mask is a subset of ``within`` and prunes ``sparsity`` of *all* weights.

    ``scope="global"`` compares all layers, ``"layer"`` prunes floor(sparsity x its size) of every layer, ``"erk"`` and
    ``"balanced"`` prune floor(sparsity x all) and deal out what is kept (see `layer_budgets`). The scores are compared
    as they are (take magnitudes first); ``generator`` is not used. Inputs are left as they are. UserError on NaN, on a
    sparsity outside [0, 1) and where ``within`` prunes more than is asked.
    """
    exact_sparsity(sparsity)
    if scope not in get_args(Scope):
        raise UserError(f"scope must be 'global', 'layer', 'erk' or 'balanced', not {scope!r}")
    _check_within(scores, within)
    flat = _flat(scores)
    inside = None if within is None else {name: within[name].cpu().reshape(-1).numpy() for name in flat}
    kept: dict[str, np.ndarray] = {}
    for names, count in _groups(scores, inside, scope, sparsity):
        part = {name: flat[name] for name in names}
        kept |= _keep_largest(part, inside and {name: inside[name] for name in names}, count)
    return {name: torch.from_numpy(kept[name]).reshape(score.shape).to(score.device) for name, score in scores.items()}


def keep_random(
    scores: Mapping[str, Tensor],
    sparsity: Sparsity,
    *,
    scope: Scope = "global",
    within: Mask | None = None,
    generator: torch.Generator | None = None,
) -> Mask:
    """Keep a uniformly random subset of the right size; of the scores only names, shapes and devices are used.

    The draw follows the sorted names and a CPU ``generator``, which must be given: there is no global randomness here.
    """
    if generator is None:
        raise UserError("a random mask needs a generator: pass generator=torch.Generator().manual_seed(0)")
    _flat(scores)  # a network that diverged is refused here as well
    draw = {
        # float64, because 24 random bits would collide among millions of weights and ties favour later positions
        name: torch.rand(scores[name].numel(), dtype=torch.float64, generator=generator, device=generator.device)
        for name in sorted(scores)
    }
    shaped = {name: draw[name].reshape(score.shape) for name, score in scores.items()}
    mask = keep_largest(shaped, sparsity, scope=scope, within=within)
    return {name: mask[name].to(score.device) for name, score in scores.items()}


def global_magnitude(
    scores: Mapping[str, Tensor],
    sparsity: Sparsity,
    *,
    within: Mask | None = None,
    generator: torch.Generator | None = None,
) -> Mask:
    """Keep the largest scores over all layers together (LTH, one-shot magnitude)."""
    return keep_largest(scores, sparsity, scope="global", within=within, generator=generator)


def layer_magnitude(
    scores: Mapping[str, Tensor],
    sparsity: Sparsity,
    *,
    within: Mask | None = None,
    generator: torch.Generator | None = None,
) -> Mask:
    """Keep the largest scores of every layer, all layers equally sparse."""
    return keep_largest(scores, sparsity, scope="layer", within=within, generator=generator)


def global_random(
    scores: Mapping[str, Tensor],
    sparsity: Sparsity,
    *,
    within: Mask | None = None,
    generator: torch.Generator | None = None,
) -> Mask:
    """Keep a random subset of all weights together."""
    return keep_random(scores, sparsity, scope="global", within=within, generator=generator)


def layer_random(
    scores: Mapping[str, Tensor],
    sparsity: Sparsity,
    *,
    within: Mask | None = None,
    generator: torch.Generator | None = None,
) -> Mask:
    """Keep a random subset of every layer, all layers equally sparse (RST, the algorithm of DLTH)."""
    return keep_random(scores, sparsity, scope="layer", within=within, generator=generator)


# --- operations -----------------------------------------------------------------------------------------------------


def full(weights: Mapping[str, Tensor]) -> Mask:
    """The mask that keeps everything."""
    return {name: torch.ones(weight.shape, dtype=torch.bool, device=weight.device) for name, weight in weights.items()}


def apply(mask: Mask, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """New tensors with +0.0 where the mask prunes (also where the weight was NaN); unmasked names are cloned."""
    return {
        name: weight.masked_fill(~mask[name].to(weight.device), 0.0) if name in mask else weight.clone()
        for name, weight in weights.items()
    }


def pruned_of(mask: Mask) -> int:
    """The number of pruned weights."""
    return sum(int((~kept).sum()) for kept in mask.values())


def size_of(mask: Mask) -> int:
    """The number of weights, pruned or kept."""
    return sum(kept.numel() for kept in mask.values())


def sparsity_of(mask: Mask) -> float:
    """Counted sparsity: pruned weights over all weights of the mask; 0 for an empty mask."""
    return pruned_of(mask) / max(size_of(mask), 1)


def layer_sparsity(mask: Mask) -> dict[str, float]:
    """Counted sparsity of each layer."""
    return {name: sparsity_of({name: kept}) for name, kept in mask.items()}


def _same_weights(first: Mask, second: Mask) -> list[str]:
    if first.keys() != second.keys() or any(first[name].shape != second[name].shape for name in first):
        raise UserError("the two masks are for different weights: give masks with the same names and shapes")
    return list(first)


def union(first: Mask, second: Mask) -> Mask:
    """Kept where either keeps."""
    return {name: first[name] | second[name] for name in _same_weights(first, second)}


def intersection(first: Mask, second: Mask) -> Mask:
    """Kept where both keep."""
    return {name: first[name] & second[name] for name in _same_weights(first, second)}


def shuffled(mask: Mask, generator: torch.Generator, *, within: Mask | None = None) -> Mask:
    """A new mask with the same count in every layer at random places: the sanity control of a ticket.

    ``within``, which ``mask`` lies inside of, is where the places are drawn from; without one it is everywhere.
    """
    _check_within(mask, within)
    drawn = {}
    for name in sorted(mask):
        flat = mask[name].reshape(-1)
        places = torch.arange(flat.numel(), device=flat.device)
        if within is not None:
            places = places[within[name].reshape(-1)]
        order = torch.randperm(places.numel(), generator=generator).to(flat.device)
        drawn[name] = flat.index_copy(0, places, flat[places[order]]).reshape(mask[name].shape)
    return {name: drawn[name] for name in mask}


def packed(mask: Mask) -> bytes:
    """One bit per weight, along the sorted names, padded to whole bytes at the very end only."""
    bits = [mask[name].cpu().reshape(-1).numpy() for name in sorted(mask)]
    return np.packbits(np.concatenate(bits)).tobytes() if bits else b""


def unpacked(data: bytes, shapes: Mapping[str, Iterable[int]]) -> Mask:
    """The inverse of `packed`; UserError where length or padding does not belong to ``shapes``."""
    sizes = {name: tuple(shapes[name]) for name in sorted(shapes)}
    total = sum(math.prod(shape) for shape in sizes.values())
    if len(data) != -(-total // 8):
        raise UserError(f"a mask of {total} weights takes {-(-total // 8)} bytes, not {len(data)}: the file is damaged")
    bits = np.unpackbits(np.frombuffer(data, np.uint8)).astype(bool)
    if bits[total:].any():
        raise UserError(
            f"the last {bits.size - total} bits of a mask of {total} weights must be 0: the file is damaged"
        )
    mask, start = {}, 0
    for name, shape in sizes.items():
        size = math.prod(shape)
        mask[name] = torch.from_numpy(bits[start : start + size].copy()).reshape(shape)
        start += size
    return mask


def digest(mask: Mask) -> str:
    """SHA-256 of names, shapes and bits; the same for equal masks whatever their device, layout or dict order."""
    shapes = json.dumps({name: list(mask[name].shape) for name in mask}, sort_keys=True)
    return hashlib.sha256(shapes.encode() + b"\0" + packed(mask)).hexdigest()
