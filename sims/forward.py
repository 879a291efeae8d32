"""From stored inputs to logits: prepared, in the layout and the precision of the run, on the device."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from unilth.errors import UserError
from unilth.sims.data import Dataset
from unilth.sims.imported import in_short

Precision = Literal["float32", "bfloat16"]


class NetworkError(UserError):
    """What went wrong inside a network; `execute` puts the network's name in."""


@contextmanager
def inside(network: nn.Module, batch: Tensor) -> Iterator[None]:
    """Whatever the network raises on ``batch`` becomes a NetworkError. An interruption is the user's and stays one."""
    try:
        yield
    except (UserError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        doing = "training" if network.training else "evaluation"
        raise NetworkError(f"the network fails on a batch of {len(batch)} in {doing}: {in_short(error)}") from error


def check_shape(logits: Tensor, network: nn.Module, inputs: Tensor, outputs: int, *, exact: bool) -> None:
    """NetworkError unless ``logits`` are a row for each of ``inputs``, of ``outputs`` numbers (or more: ``exact``)."""
    count, found = len(inputs), tuple(logits.shape)
    if len(found) == 2 and found[0] == count and (found[1] == outputs or (found[1] > outputs and not exact)):
        return
    doing = "training" if network.training else "evaluation"
    raise NetworkError(
        f"the network maps a batch of {count} in {doing} to logits of shape {found}, not ({count}, {outputs}): return "
        "as many for every input, whatever the batch size"
    )


class Forward:
    """Calls ``network`` on inputs as ``data`` stores them.

    A network with two-dimensional convolutions is put into the layout channels-last, in place, and gets images in it:
    values and shapes are the same, only the strides are others. ``bfloat16`` is autocast: weights, gradients and the
    optimizer stay in float32, products are taken in bfloat16, and logits come back in float32. It pays on GPUs and on
    processors with instructions for it; without them it is many times slower than float32.
    """

    def __init__(self, network: nn.Module, data: Dataset, precision: Precision = "float32") -> None:
        if precision not in get_args(Precision):
            raise UserError(f"precision must be 'float32' or 'bfloat16', not {precision!r}")
        self.network, self.data, self.half = network, data, precision == "bfloat16"
        self.outputs: int | None = None
        self.channels_last = any(isinstance(module, nn.Conv2d) for module in network.modules())
        if self.channels_last:
            channels_last(network)

    def __call__(self, stored: Tensor) -> Tensor:
        if self.channels_last and stored.ndim == 4:
            stored = stored.contiguous(memory_format=torch.channels_last)
        inputs = stored if stored.is_floating_point() else self.data.prepare(stored)
        with inside(self.network, inputs):
            if not self.half:
                return self._checked(self.network(inputs), inputs)
            with torch.autocast(inputs.device.type, torch.bfloat16):
                return self._checked(self.network(inputs).float(), inputs)

    def _checked(self, logits: Tensor, inputs: Tensor) -> Tensor:
        """The logits, if they are (n, outputs): as many in every batch, and one for each class at least."""
        if torch.is_tensor(logits):  # shapes only, which wait for no device; the loss refuses what is no tensor
            check_shape(logits, self.network, inputs, self.outputs or self.data.classes, exact=self.outputs is not None)
            self.outputs = logits.shape[1]
        return logits


def channels_last(network: nn.Module) -> None:
    """Put every four-dimensional parameter into channels-last, in place: the parameters stay the same objects."""
    for parameter in network.parameters():
        if parameter.ndim == 4 and not parameter.is_contiguous(memory_format=torch.channels_last):
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
