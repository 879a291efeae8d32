"""Whether two tensors are the same bit for bit, NaN and types without arithmetic included."""

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


def finite(values: Tensor) -> bool:
    """No NaN and no infinity in it."""
    if not (values.is_floating_point() or values.is_complex()):
        return True
    narrow = values.is_floating_point() and values.element_size() == 1  # torch has no isfinite for these
    return bool(torch.isfinite(values.float() if narrow else values).all())


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)
