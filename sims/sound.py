"""Whether training ended well: has it diverged, and is what it left behind a ticket?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from unilth.sims.bits import finite, same_bits
from unilth.sims.masks import Mask


def diverged(state: Mapping[str, Tensor], start: Mapping[str, Tensor], row: Mapping[str, Any] | None) -> str | None:
    """What says that training diverged, with the remedy, or None.

    ``state`` are the weights and buffers after a phase, ``start`` those before all training, ``row`` the epoch that
    they are from. An infinity that was there from the start, as in a causal mask, is none of training's.
    """
    for name, value in state.items():
        if not finite(value) and not (name in start and same_bits(value, start[name])):
            return f"{name} is not finite: lower lr"
    if row is not None and not math.isfinite(row["train_loss"]):
        return f"the train loss is {row['train_loss']}: lower lr"
    if row is not None and not math.isfinite(row["validation_loss"]):
        return f"the validation loss is {row['validation_loss']}: lower lr, or look at evaluation mode"
    return None


def no_ticket(mask: Mask, weights: Mapping[str, Tensor], initial: Mapping[str, Tensor]) -> str | None:
    """What the network did so that these could not be used as a ticket, or None: what is refused on loading."""
    for name, kept in mask.items():
        if name not in weights or weights[name].shape != kept.shape:
            return f"has a state_dict without the weight {name}, so that no ticket could be loaded: leave out its hooks"
        if bool(weights[name][~kept].count_nonzero()):
            return f"writes to its own weight {name}, so that what is pruned is not 0: compute with a changed copy"
    for name in [*initial, *weights]:
        if name not in weights or name not in initial or not _like(weights[name], initial[name]):
            return f"has {name} in another type or shape after training than before it, or not at all: keep both"
        if not finite(initial[name]) and (name in mask or bool((initial[name] != initial[name]).any())):
            return f"has values in {name} from the start that are not finite: initialise it"
    return None


def _like(first: Tensor, second: Tensor) -> bool:
    return first.dtype == second.dtype and first.shape == second.shape
