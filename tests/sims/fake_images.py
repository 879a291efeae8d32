"""Tiny files in every format that the image data sets come in, made of random pixels."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unilth.sims.data.cifar_binary import Layout
from unilth.sims.data.idx import NAMES


@dataclass(frozen=True)
class Fake:
    """Random images (n, channels, height, width) with labels 0, 1, 2, ... in turn."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray


def fake(shape=(3, 32, 32), classes=10, train=20, test=10) -> Fake:
    draw = np.random.default_rng(sum(shape) + classes)
    train_images, test_images = (draw.integers(0, 256, (n, *shape), dtype=np.uint8) for n in (train, test))
    train_labels, test_labels = (np.arange(n, dtype=np.uint8) % classes for n in (train, test))
    return Fake(train_images, train_labels, test_images, test_labels)


def mosaic(images: np.ndarray, columns: int, kind: str = "PNG") -> np.ndarray:
    """The bytes of one image file with the tiles in row-major order."""
    count, channels, height, width = images.shape
    tiles = images.reshape(-1, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    pixels = tiles.reshape(count // columns * height, columns * width, channels)
    out = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if channels == 1 else pixels).save(out, kind, lossless=True, quality=100)
    return np.frombuffer(out.getvalue(), np.uint8)


def pack(made: Fake, number: int = 10, kind: str = "PNG", **changes: object) -> dict[str, np.ndarray]:
    """The members of a pack: training images in two mosaics, test images in one; ``changes`` replaces members."""
    channels, height, width = made.train.shape[1:]
    half = len(made.train) // 2
    members: dict[str, object] = {
        "shape": np.array([height, width, channels]),
        "classes": np.array([str(name) for name in range(number)]),
        "y_train": made.train_labels,
        "y_test": made.test_labels,
        "train_0": mosaic(made.train[:half], 5, kind),
        "train_1": mosaic(made.train[half:], 2, kind),
        "test_0": mosaic(made.test, 5, kind),
    }
    return {name: value for name, value in (members | changes).items() if value is not None}  # type: ignore[misc]


def write_pack(path: Path, members: dict[str, np.ndarray]) -> Path:
    np.savez(path, **members)  # type: ignore[arg-type]
    return path


def npy(array: np.ndarray, allow_pickle: bool = False) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, version=(1, 0), allow_pickle=allow_pickle)
    return out.getvalue()


def write_zip(path: Path, members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return path


def records(made: Fake, layout: Layout) -> dict[str, bytes]:
    """The files of the binary version; where there are two labels, the first (coarse) one is 19 for all."""
    content = {}
    for names, images, labels in (
        (layout.train, made.train, made.train_labels),
        ((layout.test,), made.test, made.test_labels),
    ):
        parts = zip(names, np.split(images, len(names)), np.split(labels, len(names)), strict=True)
        for name, some, which in parts:
            before = [np.full(len(some), 19, np.uint8)] * (layout.labels - 1)
            content[name] = np.column_stack([*before, which, some.reshape(len(some), -1)]).tobytes()
    return content


def write_tar(path: Path, content: dict[str, bytes], more: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, data in {"readme.html": b"<html>", **content}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for member in more:
            archive.addfile(member, io.BytesIO(bytes(member.size)))
    return path


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder: Path, made: Fake, zipped: bool = True) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(
        NAMES, (made.train[:, 0], made.train_labels, made.test[:, 0], made.test_labels), strict=True
    ):
        data = idx_bytes(np.ascontiguousarray(array))
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(data) if zipped else data)
    return folder
