"""Tensors of any type: whether two are the same bit for bit, and whether one is finite."""

from __future__ import annotations

import torch
from torch import Tensor


def same_bits(first: Tensor, second: Tensor) -> bool:
    """Same type, shape and bits; where the two lie, and with which strides, does not matter."""
    if first.dtype != second.dtype or first.shape != second.shape or first.layout != second.layout:
        return False
    if first.layout != torch.strided:
        first, second = first.to_dense(), second.to_dense()
    return torch.equal(_bytes(first), _bytes(second).to(first.device))


def plain(value: Tensor) -> Tensor:
    """The values in one row, in a dtype that torch can judge: it lacks functions of small floats and unsigned numbers.

    What is finite, NaN or not 0 stays so.
    """
    flat = value.reshape(-1)
    if value.is_floating_point() and value.element_size() == 1:
        return flat.float()
    return flat.double() if value.dtype in (torch.uint16, torch.uint32, torch.uint64) else flat


def finite(values: Tensor) -> bool:
    """No NaN and no infinity in it."""
    return bool(torch.isfinite(plain(values)).all())


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)
