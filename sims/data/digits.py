"""scikit-learn's handwritten digits: 1,797 real 8x8 scans (Alpaydin and Kaynak 1998, UCI), shipped with the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from unilth.errors import UserError
from unilth.sims.data.dataset import Dataset

SPLIT_SEED = 20_220_101
HELD_OUT = 360  # validation and test, a fifth of the scans each


def digits(data_dir: Path | None = None) -> Dataset:
    """1,077 / 360 / 360 scans, shuffled once by a fixed seed, standardised by the training split; 10 classes.

    They need no ``data_dir``; one that is no folder is refused all the same, because it was meant for something.
    """
    if data_dir is not None and not Path(data_dir).is_dir():
        raise UserError(f"--data-dir {data_dir} is not a folder: leave it out, the data set 'digits' needs none")
    from sklearn.datasets import load_digits  # type: ignore[import-untyped]  # slow to import

    raw = load_digits()
    order = np.random.default_rng(SPLIT_SEED).permutation(len(raw.target))
    images, labels = raw.images[order], raw.target[order]
    cuts = {"test": slice(HELD_OUT), "validation": slice(HELD_OUT, 2 * HELD_OUT), "train": slice(2 * HELD_OUT, None)}
    mean, deviation = images[cuts["train"]].mean(), images[cuts["train"]].std()
    splits = {
        name: (
            torch.from_numpy(((images[cut] - mean) / deviation)[:, None].astype(np.float32)),
            torch.from_numpy(labels[cut].astype(np.int64)),
        )
        for name, cut in cuts.items()
    }
    return Dataset("digits", 10, splits["train"], splits["validation"], splits["test"])
