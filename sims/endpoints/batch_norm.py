"""Batch-norm statistics measured again: weights between two networks, or new ones, need statistics of their own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from unilth.sims.training import EVALUATION_BATCH


@torch.no_grad()
def measure_statistics(network: nn.Module, inputs: Tensor) -> nn.Module:
    """Set every running mean and variance to the average over ``inputs`` in batches, in place; returns the network.

    As Izmailov et al. 2018 do after averaging weights. Weights, modes and momenta stay; a network without batch norm
    is left alone.
    """
    norms = [module for module in network.modules() if isinstance(module, _BatchNorm) and module.track_running_stats]
    if not norms:
        return network
    modes = {module: module.training for module in network.modules()}
    momenta = [norm.momentum for norm in norms]
    network.eval()  # dropout stays off
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the average of all batches
        norm.train()
    for batch in inputs.split(EVALUATION_BATCH):
        network(batch)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    for module, mode in modes.items():
        module.training = mode
    return network
