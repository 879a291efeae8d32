"""Image packs: an .npz with labels and mosaics of images, each mosaic one JPEG, lossless WebP or PNG.

A pack is a zip of .npy files without pickles: ``shape`` (height, width, channels), ``classes`` (names), ``y_train``,
``y_test`` (uint8 labels), and the images as ``train_0``, ``train_1``, ... and ``test_0``, ...: the bytes of one mosaic
each, tiles in row-major order. docs/data.md says which packs are known and how they were made.
"""

from __future__ import annotations

import hashlib
import io
import math
import re
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy

from unilth.errors import UserError
from unilth.sims.data import foreign
from unilth.sims.data.foreign import Images, labels_below, read_whole, reading

MEMBERS = re.compile(r"(shape|classes|coarse_of_fine|coarse_classes|y_train|y_test|(train|test)_\d{1,4})\.npy")
MOST_MEMBERS = 2000
FORMATS = ("JPEG", "WEBP", "PNG")
THREADS = 2  # Pillow decodes without the interpreter's lock; each thread needs the memory of one mosaic

KNOWN = {  # SHA-256 of the file -> what a result on it has to say
    "0cdbd8586be4a241222201e37d74178173ad9210c20063d046ca2fc61dfd3a81": "CIFAR-10, JPEG re-encoded, 34.0 dB",
    "bf813a90ef38a1bcec57f710bab0917ad349354811bcb4504d6add3c037003a7": "CIFAR-100, JPEG re-encoded, 33.9 dB",
    "ab760512604ecc7212009186720110dcf71b9d007eafa60eed356ce807a35161": "MNIST, lossless",
    "fa0d41a6d496d5a8f2c81e1cd3b370211105c4b678c76569fe7b8e215c85d20e": "Fashion-MNIST, lossless",
    "df5af8cec3b70b585732d79ec93f1ea6ad8d06600aab13b6f45595f9f50cfb9b": (
        "Tiny-ImageNet, 100 of 200 classes, 300 of 500 images each, JPEG re-encoded, 32.5 dB"
    ),
}


def read_pack(path: Path, shape: tuple[int, int, int], classes: int) -> Images:
    """A pack of images of ``shape`` (channels, height, width); UserError for whatever is wrong with it."""
    with reading(path):
        whole = read_whole(path)
        arrays = _arrays(whole, path)
        tile = tuple(int(v) for v in arrays["shape"])
        if tile != (shape[1], shape[2], shape[0]) or len(arrays["classes"]) != classes:
            raise UserError(
                f"{path} holds images of {' x '.join(map(str, tile))} in {len(arrays['classes'])} classes, not of "
                f"{shape[1]} x {shape[2]} x {shape[0]} in {classes}: it belongs to another data set"
            )
        labels = {split: labels_below(arrays[f"y_{split}"], classes, path) for split in ("train", "test")}
        images = {split: _images(arrays, split, len(of), shape, path) for split, of in labels.items()}
    digest = hashlib.sha256(whole).hexdigest()
    source = {
        "kind": "pack",
        "files": {path.name: digest},
        "note": KNOWN.get(digest, "an unknown pack: where it came from and whether it is lossless is not known here"),
    }
    return Images(images["train"], labels["train"], images["test"], labels["test"], source)


def _arrays(whole: bytes, path: Path) -> dict[str, np.ndarray]:
    """Every member, checked by name, number and size before it is unpacked and by type afterwards."""
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        members = archive.infolist()
        names = [member.filename for member in members]
        if len(names) > MOST_MEMBERS or len(set(names)) != len(names):
            raise UserError(f"{path} has {len(names)} members or names one twice: it is no pack")
        for name in names:
            if not MEMBERS.fullmatch(name):
                raise UserError(f"{path} has a member {name[:60]!r}, which no pack has (docs/data.md)")
        total = sum(member.file_size for member in members)
        if total > foreign.MOST_BYTES:
            raise UserError(f"{path} unpacks to {total} bytes, more than {foreign.MOST_BYTES}: fetch it again")
        arrays = {name.removesuffix(".npy"): _array(archive.read(name), name, path) for name in names}
    for name in ("shape", "classes", "y_train", "y_test"):
        if name not in arrays:
            raise UserError(f"{path} has no member '{name}.npy': it is no pack (docs/data.md)")
    return arrays


def _array(data: bytes, name: str, path: Path) -> np.ndarray:
    """One .npy: its header is believed only where it agrees with the number of bytes; never a pickle."""
    file = io.BytesIO(data)
    if npy.read_magic(file) != (1, 0):
        raise UserError(f"{path}: the member {name!r} is in another version of the .npy format than 1.0")
    shape, _, dtype = npy.read_array_header_1_0(file)
    kinds = {"classes.npy": "U", "coarse_classes.npy": "U", "shape.npy": "i"}
    if dtype.kind != kinds.get(name, "u") or len(shape) != 1 or (name not in kinds and dtype != np.uint8):
        raise UserError(f"{path}: the member {name!r} is an array {shape} of {dtype}, which no pack has")
    if math.prod(shape) * dtype.itemsize != len(data) - file.tell():
        raise UserError(f"{path}: the member {name!r} has another size than its header says: fetch the file again")
    return np.frombuffer(data, dtype, offset=file.tell())


def _images(
    arrays: dict[str, np.ndarray], split: str, count: int, shape: tuple[int, int, int], path: Path
) -> np.ndarray:
    """All images of a split, (n, channels, height, width); every mosaic's size is checked before one is decoded."""
    image = _pillow()
    channels, height, width = shape
    names = sorted((name for name in arrays if name.startswith(split + "_")), key=lambda name: int(name.split("_")[1]))
    if names != [f"{split}_{number}" for number in range(len(names))]:
        raise UserError(f"{path}: the mosaics of {split} are not numbered 0, 1, 2, ...: fetch the file again")
    starts, opened, total = [], [], 0
    for name in names:
        mosaic = image.open(io.BytesIO(arrays[name].data), formats=FORMATS)
        if mosaic.size[0] % width or mosaic.size[1] % height or mosaic.mode not in ("RGB", "L"):
            raise UserError(f"{path}: the mosaic {name} is {mosaic.size} in mode {mosaic.mode}: it has no such tiles")
        starts.append(total)
        opened.append(mosaic)
        total += (mosaic.size[0] // width) * (mosaic.size[1] // height)
    if total != count or total * channels * height * width > foreign.MOST_BYTES:
        raise UserError(f"{path}: there are {total} images and {count} labels in {split}: fetch the file again")
    out = np.empty((count, channels, height, width), np.uint8)

    def decode(start: int, mosaic: Any) -> None:
        pixels = np.asarray(mosaic.convert("RGB" if channels == 3 else "L"))
        rows, columns = pixels.shape[0] // height, pixels.shape[1] // width
        tiles = pixels.reshape(rows, height, columns, width, channels).transpose(0, 2, 4, 1, 3)
        out[start : start + rows * columns].reshape(rows, columns, channels, height, width)[:] = tiles
        mosaic.close()

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(decode, starts, opened))
    return out


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise UserError("packs of images need Pillow: pip install pillow (the extra 'sims' has it)") from None
    return Image
