"""Data sets of torchvision and of Hugging Face's datasets: by name, from a folder, without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.harness.conftest import SMALL
from unlearn_bench.harness.data import library_images
from unlearn_bench.harness.data.dataset import Dataset, load_dataset
from unlearn_bench.harness.data.datasets import npz
from unlearn_bench.harness.support.errors import BenchError, DataError, TrackError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Data

FAKE = {"size": 40, "image_size": (3, 12, 20), "num_classes": 3}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    return tmp_path


def declared(name: str, classes: int = 3, channels: int = 3, **more: Any) -> Data:
    return Data(name, classes, 8, (0.5,) * channels, (0.2,) * channels, **more)


def parts_on_disk(folder: Path) -> None:
    """Country211 as torchvision reads it: parts with a folder per class, six pictures in each."""
    for part, brightness in (("train", 40), ("valid", 80), ("test", 120)):
        for number, name in enumerate(("AD", "AE")):
            place = folder / "country211" / part / name
            place.mkdir(parents=True)
            for index in range(6):
                Image.new("RGB", (10 + index, 9), (brightness + 5 * number,) * 3).save(place / f"{index}.png")


def test_any_classification_set_of_torchvision_is_loaded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = declared("torchvision:FakeData", arguments=FAKE)
    dataset = load_dataset(spec)
    assert dataset.images.shape == (40, 3, 8, 8) and dataset.train == 0
    assert set(dataset.labels.tolist()) == {0, 1, 2}
    assert isinstance(dataset.images, np.memmap), "it stays on the disk"
    monkeypatch.setattr(library_images, "write_images", lambda *_: pytest.fail("decoded again"))
    assert load_dataset(spec).sha256 == dataset.sha256
    monkeypatch.undo()


def test_parts_are_one_index_space_with_the_test_part_last(folder: Path) -> None:
    parts_on_disk(folder)
    dataset = load_dataset(declared("torchvision:Country211", 2))
    assert (dataset.train, len(dataset.labels)) == (12, 24)
    assert dataset.images.mean(axis=(1, 2, 3)).tolist() == [40] * 6 + [45] * 6 + [120] * 6 + [125] * 6
    more = load_dataset(declared("torchvision:Country211", 2, parts=("train", "valid", "test")))
    assert (more.train, len(more.labels)) == (24, 36)


def test_a_folder_may_be_named_in_the_track(folder: Path) -> None:
    parts_on_disk(folder / "elsewhere")
    assert len(load_dataset(declared("torchvision:Country211", 2, path="elsewhere")).labels) == 24
    with pytest.raises(DataError, match="torchvision:Country211 is missing or damaged"):
        load_dataset(declared("torchvision:Country211", 2))


def test_changed_pictures_are_decoded_again(folder: Path) -> None:
    parts_on_disk(folder)
    spec = declared("torchvision:Country211", 2)
    before = load_dataset(spec).sha256
    Image.new("RGB", (10, 9), (1, 2, 3)).save(folder / "country211" / "train" / "AD" / "0.png")
    assert load_dataset(spec).sha256 != before


def saved(folder: Path, images: list[Any], labels: list[Any], **features: Any) -> Data:
    import datasets

    columns = {"img": images, "kind": labels}
    kinds = datasets.Features(features) if features else None
    part = datasets.Dataset.from_dict(columns, features=kinds)
    datasets.DatasetDict({"train": part, "validation": part.select(range(2))}).save_to_disk(str(folder / "mine"))
    return declared("hf:mine", path="mine", arguments={"label": "kind"})


def shades(mode: str) -> list[Any]:
    """One image of brightness 60, 120 and 180, 12 × 20 pixels."""
    values = [np.full((12, 20), 60 * (i + 1), np.uint8) for i in range(3)]
    if mode in ("L", "RGB", "RGBA"):
        return [Image.fromarray(v).convert(mode) for v in values]
    if mode == "I;16":
        return [Image.fromarray(v.astype(np.uint16) * 257) for v in values]
    if mode == "float":
        return [(v[..., None].repeat(3, 2) / 255).tolist() for v in values]
    return [v.tolist() for v in values]


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "I;16", "float"])
@pytest.mark.parametrize("labels", [["b", "a", "c"], [-5, 70, 3], ["10", "9", "11"]])
def test_images_and_labels_of_any_kind_are_read_from_a_saved_set(folder: Path, mode: str, labels: list[Any]) -> None:
    dataset = load_dataset(saved(folder, shades(mode), labels))
    assert (dataset.train, len(dataset.labels)) == (3, 5)
    assert dataset.images.shape == (5, 3, 8, 8)
    assert np.abs(dataset.images.mean(axis=(1, 2, 3)) - [60, 120, 180, 60, 120]).max() < 1
    key = {name: int(name) if str(name).lstrip("-").isdigit() else name for name in labels}
    order = sorted(labels, key=lambda name: key[name])
    assert dataset.labels.tolist() == [order.index(label) for label in (*labels, *labels[:2])]


def test_named_classes_keep_their_numbers(folder: Path) -> None:
    import datasets

    kinds = {"img": datasets.Image(), "kind": datasets.ClassLabel(names=["x", "y", "z"])}
    assert load_dataset(saved(folder, shades("RGB"), [2, 0, 1], **kinds)).labels[:3].tolist() == [2, 0, 1]


def test_a_broken_image_is_named_by_its_number(folder: Path) -> None:
    import datasets

    pictures = [{"bytes": b"\x89PNG nothing more", "path": None}] * 3
    kinds = {"img": datasets.Image(), "kind": datasets.Value("string")}
    with pytest.raises(DataError, match=r"hf:mine, example 0 cannot be read"):
        load_dataset(saved(folder, pictures, ["a", "b", "c"], **kinds))


@pytest.mark.parametrize(
    ("spec", "what"),
    [
        (declared("torchvision:SVHM"), "no data set 'SVHM'; near it: SVHN"),
        (declared("torchvision:FakeData", arguments={"colour": 1}), "does not take these arguments"),
        (declared("torchvision:FakeData", arguments=FAKE, parts=("a",)), "has no parts"),
        (declared("torchvision:FakeData", classes=2, arguments=FAKE), r"data\.classes is 2"),
        (declared("torchvision:SVHN"), "SVHN is missing or damaged"),
        (declared("hf:mine", path="nowhere"), "there is no data set at"),
        (declared("hf:nobody/nothing"), "nobody/nothing is missing or damaged in the cache"),
    ],
)
def test_what_cannot_be_loaded_is_told_in_a_sentence(spec: Data, what: str) -> None:
    with pytest.raises(BenchError, match=what):
        load_dataset(spec)


def test_columns_and_parts_that_are_not_there_are_named(folder: Path) -> None:
    spec = saved(folder, shades("L"), ["a", "b", "c"])
    with pytest.raises(TrackError, match="no column class_; it has img, kind"):
        load_dataset(declared("hf:mine", path="mine", arguments={"label": "class_"}))
    with pytest.raises(TrackError, match="no part 'tests'; it has train, validation"):
        load_dataset(declared("hf:mine", path="mine", parts=("train", "tests"), arguments=spec.arguments))


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ('name = "torchvision:SVHN"', r"data\.sha256 is needed"),
        ('name = "tensorflow:mnist"', r"allowed: .*'torchvision:NAME', 'hf:NAME'"),
        ('name = "hf:"', "'hf:NAME'"),
        ('name = "digits"\nparts = ["train"]', r"data\.parts and data\.arguments go with"),
    ],
)
def test_a_track_says_what_it_needs_of_a_library(tmp_path: Path, keys: str, what: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(SMALL.replace('name = "digits"', keys).replace("rotation_seed = 123\n", ""))
    with pytest.raises(TrackError, match=what):
        load_track(str(path))


@pytest.mark.parametrize("shape", [(30, 9, 12), (30, 9, 12, 3), (30, 3, 9, 12), (30, 8, 8)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_large_archive_gives_the_same_images_from_the_disk(
    folder: Path, monkeypatch: pytest.MonkeyPatch, shape: tuple[int, ...], dtype: type
) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape)
    images = values / 255 if dtype is np.float32 else values * (257 if dtype is np.uint16 else 1)
    np.savez(folder / "mine.npz", images=images.astype(dtype), labels=np.arange(30) % 3)
    spec = declared("npz", channels=1 if len(shape) == 3 else 3, path="mine.npz")
    in_memory: Dataset = load_dataset(spec)
    monkeypatch.setattr(npz, "IN_MEMORY", 0)
    monkeypatch.setattr(npz, "BLOCK", 7)
    from_disk = load_dataset(spec)
    assert isinstance(from_disk.images, np.memmap) and not isinstance(in_memory.images, np.memmap)
    assert np.array_equal(from_disk.images, in_memory.images)
