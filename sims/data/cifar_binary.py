"""The binary version of CIFAR-10 and CIFAR-100 (Krizhevsky 2009): fixed-size records, no pickle."""

from __future__ import annotations

import gzip
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from unilth.errors import UserError
from unilth.sims.data.foreign import Images, bounded, file_digest, labels_below, read_whole, reading

SHAPE = (3, 32, 32)
MOST_MEMBERS = 64
PIECE = 1 << 20  # bytes that are read at once where nothing is kept


@dataclass(frozen=True)
class Layout:
    """Which files hold the records, how many each, and how many labels stand before the pixels (the last counts)."""

    train: tuple[str, ...]
    test: str
    records: int
    test_records: int
    labels: int
    classes: int

    def sizes(self) -> dict[str, int]:
        """The size of each file in bytes."""
        each = self.labels + SHAPE[0] * SHAPE[1] * SHAPE[2]
        return dict.fromkeys(self.train, each * self.records) | {self.test: each * self.test_records}


CIFAR10 = Layout(tuple(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin", 10_000, 10_000, 1, 10)
CIFAR100 = Layout(("train.bin",), "test.bin", 50_000, 10_000, 2, 100)  # coarse and fine label


def read_archive(path: Path, layout: Layout) -> Images:
    """The images of ``cifar-10-binary.tar.gz`` or ``cifar-100-binary.tar.gz``; nothing is written to the disk."""
    sizes, found = layout.sizes(), {}
    with reading(path):
        digest = file_digest(path)
        with gzip.open(path) as unpacked:
            stream = bounded(unpacked, path)
            with tarfile.open(fileobj=stream, mode="r|") as archive:
                for number, member in enumerate(archive):
                    name = PurePosixPath(member.name).name
                    if number >= MOST_MEMBERS:
                        raise UserError(f"{path} has more than {MOST_MEMBERS} members: it is not the official archive")
                    if name not in sizes:
                        continue
                    if not member.isreg() or member.size != sizes[name] or name in found:
                        raise UserError(
                            f"{path}: {name} is {member.size} bytes, is no plain file or is there twice; it must have "
                            f"{sizes[name]} bytes: fetch the archive again"
                        )
                    content = archive.extractfile(member)
                    found[name] = content.read() if content else b""
            while stream.read(PIECE):  # gzip compares its checksum at its own end only, which is behind the tar's
                pass
    return _images(found, layout, path, {path.name: digest})


def read_folder(folder: Path, layout: Layout) -> Images:
    """The same from the unpacked folder ``cifar-10-batches-bin`` or ``cifar-100-binary``."""
    found, digests = {}, {}
    for name in layout.sizes():
        path = folder / name
        with reading(path):
            digests[name], found[name] = file_digest(path), read_whole(path)
    return _images(found, layout, folder, digests)


def _images(found: dict[str, bytes], layout: Layout, path: Path, digests: dict[str, str]) -> Images:
    for name, size in layout.sizes().items():
        if len(found.get(name, b"")) != size:
            raise UserError(
                f"{path}: {name} has {len(found.get(name, b''))} bytes, not {size}: fetch the binary version again"
            )

    def split(names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        records = np.concatenate([np.frombuffer(found.pop(name), np.uint8) for name in names])
        records = records.reshape(-1, layout.labels + SHAPE[0] * SHAPE[1] * SHAPE[2])
        labels = labels_below(records[:, layout.labels - 1], layout.classes, path)
        return np.ascontiguousarray(records[:, layout.labels :]).reshape(-1, *SHAPE), labels

    source: dict[str, Any] = {
        "kind": "binary version",
        "files": digests,
        "note": "the format of the official binary version, lossless",
    }
    (train, train_labels), (test, test_labels) = split(layout.train), split((layout.test,))
    return Images(train, train_labels, test, test_labels, source)
