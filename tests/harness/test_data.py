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
from unlearn_bench.harness.support.errors import DataError
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


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"images": np.full((4, 8, 8), 2, np.float32), "labels": np.zeros(4, int)}, "float32"),
        ({"images": np.zeros((4, 8, 8), np.uint8), "labels": np.zeros(3, int)}, r"labels \(3,\)"),
        ({"images": np.zeros((4, 8, 8), np.uint8), "labels": np.full(4, 3)}, "labels are 3: 1 in all"),
        ({"images": np.zeros((4, 8, 8), np.uint8)}, "labels"),
    ],
)
def test_a_bad_npz_says_what_is_wrong(place: Path, arrays: dict[str, np.ndarray], words: str) -> None:
    np.savez(place / "mine.npz", **arrays)  # type: ignore[arg-type]
    with pytest.raises(DataError, match=words):
        load_dataset(spec("npz", 3, 8, path="mine.npz"))


def test_a_missing_or_truncated_npz(place: Path) -> None:
    with pytest.raises(DataError, match="no data set at"):
        load_dataset(spec("npz", 3, 8, path="mine.npz"))
    (place / "mine.npz").write_bytes(b"PK\x03\x04 truncated")
    with pytest.raises(DataError, match=r"mine\.npz"):
        load_dataset(spec("npz", 3, 8, path="mine.npz"))
