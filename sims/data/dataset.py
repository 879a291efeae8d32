"""What a data set is here."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unilth.errors import UserError
from unilth.sims.data.augment import Augment
from unilth.sims.streams import stream

Split = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Dataset:
    """Inputs (n, channels, height, width) in float32 or uint8 and labels (n,) in int64, in three disjoint splits.

    Images in uint8 need ``mean`` and ``deviation``, one number per channel on the scale 0 ... 1, of the training split;
    `prepare` makes network inputs of them. ``augment`` is what training does to images as they are stored, before
    `prepare`. ``source`` says in plain values where the data came from, for the record. Validation data steers stopping
    and nothing else; test data is read once, at the end. UserError for splits that do not fit together.
    """

    name: str
    classes: int
    train: Split
    validation: Split
    test: Split
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()
    augment: Augment | None = None
    source: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for split in ("train", "validation", "test"):
            inputs, labels = getattr(self, split)
            if len(inputs) == 0 or len(inputs) != len(labels):
                raise UserError(f"{self.name}: the {split} split has {len(inputs)} inputs and {len(labels)} labels")
            if int(labels.min()) < 0 or int(labels.max()) >= self.classes:
                raise UserError(f"{self.name}: the labels of the {split} split must be in 0 ... {self.classes - 1}")
            if inputs.dtype != self.train[0].dtype or inputs.shape[1:] != self.train[0].shape[1:]:
                raise UserError(f"{self.name}: the {split} split has inputs of another shape or type than training")
        self._check_scale()

    def _check_scale(self) -> None:
        stored = self.train[0]
        if stored.is_floating_point():
            if self.mean or self.deviation:
                raise UserError(
                    f"{self.name}: inputs in {stored.dtype} are taken as they are: leave mean and deviation out"
                )
            return
        if stored.dtype != torch.uint8 or stored.ndim != 4:
            raise UserError(
                f"{self.name}: inputs must be floating-point numbers or images in uint8, not {stored.dtype} of the "
                f"shape {tuple(stored.shape)}"
            )
        for name in ("mean", "deviation"):
            values = getattr(self, name)
            if len(values) != stored.shape[1] or not all(map(math.isfinite, values)):
                raise UserError(f"{self.name}: {name} needs {stored.shape[1]} finite numbers, one per channel")
        if min(self.deviation) <= 0:
            raise UserError(f"{self.name}: deviation must be positive, not {min(self.deviation)}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.train[0].shape[1:])

    def to(self, device: torch.device | str) -> Dataset:
        """The same data on another device."""
        moved = {
            split: tuple(tensor.to(device) for tensor in getattr(self, split))
            for split in ("train", "validation", "test")
        }
        return dataclasses.replace(self, **moved)  # type: ignore[arg-type]

    def part(self, examples: int) -> Dataset:
        """The same data with ``examples`` of the training split and the same share of validation; the test split whole.

        Which ones is drawn once and for all: a smaller part lies inside a larger one, and all keep the order of the
        data and its scale. UserError for more examples than there are.
        """
        whole = len(self.train[1])
        if not 0 < examples <= whole:
            raise UserError(f"{self.name} has {whole} examples to train on: examples cannot be {examples}")

        def drawn(split: str, inputs: Tensor, labels: Tensor) -> Split:
            count = max(1, len(labels) * examples // whole)
            rows = torch.randperm(len(labels), generator=stream(0, f"part of {split}"))[:count].sort().values
            return inputs[rows.to(inputs.device)], labels[rows.to(labels.device)]

        train, validation = drawn("train", *self.train), drawn("validation", *self.validation)
        return dataclasses.replace(self, train=train, validation=validation)

    def prepare(self, inputs: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        """Network inputs in ``dtype``: (x / 255 - mean) / deviation of images in uint8, everything else as it is.

        Layout and device stay; on the device of the data nothing waits for the host. Computed in float32.
        """
        if inputs.dtype != torch.uint8:
            return inputs if inputs.dtype == dtype else inputs.to(dtype)
        factor, shift = self._scale if inputs.device == self.train[0].device else self._scale_on(inputs.device)
        return torch.addcmul(shift, inputs.to(torch.float32), factor).to(dtype)

    @cached_property
    def _scale(self) -> tuple[Tensor, Tensor]:
        return self._scale_on(self.train[0].device)

    def _scale_on(self, device: torch.device) -> tuple[Tensor, Tensor]:
        mean, deviation = (torch.tensor(v, dtype=torch.float64)[:, None, None] for v in (self.mean, self.deviation))
        factor, shift = 1 / (255 * deviation), -mean / deviation
        return factor.to(device, torch.float32), shift.to(device, torch.float32)

    def digest(self) -> str:
        """SHA-256 (hex) of every split's shapes, inputs and labels, in order, and of mean and deviation if any."""
        state = hashlib.sha256()
        for tensor in (*self.train, *self.validation, *self.test):
            state.update(f"{tuple(tensor.shape)} {tensor.dtype};".encode())
            state.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
        if self.mean:
            state.update(f"{self.mean} {self.deviation}".encode())
        return state.hexdigest()

    def facts(self) -> dict[str, Any]:
        """Plain values for a record: where the data came from, the sizes of the splits, scale and augmentation."""
        return {
            "name": self.name,
            "classes": self.classes,
            "shape": list(self.shape),
            **{split: len(getattr(self, split)[1]) for split in ("train", "validation", "test")},
            "mean": list(self.mean),
            "deviation": list(self.deviation),
            "augment": self.augment.to_dict() if self.augment else None,
            "source": dict(self.source),
        }
