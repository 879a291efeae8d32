"""Augmentation of a whole batch at once, on its device: shifted crop, horizontal flip, cutout."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from unilth.errors import UserError


@dataclass(frozen=True)
class Augment:
    """What is done to every training image anew; all off by default.

    ``crop`` pads each side by that many pixels of 0 (black) and cuts the original size out at a uniform place (He et
    al. 2016 use 4 on CIFAR); ``flip`` mirrors left and right with probability 1/2; ``cutout`` overwrites a square of
    that many pixels around a uniform centre, clipped at the border (DeVries and Taylor 2017), with ``fill`` per channel
    (0 where it is not given).
    """

    crop: int = 0
    flip: bool = False
    cutout: int = 0
    fill: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        for name in ("crop", "cutout"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise UserError(f"{name} must be a whole number of pixels from 0 on, not {value!r}: give for example 4")
        if not isinstance(self.flip, bool):
            raise UserError(f"flip must be True or False, not {self.flip!r}")
        object.__setattr__(self, "fill", tuple(self.fill))

    def __call__(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        """The batch (n, channels, height, width) augmented, of the same dtype, on the same device; the input stays.

        Drawn in this order, one value per image each, and only what is switched on: rows and columns of the shift
        (uniform in 0 ... 2 crop), flips, rows and columns of the cutout's centre. A generator of the batch's device is
        drawn from without waiting for the device; a CPU generator gives the same images on every device. UserError for
        a batch that is no batch of images.
        """
        if batch.ndim != 4:
            raise UserError(f"augmentation takes images (n, channels, height, width), not a shape {tuple(batch.shape)}")
        if self.crop or self.flip:
            batch = self._shifted(batch, generator)
        return self._cut_out(batch, generator) if self.cutout else batch

    def to_dict(self) -> dict[str, object]:
        """Plain values for a record."""
        return dataclasses.asdict(self) | {"fill": list(self.fill)}

    def _shifted(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        count, channels, height, width = batch.shape
        rows = torch.arange(height, device=batch.device).expand(count, height)
        columns = torch.arange(width, device=batch.device).expand(count, width)
        if self.crop:
            batch = F.pad(batch, (self.crop,) * 4)
            rows = rows + _draw(2 * self.crop + 1, count, batch.device, generator)
            columns = columns + _draw(2 * self.crop + 1, count, batch.device, generator)
        if self.flip:
            columns = torch.where(_draw(2, count, batch.device, generator) == 1, columns.flip(1), columns)
        places = rows[:, :, None] * batch.shape[3] + columns[:, None, :]  # gather along one axis is the fastest by far
        places = places.reshape(count, 1, -1).expand(-1, channels, -1)
        return batch.flatten(2).gather(2, places).view(count, channels, height, width)

    def _cut_out(self, batch: Tensor, generator: torch.Generator) -> Tensor:
        count, channels, height, width = batch.shape
        if len(self.fill) not in (0, channels):
            raise UserError(f"fill has {len(self.fill)} values for images of {channels} channels: give one per channel")
        inside = []
        for size in (height, width):
            first = _draw(size, count, batch.device, generator) - self.cutout // 2
            places = torch.arange(size, device=batch.device)
            inside.append((places >= first) & (places < first + self.cutout))
        square = (inside[0][:, :, None] & inside[1][:, None, :])[:, None]
        if not any(self.fill):
            return batch.masked_fill(square, 0)
        batch = batch.clone(memory_format=torch.preserve_format)
        for channel, value in enumerate(self.fill):  # scalars, because a tensor would have to be sent to the device
            batch[:, channel].masked_fill_(square[:, 0], value)
        return batch


def _draw(bound: int, count: int, device: torch.device, generator: torch.Generator) -> Tensor:
    """Whole numbers (count, 1), uniform in 0 ... bound - 1."""
    drawn = torch.randint(bound, (count, 1), generator=generator, device=generator.device)
    return drawn.to(device, non_blocking=True)
