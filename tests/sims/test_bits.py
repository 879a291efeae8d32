"""Equal bit for bit, and finite, in every type that a network may hold."""

from __future__ import annotations

import pytest
import torch

from unilth.sims.bits import finite, same_bits

NAN = torch.tensor([1.0, torch.nan])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float8_e4m3fn])
def test_nan_is_the_same_as_itself_and_not_finite(dtype):
    values = NAN.to(dtype)
    assert same_bits(values, values.clone()) and not finite(values)
    assert not same_bits(values, values[:1].expand(2)) and finite(values[:1])
    assert not same_bits(values, values[:1])


def test_types_shapes_and_layouts_are_compared_and_strides_are_not():
    values = torch.arange(6).reshape(2, 3)
    assert same_bits(values, values.t().contiguous().t()) and finite(values)
    assert not same_bits(values, values.int()) and not same_bits(values, values.reshape(3, 2))
    assert not same_bits(values.reshape(3, 2), values)
    assert not same_bits(torch.eye(2), torch.eye(2).to_sparse())
    assert same_bits(torch.eye(2).to_sparse(), torch.eye(2).to_sparse())
    assert not same_bits(torch.eye(2).to_sparse(), 2 * torch.eye(2).to_sparse())
    assert not same_bits(torch.tensor([0.0]), torch.tensor([-0.0])) and same_bits(torch.tensor(1), torch.tensor(1))
    assert not finite(torch.tensor([torch.inf])) and not finite(torch.tensor([complex(0, torch.inf)]))
    assert finite(torch.tensor([1e300], dtype=torch.float64)) and finite(torch.tensor([2**60]))  # beyond float32
    assert same_bits(torch.zeros(0), torch.zeros(0)) and finite(torch.zeros(0))
