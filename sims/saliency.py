"""Scores that ask the loss or the network's output: SNIP, GraSP and SynFlow. All work on a copy of the network."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from unilth.sims.forward import check_shape
from unilth.sims.masks import prunable
from unilth.sims.scores import Score, Sight, lamp, magnitude, random

TEMPERATURE = 200.0  # GraSP's logits are divided by it (Wang et al. 2020, published code)


def snip(sight: Sight) -> dict[str, Tensor]:
    """|g w|, the change of the loss to first order when w goes (Lee, Ajanthan and Torr 2019)."""
    network, weights = _copied(sight)
    loss = F.cross_entropy(_logits(network, sight), sight.labels)
    return {name: (g * weights[name]).abs().detach() for name, g in _gradients(loss, weights).items()}


def grasp(sight: Sight) -> dict[str, Tensor]:
    """w (H g): large where the gradient flow needs the weight (Wang, Zhang and Grosse 2020).

    Their score is -w (H g), and its largest values go. Signed: half of the weights may score below 0.
    """
    network, weights = _copied(sight)
    with sdpa_kernel(SDPBackend.MATH):  # the fast kernels of attention have no second derivative
        loss = F.cross_entropy(_logits(network, sight) / TEMPERATURE, sight.labels)
        gradients = _gradients(loss, weights, create_graph=True)
        flow = sum((g * g.detach()).sum() for g in gradients.values())
        assert isinstance(flow, Tensor)
        products = _gradients(flow, weights)
    return {name: (weights[name] * h).detach() for name, h in products.items()}


def synflow(sight: Sight) -> dict[str, Tensor]:
    """|w dR/dw|, R the sum of the outputs for ones through the network of absolute values (Tanaka et al. 2020).

    Data-free, in evaluation mode and in float64, where products of the absolute weights of some hundred layers still
    have their place. Meant for many steps inside one draw (``MaskRule.steps``), each under the last one's mask.
    """
    network = copy.deepcopy(sight.network).double()
    network.eval()  # an override of train() or eval() may return nothing
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.abs_()
    weights = _masked(prunable(network), sight)
    ones = torch.ones(1, *sight.inputs.shape[1:], dtype=torch.float64, device=sight.inputs.device)
    gradients = _gradients(network(ones).sum(), weights)
    return {name: (g * weights[name]).abs().detach() for name, g in gradients.items()}


SCORES: dict[str, Score] = {
    "magnitude": magnitude,
    "random": random,
    "lamp": lamp,
    "snip": snip,
    "grasp": grasp,
    "synflow": synflow,
}


def _copied(sight: Sight) -> tuple[nn.Module, dict[str, nn.Parameter]]:
    """A copy in training mode, its dropout switched off, under the mask so far."""
    network = copy.deepcopy(sight.network)
    network.train()
    for module in network.modules():
        if isinstance(module, nn.modules.dropout._DropoutNd):
            module.eval()
    return network, _masked(prunable(network), sight)


def _logits(network: nn.Module, sight: Sight) -> Tensor:
    """What the network makes of the examples: a number for each of the labels that occur, at least."""
    logits: Tensor = network(sight.inputs)
    check_shape(logits, network, sight.inputs, 1 + int(sight.labels.max()), exact=False)
    return logits


def _gradients(of: Tensor, weights: dict[str, nn.Parameter], create_graph: bool = False) -> dict[str, Tensor]:
    """The gradient of every weight by name, 0 for one that ``of`` does not depend on."""
    found = torch.autograd.grad(of, list(weights.values()), create_graph=create_graph, allow_unused=True)
    return {n: torch.zeros_like(w) if g is None else g for (n, w), g in zip(weights.items(), found, strict=True)}


@torch.no_grad()
def _masked(weights: dict[str, nn.Parameter], sight: Sight) -> dict[str, nn.Parameter]:
    for name, weight in weights.items():
        weight.requires_grad_(True)  # a frozen layer is scored as well
        if name in sight.mask:
            weight.masked_fill_(~sight.mask[name], 0.0)
    return weights


__all__: Sequence[str] = ("SCORES", "grasp", "snip", "synflow")
