"""The image data sets by name: where their files are looked for, and how the official training set is split.

Validation data are a tenth of the official training set, drawn once and for all by a fixed seed (5,000 of CIFAR's
50,000, 6,000 of MNIST's 60,000); the official test set is the test split. Mean and deviation are those of the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from unilth.errors import UserError
from unilth.sims.data import cifar_binary, idx
from unilth.sims.data.augment import Augment
from unilth.sims.data.dataset import Dataset
from unilth.sims.data.foreign import Images
from unilth.sims.data.packs import read_pack

SPLIT_SEED = 20_220_101

MNIST_PIXELS = {  # SHA-256 of the official 60,000 training images, which tells the two sets apart
    "741c988805d008ac6e4c904b69001ba184c24b2c540a4ef403f4c71b676cf757": "mnist",
    "2e487a6c89124f78f2d7521542223cafe96f7123c3ca13d447772ac6ecbb3012": "fashion_mnist",
}


@dataclass(frozen=True)
class ImageSet:
    """One data set: shape (channels, height, width), classes, what training does to its images, and its files.

    In --data-dir, the binary archive (lossless) comes before the unpacked folder, IDX files and the pack.
    """

    name: str
    shape: tuple[int, int, int]
    classes: int
    augment: Augment | None
    packs: tuple[str, ...]
    archive: str | None = None
    folder: str | None = None
    layout: cifar_binary.Layout | None = None
    idx: tuple[str, ...] = ()
    pickles: tuple[str, ...] = ()

    def read(self, data_dir: Path) -> Images:
        """The official splits from the first kind of file that lies in ``data_dir``; UserError if there is none."""
        if self.layout and self.archive and (data_dir / self.archive).exists():
            return cifar_binary.read_archive(data_dir / self.archive, self.layout)
        if self.layout and self.folder and (data_dir / self.folder).is_dir():
            return cifar_binary.read_folder(data_dir / self.folder, self.layout)
        for folder in self.idx:
            if idx.present(data_dir / folder):
                return self._told_apart(
                    idx.read_idx_folder(data_dir / folder, self.shape, self.classes), data_dir / folder
                )
        for pack in self.packs:
            if (data_dir / pack).exists():
                return self._told_apart(read_pack(data_dir / pack, self.shape, self.classes), data_dir / pack)
        for pickle in self.pickles:
            if (data_dir / pickle).exists():
                raise UserError(
                    f"{data_dir / pickle} is the Python version, whose pickles run code when they are read: put the "
                    f"binary version {self.archive} there instead"
                )
        raise UserError(f"--data-dir {data_dir} has nothing for the data set {self.name!r}: put {self.wanted} there")

    @property
    def wanted(self) -> str:
        """What may lie in --data-dir, in words."""
        archive = [self.archive] if self.archive else []
        folders = [f"the four IDX files in {folder}/" for folder in self.idx if folder != "."][:1]
        return " or ".join([*archive, *folders, *(f"the pack {pack}" for pack in self.packs[:1])])

    def _told_apart(self, images: Images, path: Path) -> Images:
        """MNIST and Fashion-MNIST have the same file names and sizes: UserError where one is found for the other."""
        if self.idx:
            found = MNIST_PIXELS.get(hashlib.sha256(np.ascontiguousarray(images.train).data).hexdigest(), self.name)
            if found != self.name:
                raise UserError(f"{path} holds the data set {found!r}, not {self.name!r}: put the right files there")
        return images


CROP = Augment(crop=4, flip=True)  # He et al. 2016, section 4.2
SETS = (
    ImageSet(
        "cifar10", (3, 32, 32), 10, CROP, ("cifar10.npz",),
        archive="cifar-10-binary.tar.gz", folder="cifar-10-batches-bin", layout=cifar_binary.CIFAR10,
        pickles=("cifar-10-python.tar.gz", "cifar-10-batches-py"),
    ),
    ImageSet(
        "cifar100", (3, 32, 32), 100, CROP, ("cifar100.npz",),
        archive="cifar-100-binary.tar.gz", folder="cifar-100-binary", layout=cifar_binary.CIFAR100,
        pickles=("cifar-100-python.tar.gz", "cifar-100-python"),
    ),
    ImageSet("mnist", (1, 28, 28), 10, None, ("mnist.npz",), idx=("MNIST/raw", "mnist", ".")),
    ImageSet(
        "fashion_mnist", (1, 28, 28), 10, None, ("fashionmnist.npz", "fashion_mnist.npz"),
        idx=("FashionMNIST/raw", "fashion_mnist", "."),
    ),
    ImageSet("tinyimagenet100", (3, 64, 64), 100, Augment(crop=8, flip=True), ("tinyimagenet100.npz",)),
)  # fmt: skip


def load_images(wanted: ImageSet, data_dir: Path | None = None) -> Dataset:
    """The data set from the files in ``data_dir``: uint8 images, a fixed validation split, the training part's scale.

    UserError without a ``data_dir``, without the files, and for every defect of a file.
    """
    if data_dir is None:
        raise UserError(f"the data set {wanted.name!r} needs --data-dir: a folder with {wanted.wanted}")
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise UserError(f"--data-dir {data_dir} is not a folder: name the folder with {wanted.wanted}")
    images = wanted.read(data_dir)
    count = len(images.train_labels)
    if count < 10:
        raise UserError(
            f"the data set {wanted.name!r} in {data_dir} has too few training images ({count}, at least 10 are "
            "needed): fetch its files again"
        )
    if not len(images.test_labels):
        raise UserError(f"the data set {wanted.name!r} in {data_dir} has no test images: fetch its files again")
    order = np.random.default_rng(SPLIT_SEED).permutation(count)
    validation, train = np.sort(order[: count // 10]), np.sort(order[count // 10 :])
    mean, deviation = _scale(images.train[train])
    return Dataset(
        wanted.name,
        wanted.classes,
        (torch.from_numpy(images.train[train]), torch.from_numpy(images.train_labels[train])),
        (torch.from_numpy(images.train[validation]), torch.from_numpy(images.train_labels[validation])),
        (torch.from_numpy(images.test.copy()), torch.from_numpy(images.test_labels)),
        mean=mean,
        deviation=deviation,
        augment=wanted.augment,
        source=images.source,
    )


def _scale(images: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel on the scale 0 ... 1, from exact counts of the 256 values."""
    values = np.arange(256) / 255
    mean, deviation = [], []
    for channel in range(images.shape[1]):
        counts = np.zeros(256, np.int64)
        for start in range(0, len(images), 1000):  # in parts, because bincount widens to eight bytes a pixel
            counts += np.bincount(images[start : start + 1000, channel].reshape(-1), minlength=256)
        share = counts / counts.sum()
        mean.append(float(share @ values))
        deviation.append(float(np.sqrt(share @ (values - mean[-1]) ** 2)))
    return tuple(mean), tuple(deviation)


LOADERS: dict[str, Callable[[Path | None], Dataset]] = {one.name: partial(load_images, one) for one in SETS}
