"""What the tree in a checkpoint must look like: a search writes no other, and one that was edited would go astray.

The digests in a checkpoint tell damage, not intent: whoever edits one can make them anew. These checks are cheap and
see what contradicts itself; a consistent forgery is another run, which no check of the file alone can tell.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

MOST_STEPS = 2**53
MOST_SECONDS = 1e12  # thirty thousand years


def misfit(tree: Mapping[str, Any]) -> str | None:
    """What is wrong with the tree of a checkpoint, in some words; None for one that a search may have written."""
    try:
        return _log(tree) or _training(tree["training"]) or _rest(tree)
    except KeyError as error:
        return f"it has no {str(error.args[0])[:40]}"
    except (TypeError, ValueError, AttributeError, IndexError, OverflowError):
        return "it is no tree of a run"


def _log(tree: Mapping[str, Any]) -> str | None:
    """Finished phases, the rows of their epochs, and the masks that were chosen by then."""
    for phase in tree["phases"]:
        if not _whole(phase["epochs"]) or phase["epochs"] > len(tree["rows"]):
            return "a phase has another number of epochs than rows"
    logged = [_place(phase) for phase in tree["phases"] for _ in range(phase["epochs"])]
    if not isinstance(tree["rows"], list) or logged != [_place(row) for row in tree["rows"]]:
        return "its rows are not those of its phases"
    for mask in tree["chosen"]:
        if not isinstance(mask, Tensor) or mask.dtype != torch.uint8 or mask.ndim != 1:
            return "a mask is no packed mask"
    name, number = tree["training"]["phase"]
    # a mask is drawn before the round's press, and after its free training and sorting
    chosen = number if name in ("press", "tune") else max(number - 1, 0)
    return None if len(tree["chosen"]) == chosen else "it has another number of masks than rounds"


def _training(training: Mapping[str, Any]) -> str | None:
    """The phase on its way."""
    network, rows = training["network"], training["rows"]
    if not isinstance(network, dict) or not all(isinstance(value, Tensor) for value in network.values()):
        return "its network is no state of one"
    if not isinstance(rows, list) or any([row["phase"], row["round"]] != training["phase"] for row in rows):
        return "the rows of its last phase are of another"
    if not _whole(training["step"]) or training["step"] > MOST_STEPS:
        return "its step is no number of steps"
    if not isinstance(training["stopped"], bool):
        return "whether it stopped is not true or false"
    if not (training["snapshot"] is None or _alike(training["snapshot"], network)):
        return "its snapshot is not of its network"
    shapes = {value.shape for value in network.values()}
    for memory in training["optimizer"]:
        for value in memory.values():  # momentum
            if not (value.is_floating_point() and value.shape in shapes):
                return "its optimizer's memory is not of its network"
    return _watch(training["watch"], network)


def _watch(watch: Mapping[str, Any], network: Mapping[str, Tensor]) -> str | None:
    """What a stopping rule has seen; the rule itself knows which of these it has."""
    kinds: dict[str, tuple[type, ...]] = {
        "best": (int, float), "best_epoch": (int, type(None)), "epochs": (int,), "fired": (bool,), "masks": (list,),
    }  # fmt: skip
    if any(type(watch[name]) not in kind for name, kind in kinds.items() if name in watch):
        return "what its stopping rule has seen is of a wrong type"
    masks = [kept for mask in watch.get("masks", []) for kept in mask.items()]
    if any(kept.dtype != torch.bool or kept.shape != network[name].shape for name, kept in masks):
        return "the masks that its stopping rule has seen are not of its network"
    state = watch.get("_state")
    return None if state is None or _alike(state, network) else "its best state is not of its network"


def _rest(tree: Mapping[str, Any]) -> str | None:
    if not (tree["rewound"] is None or _alike(tree["rewound"], tree["training"]["network"])):
        return "the state that it rewinds to is not of its network"
    seconds = tree["seconds"]
    if type(seconds) not in (int, float) or not 0 <= seconds <= MOST_SECONDS or not math.isfinite(seconds):
        return "its seconds are no time"
    return None


def _whole(value: Any) -> bool:
    return type(value) is int and value >= 0


def _place(row: Mapping[str, Any]) -> tuple[Any, Any]:
    return row["phase"], row["round"]


def _alike(state: Any, network: Mapping[str, Tensor]) -> bool:
    """Whether a state has the names, shapes and types of another."""
    return isinstance(state, dict) and {name: (value.shape, value.dtype) for name, value in state.items()} == {
        name: (value.shape, value.dtype) for name, value in network.items()
    }
