"""Reading files that somebody else made: sizes are bounded before memory is used, every defect is one sentence."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unilth.errors import UserError

MOST_BYTES = 1 << 30  # of one file, packed or unpacked; the largest that is known here has 184 MB
DEFECTS = (
    ValueError, TypeError, KeyError, IndexError, OverflowError, EOFError, OSError, SyntaxError, MemoryError,
    NotImplementedError, RuntimeError, zlib.error, tarfile.TarError, zipfile.BadZipFile,
)  # fmt: skip


@dataclass(frozen=True)
class Images:
    """A data set as it was published: uint8 images (n, channels, height, width) and labels (n,), and where from."""

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    source: dict[str, Any]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn whatever a damaged file raises into one sentence that names the file; UserError passes as it is."""
    try:
        yield
    except UserError:
        raise
    except DEFECTS as error:
        if isinstance(error, OSError) and error.filename:
            raise UserError(f"{path} cannot be read: {error.strerror}") from None
        why = " ".join(str(error).split())[:120] or type(error).__name__
        raise UserError(f"{path} is damaged or not what its name says ({why}): fetch it again") from None


def file_digest(path: Path) -> str:
    """SHA-256 (hex) of a regular file of a bounded size."""
    _check_regular(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_whole(path: Path) -> bytes:
    """The bytes of a regular file of a bounded size."""
    _check_regular(path)
    with path.open("rb") as file:
        return bytes(bounded(file, path).read())


def _check_regular(path: Path) -> None:
    if not path.is_file():
        raise UserError(f"{path} is not a file: put the file there or name another --data-dir")
    if path.stat().st_size > MOST_BYTES:
        raise UserError(f"{path} has {path.stat().st_size} bytes, more than any data set known here: fetch it again")


class _Bounded(io.RawIOBase):
    """A stream that ends in a UserError after `MOST_BYTES`."""

    def __init__(self, inner: Any, path: Path) -> None:
        self.inner, self.path, self.left = inner, path, MOST_BYTES

    def read(self, size: int | None = -1) -> bytes:
        """As any stream's, and one byte over the limit at most."""
        data: bytes = self.inner.read(self.left + 1 if size is None or size < 0 else min(size, self.left + 1))
        self.left -= len(data)
        if self.left < 0:
            raise UserError(f"{self.path} unpacks to more than {MOST_BYTES} bytes: fetch it again")
        return data


def bounded(stream: Any, path: Path) -> Any:
    """The binary ``stream`` of the file ``path``, which raises UserError instead of unpacking without end."""
    return _Bounded(stream, path)


def labels_below(labels: np.ndarray, classes: int, path: Path) -> np.ndarray:
    """Labels in int64; UserError where one is not below ``classes``."""
    if labels.size and int(labels.max()) >= classes:
        raise UserError(f"{path} has the label {int(labels.max())}, and there are {classes} classes: fetch it again")
    return labels.astype(np.int64)
