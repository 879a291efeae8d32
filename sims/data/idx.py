"""IDX files, the format of MNIST (LeCun et al. 1998) and Fashion-MNIST (Xiao et al. 2017), plain or gzipped."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
from pathlib import Path

import numpy as np

from unilth.errors import UserError
from unilth.sims.data.foreign import Images, bounded, labels_below, read_whole, reading

NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def present(folder: Path) -> bool:
    """Whether one of the four files lies in ``folder``."""
    return any((folder / (name + end)).exists() for name in NAMES for end in ("", ".gz"))


def read_idx_folder(folder: Path, shape: tuple[int, int, int], classes: int) -> Images:
    """The four files of ``folder``; UserError where one is missing, damaged, or does not fit the others."""
    arrays, digests = [], {}
    for name in NAMES:
        path = next((folder / (name + end) for end in ("", ".gz") if (folder / (name + end)).exists()), None)
        if path is None:
            raise UserError(f"{folder / name} is missing, with or without .gz: put all four IDX files there")
        with reading(path):
            whole = read_whole(path)
            digests[path.name] = hashlib.sha256(whole).hexdigest()
            if path.suffix == ".gz":
                with gzip.open(io.BytesIO(whole)) as unpacked:
                    whole = bounded(unpacked, path).read()
            array = _array(whole, 3 if "images" in name else 1, path)
            arrays.append(array if array.ndim == 3 else labels_below(array, classes, path))
    for images, labels in (arrays[:2], arrays[2:]):
        if images.shape[1:] != shape[1:] or len(images) != len(labels):
            raise UserError(
                f"{folder} has images of the shape {images.shape} and {len(labels)} labels, not {shape[1]} x "
                f"{shape[2]} pixels and one label each: fetch the four files again"
            )
    train, train_labels, test, test_labels = arrays
    source = {"kind": "IDX files", "files": digests, "note": "the format of the official files, lossless"}
    return Images(train[:, None], train_labels, test[:, None], test_labels, source)


def _array(data: bytes, rank: int, path: Path) -> np.ndarray:
    """One array of bytes: 0, 0, 8 (unsigned byte), the rank, the sizes as big-endian 32-bit numbers, the values."""
    start = 4 + 4 * rank
    if data[:4] != bytes((0, 0, 8, rank)) or len(data) < start:
        raise UserError(f"{path} is not an IDX file of {rank} dimensions in bytes: fetch it again")
    shape = struct.unpack(f">{rank}I", data[4:start])
    size = 1
    for length in shape:
        size *= length
    if size != len(data) - start:
        raise UserError(f"{path} says {shape} in its header and has {len(data) - start} values: fetch it again")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)
