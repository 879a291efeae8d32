"""Data sets: tensors on a device, split once and for all into training, validation and test data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unilth.errors import UserError
from unilth.sims.data.augment import Augment
from unilth.sims.data.dataset import Dataset
from unilth.sims.data.digits import digits
from unilth.sims.data.image_sets import LOADERS
from unilth.sims.spec import closest

DATA: dict[str, Callable[[Path | None], Dataset]] = {"digits": digits, **LOADERS}


def load(name: str, data_dir: Path | None = None) -> Dataset:
    """The data set called ``name``; UserError with the close names where there is none."""
    if name not in DATA:
        raise UserError(f"there is no data set {name!r}{closest(name, DATA)}")
    return DATA[name](data_dir)


__all__ = ["DATA", "Augment", "Dataset", "load"]
