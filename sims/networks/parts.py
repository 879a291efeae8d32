"""What a network of the user's own is made of: whatever a mask, a ticket or a copy could not hold is refused."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from unilth.errors import UserError
from unilth.sims.bits import finite, same_bits
from unilth.sims.imported import in_short
from unilth.sims.masks import prunable
from unilth.sims.networks.memory import check_memory

TRAINED = (torch.float16, torch.bfloat16, torch.float32, torch.float64)  # others lack what training and masks need


def check_parts(network: nn.Module, name: str) -> None:
    """UserError for a network that cannot be pruned or saved; ``name`` is what it is called by."""
    for key, module in network.named_modules():
        if isinstance(module, (nn.Linear, _ConvNd)) and module._parameters.get("weight") is None:
            raise UserError(
                f"the network {name!r}: the weight of the layer {key!r} is computed from other tensors, which no mask "
                "holds at 0: remove that, for example with torch.nn.utils.parametrize.remove_parametrizations"
            )
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    for key, tensor in tensors.items():
        if is_lazy(tensor):
            raise UserError(f"the network {name!r}: {key} is lazy, its size still unknown: give the layer its sizes")
        if tensor.layout != torch.strided:
            kind = str(tensor.layout).removeprefix("torch.")
            raise UserError(f"the network {name!r}: {key} is a {kind} tensor: keep it dense, tickets hold nothing else")
        if tensor.is_complex():
            raise UserError(f"the network {name!r}: {key} is complex: masks are for real weights only")
        if tensor.device.type != "cpu":
            raise UserError(f"the network {name!r}: {key} is on {tensor.device}: build it on the CPU")
        _check_quantized(tensor, key, name)
    weights = prunable(network)
    for key, parameter in network.named_parameters():
        if parameter.dtype not in TRAINED and (parameter.requires_grad or key in weights):
            kind = str(parameter.dtype).removeprefix("torch.")
            raise UserError(
                f"the network {name!r}: {key} is {kind}: what is trained or pruned, also where it is frozen, must be "
                "float16, bfloat16, float32 or float64: keep other types in buffers"
            )
    if not any(weight.requires_grad for weight in weights.values()):
        raise UserError(f"the network {name!r} has no Linear or Conv layer whose weight is trained: none to prune")
    _check_state(network, name)
    check_memory(network, name)
    _check_values(network, name)


def _check_quantized(tensor: torch.Tensor, key: str, name: str) -> None:
    if tensor.is_quantized:
        raise UserError(f"the network {name!r}: {key} is quantized: tickets hold plain numbers, use dequantize()")


def _check_state(network: nn.Module, name: str) -> None:
    """Its state_dict holds tensors only, every parameter under its own name, and can be loaded again."""
    state = _read_state(network, name)
    for key, value in state.items():
        if not torch.is_tensor(value):
            raise UserError(
                f"the network {name!r}: its state_dict has {key}, a {type(value).__name__}: tickets hold tensors only, "
                "keep it in a buffer or leave get_extra_state out"
            )
        _check_quantized(value, key, name)
    for key, parameter in network.named_parameters(remove_duplicate=False):
        if key not in state or not same_bits(parameter, state[key]):
            raise UserError(
                f"the network {name!r}: its state_dict does not hold the parameter {key} under its name and as it is: "
                "leave out hooks that change state_dict"
            )
    try:
        network.load_state_dict(state)
    except Exception as error:
        raise UserError(f"the network {name!r} cannot load its own state_dict: {in_short(error)}") from None


def _read_state(network: nn.Module, name: str) -> dict[str, Any]:
    try:
        return dict(network.state_dict())
    except Exception as error:
        raise UserError(f"the state_dict of the network {name!r} fails: {in_short(error)}") from None


def _check_values(network: nn.Module, name: str) -> None:
    """No NaN in what a ticket holds, and no infinity in what is trained or pruned: a causal mask may have some."""
    moving = {key for key, parameter in network.named_parameters() if parameter.requires_grad} | {*prunable(network)}
    for key, value in network.state_dict().items():
        if finite(value):
            continue
        if key in moving or bool((value != value).any()):  # this comparison is there for every type
            what = "NaN" if bool((value != value).any()) else "an infinity"
            raise UserError(
                f"the network {name!r}: {key} holds {what} from the start, which no ticket may hold: initialise it, or "
                "register a constant buffer with persistent=False"
            )
