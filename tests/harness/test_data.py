"""Data sets: what each loader reads, and what it says of missing or damaged files."""

from __future__ import annotations

import dataclasses
import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unlearn_bench.harness.data.dataset import load_dataset
from unlearn_bench.harness.support.errors import DataError, UnfitData
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Data


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    return tmp_path


def spec(name: str, classes: int = 10, size: int = 32, **more: object) -> Data:
    return Data(name=name, classes=classes, image_size=size, mean=(0.5,), std=(0.5,), **more)  # type: ignore[arg-type]


def test_digits_are_the_bytes_that_the_track_declares_and_are_rotated_once() -> None:
    declared = load_track("digits-resnet18").data
    rotated = load_dataset(declared)
    plain = load_dataset(dataclasses.replace(declared, rotation_seed=None, sha256=None))
    assert rotated.images.shape == (1797, 1, 8, 8)
    assert np.array_equal(rotated.labels, plain.labels)
    assert (rotated.images != plain.images).any(axis=(1, 2, 3)).mean() > 0.99
    with pytest.raises(DataError, match="declares 00"):
        load_dataset(dataclasses.replace(declared, sha256="00"))


def test_digits_at_32_pixels_for_the_transformer() -> None:
    assert load_dataset(load_track("digits-tinyvit").data).images.shape == (1797, 1, 32, 32)


@pytest.mark.parametrize("name", ["mnist", "fashionmnist", "cifar10", "cifar100"])
def test_a_missing_set_names_the_command_that_gets_it(place: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"{name} is missing or damaged") as caught:
        load_dataset(spec(name))
    assert "--download" in caught.value.remedy
    assert str(place) in caught.value.message


def write_idx(path: Path, array: np.ndarray) -> None:
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    with gzip.open(path, "wb") as file:
        file.write(header + array.tobytes())


@pytest.fixture
def fake_checksums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files of the same layout stand in for the real ones, whose checksums torchvision knows."""
    from torchvision.datasets import cifar, mnist

    monkeypatch.setattr(cifar, "check_integrity", lambda path, md5=None: Path(path).is_file())
    monkeypatch.setattr(mnist, "check_integrity", lambda path, md5=None: Path(path).is_file())
    monkeypatch.setattr("unlearn_bench.harness.data.datasets.mnist.PUBLISHED", None)
    monkeypatch.setattr("unlearn_bench.harness.data.datasets.fashionmnist.PUBLISHED", None)


def write_small(place: Path, name: str) -> Path:
    """Ten images in the layout of MNIST; returns their folder."""
    rng = np.random.default_rng(0)
    raw = place / name / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 6), ("t10k", 4)):
        for kind, array in (
            ("images-idx3", rng.integers(0, 256, (count, 28, 28), np.uint8)),
            ("labels-idx1", np.arange(count, dtype=np.uint8)),
        ):
            write_idx(raw / f"{part}-{kind}-ubyte.gz", array)
            (raw / f"{part}-{kind}-ubyte").write_bytes(gzip.decompress((raw / f"{part}-{kind}-ubyte.gz").read_bytes()))
    return raw


def test_mnist_is_resized_grey_and_in_one_index_space(place: Path, fake_checksums: None) -> None:
    write_small(place, "MNIST")
    found = load_dataset(spec("mnist"))
    assert found.images.shape == (10, 1, 32, 32)
    assert found.train == 6
    assert found.labels.tolist() == [0, 1, 2, 3, 4, 5, 0, 1, 2, 3]


@pytest.mark.parametrize(("name", "kind"), [("mnist", "MNIST"), ("fashionmnist", "FashionMNIST")])
def test_other_bytes_than_the_published_ones_are_refused(place: Path, name: str, kind: str) -> None:
    """torchvision reads them without a word: one changed pixel would change every reference model."""
    raw = write_small(place, kind)
    with pytest.raises(DataError, match=f"{name} in {raw} is not the published one") as caught:
        load_dataset(spec(name))
    assert "--download" in caught.value.remedy


def test_cifar100_has_its_fine_labels(place: Path, fake_checksums: None) -> None:
    folder = place / "cifar-100-python"
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (5, 3072), np.uint8)
    for name in ("train", "test"):
        content = {"data": images, "fine_labels": [99, 1, 2, 3, 4], "coarse_labels": [0] * 5}
        (folder / name).write_bytes(pickle.dumps(content))
    names = [f"c{i}" for i in range(100)]
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names, "coarse_label_names": ["c"]}))
    found = load_dataset(spec("cifar100", 100))
    assert found.images.shape == (10, 3, 32, 32)
    assert np.array_equal(found.images[0], images[0].reshape(3, 32, 32))
    assert found.labels[0] == 99


def test_utkface_reads_ages_from_sorted_names_in_bins_of_twenty(place: Path) -> None:
    folder = place / "UTKFace"
    folder.mkdir()
    for name in ("9_0_0_x.jpg", "100_1_2_y.jpg", "39_0_0_z.jpg"):
        Image.new("RGB", (200, 200), (255, 0, 0)).save(folder / name)
    found = load_dataset(spec("utkface", 5, 64))
    assert found.images.shape == (3, 3, 64, 64)
    assert found.labels.tolist() == [4, 1, 0], "names sort as text: 100, 39, 9"
    (folder / "nameless.jpg").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"nameless\.jpg"):
        load_dataset(spec("utkface", 5, 64))


def test_utkface_missing_says_where_it_comes_from(place: Path) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(spec("utkface", 5))
    assert "authors" in caught.value.remedy


@pytest.mark.parametrize("shape", [(6, 8, 8), (6, 8, 8, 3), (6, 3, 8, 8)])
def test_an_own_npz(place: Path, shape: tuple[int, ...]) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    np.savez(place / "mine.npz", images=images, labels=np.arange(6) % 3)
    found = load_dataset(spec("npz", 3, 8, path="mine.npz"))
    assert found.images.shape == (6, 1 if len(shape) == 3 else 3, 8, 8)


IMAGES = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), np.uint8)
IMAGES[0, 0, 0] = 0, 128, 255
CLASSES = np.arange(6) % 3


@pytest.mark.parametrize(
    ("images", "said"),
    [
        (IMAGES / 255, ""),
        (IMAGES.astype(np.float32), "float32 with values from 0 to 255, taken for 0 … 255"),
        (IMAGES.astype(np.int64), "int64"),
        (IMAGES.astype(np.uint16), "uint16"),
        (IMAGES.astype(np.uint16) * 257, ""),
        (np.asfortranarray(IMAGES), ""),
        (IMAGES.transpose(0, 3, 1, 2).astype(float), "float64"),
    ],
)
def test_images_of_any_type_are_those_that_are_meant(
    place: Path, images: np.ndarray, said: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO")
    np.savez(place / "mine.npz", images=images, labels=CLASSES)
    assert np.array_equal(load_dataset(spec("npz", 3, 8, path="mine.npz")).images, IMAGES.transpose(0, 3, 1, 2))
    assert said in caplog.text and bool(said) == bool(caplog.text)
    if not images.flags.f_contiguous:  # and where they do not fit into memory
        monkeypatch.setattr("unlearn_bench.harness.data.datasets.npz.IN_MEMORY", 0)
        monkeypatch.setattr("unlearn_bench.harness.data.datasets.npz.BLOCK", 4)
        assert np.array_equal(load_dataset(spec("npz", 3, 8, path="mine.npz")).images, IMAGES.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (CLASSES + 1, "the labels 1, 2, 3 are the classes 0 to 2"),
        (np.array(["cat", "dog", "eel"] * 2), "the labels cat, dog, eel are"),
        (CLASSES.astype(np.float32), ""),
        (CLASSES[:, None], ""),
        (np.eye(3)[CLASSES], "one-hot"),
        (np.eye(3, dtype=bool)[CLASSES], "one-hot"),
    ],
)
def test_labels_of_any_type_are_those_that_are_meant(
    place: Path, labels: np.ndarray, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    np.savez(place / "mine.npz", images=IMAGES, labels=labels)
    assert np.array_equal(load_dataset(spec("npz", 3, 8, path="mine.npz")).labels, CLASSES)
    assert said in caplog.text and bool(said) == bool(caplog.text)


@pytest.mark.parametrize(
    ("changes", "words", "remedy"),
    [
        ({"images": np.full((6, 8, 8), 2, np.float32)}, "float32 with values from 2 to 2", "images = np.rint"),
        ({"images": IMAGES.astype(int) - 9}, "int64", "images = np.rint"),
        ({"images": np.zeros((6, 8, 8), complex)}, "complex128", "images = np.rint"),
        ({"images": np.full((6, 8, 8), np.nan)}, "nan", "images = np.rint"),
        ({"images": np.zeros((6, 8, 8, 4), np.uint8)}, r"\(6, 8, 8, 4\) have neither 1 nor 3", "images[..., :3]"),
        ({"images": np.zeros((6, 8, 8, 2), np.uint8)}, r"\(6, 8, 8, 2\) have neither 1 nor 3", "images[..., :1]"),
        ({"images": np.zeros((6, 64), np.uint8)}, r"images have shape \(6, 64\)", "[n, h, w]"),
        ({"images": IMAGES[:0], "labels": CLASSES[:0]}, r"images have shape \(0, 8, 8, 3\)", "[n, h, w]"),
        ({"labels": np.zeros(0)}, "there are no labels", "[n]"),
        ({"labels": CLASSES[:3]}, r"labels \(3,\)", "labels integers [n]"),
        ({"labels": np.full(6, 3)}, "labels are 3: 1 in all", "data.classes"),
        ({"labels": CLASSES + 0.5}, "labels are float64", "labels.astype(str)"),
        ({"labels": np.full((6, 3), 1 / 3)}, "are not one-hot", "labels.argmax(axis=1)"),
        ({"labels": np.array([object()] * 6)}, "allow_pickle", "np.savez"),
        ({"labels": None}, "allow_pickle", "np.savez"),
    ],
)
def test_a_bad_npz_says_what_is_wrong(place: Path, changes: dict[str, np.ndarray], words: str, remedy: str) -> None:
    np.savez(place / "mine.npz", **({"images": IMAGES, "labels": CLASSES} | changes))  # type: ignore[arg-type]
    with pytest.raises(UnfitData, match=words) as caught:
        load_dataset(spec("npz", 3, 8, path="mine.npz"))
    assert remedy in caught.value.remedy and caught.value.whose == "the data set"


def test_what_is_no_archive_of_images_and_labels_is_named(place: Path) -> None:
    np.save(place / "array.npy", IMAGES)
    (place / "array.npy").rename(place / "mine.npz")
    with pytest.raises(UnfitData, match=r"a single array \(\.npy\)"):
        load_dataset(spec("npz", 3, 8, path="mine.npz"))
    np.savez(place / "mine.npz", x_train=IMAGES, y_train=CLASSES)
    with pytest.raises(UnfitData, match="holds x_train, y_train, and no images and no labels"):
        load_dataset(spec("npz", 3, 8, path="mine.npz"))


@pytest.mark.parametrize("shape", [(6, 8, 12), (6, 12, 8, 3)])
def test_images_that_are_not_square_are_resized(place: Path, shape: tuple[int, ...]) -> None:
    np.savez(place / "mine.npz", images=np.full(shape, 7, np.uint8), labels=CLASSES)
    images = load_dataset(spec("npz", 3, 8, path="mine.npz")).images
    assert images.shape == (6, 1 if len(shape) == 3 else 3, 8, 8) and (images == 7).all()


def test_a_missing_or_truncated_npz(place: Path) -> None:
    with pytest.raises(DataError, match="no data set at"):
        load_dataset(spec("npz", 3, 8, path="mine.npz"))
    (place / "mine.npz").write_bytes(b"PK\x03\x04 truncated")
    with pytest.raises(DataError, match=r"mine\.npz"):
        load_dataset(spec("npz", 3, 8, path="mine.npz"))
