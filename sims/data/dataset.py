"""What a data set is here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from unilth.errors import UserError

Split = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Dataset:
    """Inputs (n, channels, height, width) in float32 and labels (n,) in int64, in three disjoint splits.

    Validation data steers stopping and nothing else; test data is read once, at the end.
    """

    name: str
    classes: int
    train: Split
    validation: Split
    test: Split

    def __post_init__(self) -> None:
        for split in ("train", "validation", "test"):
            inputs, labels = getattr(self, split)
            if len(inputs) == 0 or len(inputs) != len(labels):
                raise UserError(f"{self.name}: the {split} split has {len(inputs)} inputs and {len(labels)} labels")
            if int(labels.min()) < 0 or int(labels.max()) >= self.classes:
                raise UserError(f"{self.name}: the labels of the {split} split must be in 0 ... {self.classes - 1}")

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.train[0].shape[1:])

    def to(self, device: torch.device | str) -> Dataset:
        """The same data on another device."""
        splits = [(inputs.to(device), labels.to(device)) for inputs, labels in (self.train, self.validation, self.test)]
        return Dataset(self.name, self.classes, *splits)

    def digest(self) -> str:
        """SHA-256 (hex) of every split's shapes, inputs and labels, in order."""
        state = hashlib.sha256()
        for tensor in (*self.train, *self.validation, *self.test):
            state.update(f"{tuple(tensor.shape)} {tensor.dtype};".encode())
            state.update(tensor.cpu().contiguous().numpy().tobytes())
        return state.hexdigest()
