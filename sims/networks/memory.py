"""Weights that share memory without being one object: a copy gives each memory of its own, and ties them no longer."""

from __future__ import annotations

from itertools import chain, combinations

import torch
from torch import Tensor, nn

from unilth.errors import UserError


def check_memory(network: nn.Module, name: str) -> None:
    """UserError where a parameter shares memory with another parameter or buffer, or with itself as after expand.

    A parameter that is registered under several names is one object and appears once; parts of one tensor that do not
    overlap share nothing. Two buffers keep what they share in a copy. Only constant buffers, which are not in the
    state_dict, as every parameter is, may share memory with themselves: nothing can be loaded into it.
    """
    tensors: dict[str, Tensor] = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    state = network.state_dict()
    for key, tensor in tensors.items():
        if key in state and _overlaps_itself(tensor):
            raise UserError(
                f"the network {name!r}: several values of {key} share memory, as after expand, and cannot be trained "
                "or loaded each on its own: give it a clone()"
            )
    storages: dict[int, list[tuple[str, Tensor]]] = {}
    for key, tensor in tensors.items():
        if tensor.numel():
            storages.setdefault(tensor.untyped_storage().data_ptr(), []).append((key, tensor))
    for (key, first), (other, second) in chain(*(combinations(within, 2) for within in storages.values())):
        if (isinstance(first, nn.Parameter) or isinstance(second, nn.Parameter)) and _overlap(first, second):
            raise UserError(
                f"the network {name!r}: {key} and {other} share memory without being one object, which ties them no "
                "longer in a copy, and runs train copies: tie the objects, as in b.weight = a.weight, or clone() one"
            )


def _overlaps_itself(tensor: Tensor) -> bool:
    reach = 0  # of the strides so far: a larger one cannot lead to the same place
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if stride <= reach:
            places = _places(tensor)
            return len(places.unique()) < len(places)
        reach += stride * (size - 1)
    return False


def _overlap(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors in the same storage have a place there in common."""
    (begin, end), (other_begin, other_end) = _span(first), _span(second)
    if end <= other_begin or other_end <= begin:  # as parts of a flat tensor, which may have many values
        return False
    return bool(torch.isin(_places(first), _places(second)).any())


def _span(tensor: Tensor) -> tuple[int, int]:
    """The first byte in its storage, and the one after the last."""
    last = sum(stride * (size - 1) for stride, size in zip(tensor.stride(), tensor.shape, strict=True))
    begin = tensor.storage_offset()
    return begin * tensor.element_size(), (begin + last + 1) * tensor.element_size()


def _places(tensor: Tensor) -> Tensor:
    """Where each value begins in the storage, in bytes."""
    places = torch.tensor(tensor.storage_offset())
    for stride, size in zip(tensor.stride(), tensor.shape, strict=True):
        places = places.unsqueeze(-1) + stride * torch.arange(size)
    return places.reshape(-1) * tensor.element_size()
