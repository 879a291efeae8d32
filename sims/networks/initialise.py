"""Initialisation of every parameter and buffer from one explicit generator."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from unilth.errors import UserError


def materialise(network: nn.Module) -> None:
    """Give a network that was built on the meta device memory on the CPU, not yet filled; what is tied stays tied.

    `nn.Module.to_empty` does the same by way of torch's compiler, whose import costs seconds.
    """
    made: dict[torch.Tensor, torch.Tensor] = {}  # tensors hash by identity
    for module in network.modules():
        for own in (module._parameters, module._buffers):
            for name, tensor in own.items():
                if tensor is None:
                    continue
                if tensor not in made:
                    empty = torch.empty(tensor.shape, dtype=tensor.dtype)
                    parameter = isinstance(tensor, nn.Parameter)
                    made[tensor] = nn.Parameter(empty, tensor.requires_grad) if parameter else empty
                own[name] = made[tensor]  # type: ignore[assignment]


@torch.no_grad()
def initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Kaiming normal (fan-in, gain sqrt 2) for Linear and Conv weights, biases 0, normalisation 1 and 0; in place.

    The initialisation that RST starts from (Bai et al. 2022), used for every recipe. A module with parameters of its
    own may draw them itself, in ``draw_own(generator)``. UserError for any other layer with parameters or buffers that
    is not known here, which would otherwise stay uninitialised.
    """
    for name, module in network.named_modules():
        own = {*module._parameters, *module._buffers}
        if isinstance(module, (nn.Linear, _ConvNd)) and not getattr(module, "transposed", False):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0.0, math.sqrt(2.0 / fan_in), generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, (_BatchNorm, nn.LayerNorm, nn.GroupNorm)):
            module.reset_parameters()  # ones, zeros and fresh statistics: draws nothing
        elif hasattr(module, "draw_own"):
            module.draw_own(generator)
        elif own:
            kind = type(module).__name__
            raise UserError(f"the layer {name!r} ({kind}) has {', '.join(sorted(own))} that nothing here initialises")
