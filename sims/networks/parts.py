"""What a network of the user's own is made of: whatever a mask, a ticket or a copy could not hold is refused."""

from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy

from unilth.errors import UserError
from unilth.sims.bits import finite
from unilth.sims.masks import prunable


def check_parts(network: nn.Module, name: str) -> None:
    """UserError for a network that cannot be pruned, saved or copied; ``name`` is what it is called by."""
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
    if not any(weight.requires_grad for weight in prunable(network).values()):
        raise UserError(f"the network {name!r} has no Linear or Conv layer whose weight is trained: none to prune")
    for key, value in network.state_dict().items():
        if not torch.is_tensor(value):
            raise UserError(
                f"the network {name!r}: its state_dict has {key}, a {type(value).__name__}: tickets hold tensors only, "
                "keep it in a buffer or leave get_extra_state out"
            )
    _check_values(network, name)
    try:
        copy.deepcopy(network)
    except Exception as error:
        raise UserError(f"the network {name!r} cannot be copied ({type(error).__name__}): runs train copies") from None


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
