"""Image data sets from every format they come in; every damaged or foreign file is one sentence, nothing is run."""

from __future__ import annotations

import dataclasses
import gzip
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.sims import fake_images as make
from unilth.errors import UserError
from unilth.sims.data import DATA, Augment, Dataset, cifar_binary, foreign, image_sets, load
from unilth.sims.data.image_sets import SETS, ImageSet

BY_NAME = {one.name: one for one in SETS}
SMALL10 = dataclasses.replace(cifar_binary.CIFAR10, records=4, test_records=10)
SMALL100 = dataclasses.replace(cifar_binary.CIFAR100, records=20, test_records=10)


@pytest.fixture
def small(monkeypatch):
    """The binary versions with 20 + 10 images instead of 60,000."""
    for name, layout in (("cifar10", SMALL10), ("cifar100", SMALL100)):
        one = dataclasses.replace(BY_NAME[name], layout=layout)
        monkeypatch.setitem(DATA, name, lambda folder, one=one: image_sets.load_images(one, folder))


def check(data: Dataset, made: make.Fake, one: ImageSet) -> None:
    """All images in their splits with their own labels, in the order of the file, and the training part's scale."""
    assert data.name == one.name and data.classes == one.classes and data.shape == one.shape
    assert len(data.validation[1]) == 2 and len(data.train[1]) == 18
    assert torch.equal(data.test[0], torch.from_numpy(made.test))
    assert data.test[1].tolist() == made.test_labels.tolist()
    all_images = {image.tobytes(): int(label) for image, label in zip(made.train, made.train_labels, strict=True)}
    found = {}
    for images, labels in (data.train, data.validation):
        found |= {image.numpy().tobytes(): int(label) for image, label in zip(images, labels, strict=True)}
    assert found == all_images and len(found) == 20
    prepared = data.prepare(data.train[0]).double()
    assert prepared.mean((0, 2, 3)).abs().max() < 1e-5
    assert (prepared.std((0, 2, 3), unbiased=False) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
@pytest.mark.parametrize("one", SETS, ids=lambda one: one.name)
def test_packs_are_read_pixel_by_pixel(one, kind, tmp_path):
    made = make.fake(one.shape, one.classes)
    make.write_pack(tmp_path / one.packs[0], make.pack(made, one.classes, kind))
    before = torch.get_rng_state()
    data = load(one.name, tmp_path)
    check(data, made, one)
    facts = data.facts()
    assert facts["source"]["files"] == {one.packs[0]: foreign.file_digest(tmp_path / one.packs[0])}
    assert "unknown pack" in facts["source"]["note"]
    assert torch.equal(torch.get_rng_state(), before)
    assert data.augment == one.augment and data.digest() == load(one.name, tmp_path).digest()


def test_a_jpeg_pack_is_nearly_its_images(tmp_path):
    made = make.fake()
    smooth = dataclasses.replace(made, train=made.train // 64 + np.arange(32, dtype=np.uint8) * 4)
    make.write_pack(tmp_path / "cifar10.npz", make.pack(smooth, kind="JPEG"))
    data = load("cifar10", tmp_path)
    labels = torch.cat([data.train[1], data.validation[1]])
    assert sorted(labels.tolist()) == sorted(made.train_labels.tolist())
    assert abs(data.train[0].float().mean() - smooth.train.mean()) < 2


@pytest.mark.parametrize(
    ("name", "layout", "folder"),
    [("cifar10", SMALL10, "cifar-10-batches-bin"), ("cifar100", SMALL100, "cifar-100-binary")],
)
def test_the_binary_version_is_read_from_archive_and_folder(name, layout, folder, tmp_path, small):
    one = BY_NAME[name]
    made = make.fake(one.shape, one.classes)
    content = make.records(made, layout)
    (tmp_path / "a").mkdir()
    make.write_tar(tmp_path / "a" / one.archive, content)
    check(load(name, tmp_path / "a"), made, one)
    (tmp_path / "b" / folder).mkdir(parents=True)
    for member, data in content.items():
        (tmp_path / "b" / folder / member).write_bytes(data)
    check(load(name, tmp_path / "b"), made, one)
    assert load(name, tmp_path / "a").digest() == load(name, tmp_path / "b").digest()
    (tmp_path / "b" / folder / layout.test).write_bytes(content[layout.test][:-1])
    with pytest.raises(UserError, match="bytes, not"):
        load(name, tmp_path / "b")
    (tmp_path / "b" / folder / layout.test).unlink()
    with pytest.raises(UserError, match="is not a file"):
        load(name, tmp_path / "b")


def test_the_lossless_archive_is_preferred_to_a_pack(tmp_path, small):
    make.write_pack(tmp_path / "cifar10.npz", make.pack(make.fake()))
    make.write_tar(tmp_path / "cifar-10-binary.tar.gz", make.records(make.fake(), SMALL10))
    assert load("cifar10", tmp_path).facts()["source"]["kind"] == "binary version"


def test_the_real_layout_has_the_published_sizes():
    assert cifar_binary.CIFAR10.sizes()["data_batch_1.bin"] == 30_730_000
    assert cifar_binary.CIFAR100.sizes() == {"train.bin": 153_700_000, "test.bin": 30_740_000}


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    ("name", "folder"),
    [("mnist", "MNIST/raw"), ("mnist", "."), ("fashion_mnist", "FashionMNIST/raw"), ("fashion_mnist", "fashion_mnist")],
)
def test_idx_files_are_read_from_torchvision_s_folders_too(name, folder, zipped, tmp_path):
    made = make.fake((1, 28, 28))
    make.write_idx(tmp_path / folder, made, zipped)
    check(load(name, tmp_path), made, BY_NAME[name])


def test_mnist_and_fashion_mnist_are_told_apart(tmp_path, monkeypatch):
    made = make.fake((1, 28, 28))
    make.write_idx(tmp_path, made)
    digest = image_sets.hashlib.sha256(made.train.tobytes()).hexdigest()
    monkeypatch.setitem(image_sets.MNIST_PIXELS, digest, "mnist")
    assert load("mnist", tmp_path).name == "mnist"
    with pytest.raises(UserError, match="holds the data set 'mnist', not 'fashion_mnist'"):
        load("fashion_mnist", tmp_path)


def test_the_validation_split_is_fixed_and_draws_on_nothing(tmp_path):
    made = make.fake((1, 28, 28), train=200)
    make.write_idx(tmp_path, made)
    first, second = load("mnist", tmp_path), load("mnist", tmp_path)
    assert torch.equal(first.validation[0], second.validation[0]) and len(first.validation[1]) == 20
    order = np.random.default_rng(image_sets.SPLIT_SEED).permutation(200)[:20]
    assert torch.equal(first.validation[0], torch.from_numpy(made.train[np.sort(order)]))


def test_only_images_that_may_be_shifted_and_mirrored_are():
    augment = {one.name: one.augment for one in SETS}
    assert augment["cifar10"] == augment["cifar100"] == Augment(crop=4, flip=True)
    assert augment["mnist"] is None and augment["fashion_mnist"] is None


# --- what is refused ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [one.name for one in SETS])
def test_without_files_the_sentence_says_what_to_put_there(name, tmp_path):
    for folder in (None, tmp_path, tmp_path / "missing"):
        with pytest.raises(UserError, match=r"--data-dir.*\.npz") as caught:
            load(name, folder)
        assert ("\n" not in str(caught.value) and name in str(caught.value)) or "missing" in str(caught.value)


@pytest.mark.parametrize("what", ["cifar-10-python.tar.gz", "cifar-10-batches-py"])
def test_the_pickled_version_is_refused_unread(what, tmp_path):
    (tmp_path / what).mkdir()
    with pytest.raises(UserError, match=r"pickles.*cifar-10-binary\.tar\.gz"):
        load("cifar10", tmp_path)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("a pickle was run",)


WRONG_PACKS = {
    "no labels": ({"y_test": None}, "y_test"),
    "a foreign member": ({"more": np.zeros(1)}, "'more.npy'"),
    "another shape": ({"shape": np.array([28, 28, 1])}, "another data set"),
    "another rank": ({"shape": np.array([[32, 32, 3]])}, "which no pack has"),
    "too few classes": ({"classes": np.array(["a"])}, "1 classes"),
    "a label too high": ({"y_train": np.full(20, 10, np.uint8)}, "label 10"),
    "labels in another type": ({"y_train": np.zeros(20, np.float32)}, "float32"),
    "wide labels": ({"y_train": np.zeros(20, np.uint16)}, "uint16"),
    "a label too few": ({"y_train": np.zeros(19, np.uint8)}, "20 images and 19 labels"),
    "a mosaic missing": ({"train_0": None}, "numbered"),
    "a mosaic that is none": ({"train_1": np.arange(99, dtype=np.uint8)}, "damaged"),
    "a mosaic in part": ({"train_1": make.pack(make.fake())["train_1"][:3000]}, "damaged"),
    "odd tiles": ({"train_1": make.mosaic(make.fake((3, 31, 32)).train[:10], 2)}, "no such tiles"),
    "another format": ({"test_0": make.mosaic(make.fake().test, 5, "GIF")}, "damaged"),
    "no training images": ({"y_train": np.zeros(0, np.uint8), "train_0": None, "train_1": None}, "at least 10"),
    "no test images": ({"y_test": np.zeros(0, np.uint8), "test_0": None}, "has no test images: fetch"),
}


@pytest.mark.parametrize("which", WRONG_PACKS)
def test_wrong_packs_are_refused_in_one_sentence(which, tmp_path):
    changes, why = WRONG_PACKS[which]
    make.write_pack(tmp_path / "cifar10.npz", make.pack(make.fake(), **changes))
    with pytest.raises(UserError, match=why) as caught:
        load("cifar10", tmp_path)
    assert "\n" not in str(caught.value) and "cifar10" in str(caught.value)


def packed(**changes: bytes) -> list[tuple[str, bytes]]:
    members = {f"{name}.npy": make.npy(np.asarray(array)) for name, array in make.pack(make.fake()).items()}
    return list((members | {f"{name}.npy": data for name, data in changes.items()}).items())


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def test_archives_made_by_hand_are_refused(tmp_path, monkeypatch):
    path, here = tmp_path / "cifar10.npz", os.getcwd()
    monkeypatch.chdir(tmp_path)
    make.write_zip(path, packed())
    assert len(load("cifar10", tmp_path).test[1]) == 10  # the same members unchanged are a pack
    pickled = make.npy(np.array([Bomb()], dtype=object), allow_pickle=True)
    cases = [
        (packed(y_train=pickled), "which no pack has"),
        (packed(y_train=header((10**15,))), "another size than its header"),
        (packed(y_train=header((20,)) + bytes(21)), "another size than its header"),
        (packed(y_train=b"\x93NUMPY\x02\x00" + bytes(100)), "version"),
        (packed(y_train=b"junk"), "damaged"),
        (packed(y_train=header((20,), "|O8") + bytes(160)), "which no pack has"),
        ([*packed(), ("../y_test.npy", b"")], "which no pack has"),
        ([*packed(), *((f"train_{number}.npy", b"") for number in range(2, 2000))], "members"),
    ]
    for members, why in cases:
        make.write_zip(path, members)
        with pytest.raises(UserError, match=why):
            load("cifar10", tmp_path)
    with pytest.warns(UserWarning, match="Duplicate"):
        make.write_zip(path, [*packed(), packed()[0]])
    with pytest.raises(UserError, match="twice"):
        load("cifar10", tmp_path)
    assert not (tmp_path / "a pickle was run").exists() and os.getcwd() != here
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="damaged"):
        load("cifar10", tmp_path)


def test_a_pack_that_unpacks_without_end_is_refused_before_it_does(tmp_path, monkeypatch):
    monkeypatch.setattr(foreign, "MOST_BYTES", 1_000_000)
    bomb = [*packed(), ("train_9.npy", bytes(2_000_000))]
    make.write_zip(tmp_path / "cifar10.npz", bomb, zipfile.ZIP_DEFLATED)
    assert (tmp_path / "cifar10.npz").stat().st_size < 200_000
    with pytest.raises(UserError, match="unpacks to"):
        load("cifar10", tmp_path)
    monkeypatch.setattr(foreign, "MOST_BYTES", 1000)
    with pytest.raises(UserError, match="more than any data set"):
        load("cifar10", tmp_path)


def test_archives_that_are_not_the_official_one_are_refused(tmp_path, small, monkeypatch):
    path, content = tmp_path / "cifar-10-binary.tar.gz", make.records(make.fake(), SMALL10)
    link = tarfile.TarInfo("x/test_batch.bin")
    link.type, link.linkname, link.size = tarfile.SYMTYPE, "/etc/passwd", SMALL10.sizes()["test_batch.bin"]
    second = tarfile.TarInfo("x/test_batch.bin")
    second.size = link.size  # the right size, so that only its coming twice is wrong
    without = {name: data for name, data in content.items() if name != "test_batch.bin"}
    many = tuple(tarfile.TarInfo(f"x/{number}") for number in range(100))
    label = content | {"test_batch.bin": bytes([10]) + content["test_batch.bin"][1:]}
    for files, more, why in (
        (without, (), "has 0 bytes"),
        (without, (link,), "no plain file"),
        (content, (second,), "is there twice"),
        (content | {"test_batch.bin": b"short"}, (), "5 bytes"),
        (without, many, "more than 64"),
        (label, (), "label 10"),
    ):
        make.write_tar(path, files, more)
        with pytest.raises(UserError, match=why):
            load("cifar10", tmp_path)
    make.write_tar(path, content)
    whole = path.read_bytes()
    for broken in (whole[: len(whole) // 2], b"no archive", gzip.compress(b"no tar" * 200), b""):
        path.write_bytes(broken)
        with pytest.raises(UserError, match=r"damaged|has 0 bytes"):
            load("cifar10", tmp_path)
    monkeypatch.setattr(foreign, "MOST_BYTES", 400_000)
    make.write_tar(path, {"padding": bytes(1_000_000)} | content)
    path.write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="unpacks to more than"):
        load("cifar10", tmp_path)
    assert {entry.name for entry in tmp_path.iterdir()} == {path.name}  # nothing was unpacked to the disk


def test_an_archive_that_its_checksum_tells_is_damaged_is_refused(tmp_path, small, monkeypatch):
    """The tar's end comes before the checksum of the gzip file, which nothing else would compare."""
    path = tmp_path / "cifar-10-binary.tar.gz"
    content = make.records(make.fake(), SMALL10)
    make.write_tar(path, content)
    tar = gzip.decompress(path.read_bytes())
    stored = gzip.compress(tar, 0)  # level 0: bytes of the tar can be found and changed
    pixel, header = stored.index(content["data_batch_2.bin"]) + 100, stored.index(b"cifar-10-batches-bin/data_batch_4")
    for place in (pixel, header, -8, -1):
        broken = bytearray(stored)
        broken[place] ^= 1
        path.write_bytes(broken)
        with pytest.raises(UserError, match="is damaged or not what its name says") as caught:
            load("cifar10", tmp_path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    path.write_bytes(stored)
    assert load("cifar10", tmp_path).facts()["source"]["note"] == "the format of the official binary version, lossless"
    path.write_bytes(gzip.compress(tar + bytes(2_000_000)))
    monkeypatch.setattr(foreign, "MOST_BYTES", 1_000_000)
    with pytest.raises(UserError, match="unpacks to more than"):
        load("cifar10", tmp_path)


def test_wrong_idx_files_are_refused(tmp_path, monkeypatch):
    made = make.fake((1, 28, 28))
    images = make.idx_bytes(made.train[:, 0])
    wrong: list[tuple[str, bytes | None, str]] = [
        ("train-images-idx3-ubyte", None, "is missing"),
        ("train-images-idx3-ubyte", images[:-1], "in its header"),
        ("train-images-idx3-ubyte", images[:10], "not an IDX file"),
        ("train-images-idx3-ubyte", b"\0\0\x0d\x03" + images[4:], "not an IDX file"),
        ("train-images-idx3-ubyte", images[:4] + b"\xff" * 12 + images[16:], "in its header"),
        ("train-images-idx3-ubyte", make.idx_bytes(made.train[:, 0, :, :14]), "28 x 28"),
        ("t10k-labels-idx1-ubyte", make.idx_bytes(made.test_labels[1:]), "9 labels"),
        ("t10k-labels-idx1-ubyte", make.idx_bytes(made.test_labels + 1), "label 10"),
    ]
    for name, data, why in wrong:
        make.write_idx(tmp_path, made, zipped=False)
        if data is None:
            (tmp_path / name).unlink()
        else:
            (tmp_path / name).write_bytes(data)
        with pytest.raises(UserError, match=why):
            load("mnist", tmp_path)
    for name in image_sets.idx.NAMES:
        (tmp_path / name).unlink()
    make.write_idx(tmp_path, made)
    zipped = tmp_path / "train-images-idx3-ubyte.gz"
    for data in (b"no gzip", zipped.read_bytes()[:-9]):
        zipped.write_bytes(data)
        with pytest.raises(UserError, match="damaged"):
            load("mnist", tmp_path)
    zipped.write_bytes(gzip.compress(bytes(1_000_000)))
    monkeypatch.setattr(foreign, "MOST_BYTES", 100_000)
    with pytest.raises(UserError, match="unpacks to more"):
        load("mnist", tmp_path)


def test_what_is_no_regular_file_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "cifar10.npz")
    with pytest.raises(UserError, match="not a file"):
        load("cifar10", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", [one.name for one in SETS])
@pytest.mark.skipif("UNILTH_DATA" not in os.environ, reason="UNILTH_DATA names no folder with data")
def test_the_real_data_are_what_they_are_known_to_be(name):
    folder = Path(os.environ["UNILTH_DATA"])
    data = load(name, folder)
    counts = {"tinyimagenet100": (27_000, 3_000, 5_000), "mnist": (54_000, 6_000, 10_000)}
    counts["fashion_mnist"] = counts["mnist"]
    assert tuple(len(s[1]) for s in (data.train, data.validation, data.test)) == counts.get(
        name, (45_000, 5_000, 10_000)
    )
    means = {  # commonly quoted, of the whole training sets; JPEG and the split move them by less than 0.002
        "cifar10": (0.4914, 0.4822, 0.4465), "cifar100": (0.5071, 0.4865, 0.4409), "mnist": (0.1307,),
        "fashion_mnist": (0.2860,), "tinyimagenet100": (0.4802, 0.4481, 0.3975),
    }  # fmt: skip
    assert data.mean == pytest.approx(means[name], abs=0.004)
    assert len(data.test[1].unique()) == len(data.validation[1].unique()) == data.classes
    assert "unknown" not in data.facts()["source"]["note"]
