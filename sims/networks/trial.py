"""A network of the user's own is tried as a run will use it, before the run; the one that is tried is thrown away."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from unilth.errors import UserError
from unilth.sims.bits import same_bits
from unilth.sims.imported import in_short
from unilth.sims.masks import prunable

MOST = 512  # inputs that a network is tried on: a whole batch made for a GPU could take minutes here


@torch.no_grad()
def try_out(network: nn.Module, name: str, shape: tuple[int, ...], classes: int, batch: int) -> None:
    """UserError for a network that cannot be evaluated on two inputs of zeros or trained on a batch of noise."""
    parameters = dict(network.named_parameters())
    weights = {key: weight.clone() for key, weight in prunable(network).items()}
    form = {key: (value.dtype, value.shape) for key, value in network.state_dict().items()}
    with chance_kept():
        network.eval()  # an override of train() or eval() may return nothing
        _check_logits(network, name, torch.zeros(2, *shape), classes)
        left_out = {key: value for key, value in network.named_buffers() if key not in network.state_dict()}
        before = {key: value.clone() for key, value in left_out.items()}
        network.train()
        _check_logits(network, name, torch.rand(min(batch, MOST), *shape), classes)
    _check_parameters(network, name, parameters, weights)
    for key, value in network.state_dict().items():
        if form.get(key) != (value.dtype, value.shape):
            raise UserError(
                f"the network {name!r}: {key} has another type or shape after a forward pass: keep both, or rewinding, "
                "checkpoints and tickets could not put it back"
            )
    after = dict(network.named_buffers())
    for key, value in before.items():
        if key not in after or not same_bits(value, after[key]):
            raise UserError(
                f"the network {name!r}: the buffer {key} changes in training and is not in its state_dict: register it "
                "with persistent=True, or early stopping, rewinding, checkpoints and tickets would miss it"
            )


def _check_parameters(
    network: nn.Module, name: str, parameters: dict[str, nn.Parameter], weights: dict[str, Tensor]
) -> None:
    """A forward pass leaves every parameter the object that it was, and the weights that a mask holds untouched."""
    now = dict(network.named_parameters())
    for key in {**parameters, **now}:
        if now.get(key) is not parameters.get(key):
            raise UserError(
                f"the network {name!r} replaces or adds the parameter {key} in a forward pass, which the optimizer "
                "would not train: compute with another tensor instead"
            )
    for key, before in weights.items():
        if not same_bits(before, parameters[key]):
            raise UserError(
                f"the network {name!r} writes to its own weight {key} in a forward pass, where no mask would hold it "
                "at 0: compute with a changed copy of it instead"
            )


def _check_logits(network: nn.Module, name: str, inputs: Tensor, classes: int) -> None:
    count, shape = len(inputs), tuple(inputs.shape[1:])
    training = " in training" if network.training else ""
    try:
        logits = network(inputs)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # it may be of a kind of its own that is no Exception
        size = f"{training}, {count} at a time" if training else ""
        raise UserError(f"the network {name!r} cannot take inputs of shape {shape}{size}: {in_short(error)}") from None
    if not torch.is_tensor(logits) or logits.shape != (count, classes) or not logits.is_floating_point():
        got = f"{tuple(logits.shape)} in {logits.dtype}" if torch.is_tensor(logits) else type(logits).__name__
        raise UserError(
            f"the network {name!r} must map {count} inputs of shape {shape}{training} to ({count}, {classes}) logits, "
            f"not to {got}"
        )


@contextmanager
def chance_kept() -> Iterator[None]:
    """Python's and NumPy's global generators are afterwards as they were."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (a network of the user's may draw from it)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
