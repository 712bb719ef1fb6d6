"""Pictures of one's own: folders and tables, decoded once, with complaints that name the file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.harness.conftest import SMALL, run
from unlearn_bench.harness.data import decoding
from unlearn_bench.harness.data.dataset import Dataset, load_dataset
from unlearn_bench.harness.data.own_labels import numbered
from unlearn_bench.harness.support.errors import DataError, TrackError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Data

CLASSES = ("cat", "dog", "owl")


@pytest.fixture
def pets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three classes of four pictures, each half of another brightness than the other, in several sizes and modes."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    for number, name in enumerate(CLASSES):
        folder = tmp_path / "pets" / name
        folder.mkdir(parents=True)
        for index, (mode, ending) in enumerate((("RGB", "png"), ("L", "png"), ("RGBA", "png"), ("RGB", "jpg"))):
            pixels = np.full((20, 12, 3), 40 + 60 * number, np.uint8)
            Image.fromarray(pixels).convert(mode).save(folder / f"{index}.{ending}")
    return tmp_path / "pets"


def declared(path: str = "pets", channels: int = 3, classes: int = 3, size: int = 8) -> Data:
    return Data("imagefolder", classes, size, (0.5,) * channels, (0.2,) * channels, path=path)


def load(path: str = "pets", channels: int = 3) -> Dataset:
    return load_dataset(declared(path, channels))


@pytest.mark.parametrize("channels", [1, 3])
def test_folders_are_classes_and_pictures_of_any_mode_get_one_size(pets: Path, channels: int) -> None:
    dataset = load(channels=channels)
    assert dataset.images.shape == (12, channels, 8, 8)
    assert dataset.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    brightness = dataset.images.mean(axis=(1, 2, 3)).reshape(3, 4)
    assert (np.abs(brightness - [[40], [100], [160]]) < 3).all()


def test_the_middle_of_the_longer_side_is_kept(pets: Path) -> None:
    pixels = np.zeros((8, 24, 3), np.uint8)
    pixels[:, 8:16] = 200
    Image.fromarray(pixels).save(pets / "cat" / "0.png")
    assert load().images[0].min() > 150


def test_pictures_are_decoded_once_and_again_when_a_file_changes(pets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = load().images.copy()
    monkeypatch.setattr(decoding, "picture", lambda *_: pytest.fail("decoded again"))
    assert np.array_equal(load().images, before)
    monkeypatch.undo()
    monkeypatch.setenv("BENCH_DATA", str(pets.parent))
    Image.new("RGB", (9, 9), (250, 250, 250)).save(pets / "cat" / "0.png")
    os.utime(pets / "cat" / "0.png", (1, 1))
    assert load().images[0].min() == 250


def test_a_table_names_pictures_and_their_classes(pets: Path) -> None:
    lines = ["path,label", "dog/0.png,wolf", "cat/1.png,10", "owl/2.png,9"]
    (pets / "list.csv").write_text("\n".join(lines))
    dataset = load("pets/list.csv")
    assert dataset.labels.tolist() == [2, 0, 1], "in the order of the names"
    assert dataset.images.mean(axis=(1, 2, 3)).round().tolist() == [100, 40, 160]


def test_a_broken_picture_is_named(pets: Path) -> None:
    (pets / "dog" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing more")
    with pytest.raises(DataError, match=r"pets/dog/0\.png cannot be read as a picture"):
        load()
    assert not list((pets.parent / "decoded").glob("*.part"))


def test_folders_that_are_no_data_set_are_refused(pets: Path) -> None:
    (pets / "fox").mkdir()
    with pytest.raises(DataError, match=r"pets/fox has no picture"):
        load()
    with pytest.raises(DataError, match="no folder of pictures at"):
        load("dogs")
    (pets / "list.csv").write_text("path,label\ncat/9.png,a\n")
    with pytest.raises(DataError, match=r"lists .*cat/9\.png, which is not there"):
        load("pets/list.csv")
    (pets / "list.csv").write_text("path,label\n")
    with pytest.raises(DataError, match="lists no picture"):
        load("pets/list.csv")
    (pets / "list.csv").write_text("file,label\ncat/0.png,a\n")
    with pytest.raises(DataError, match="no path and label in every line"):
        load("pets/list.csv")


def test_another_number_of_classes_is_told_before_anything_is_decoded(
    pets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "picture", lambda *_: pytest.fail("decoded"))
    with pytest.raises(DataError, match=r"the labels are cat, dog, owl: 3 in all, and data\.classes is 2"):
        load_dataset(declared(classes=2))


@pytest.mark.parametrize(
    ("labels", "classes", "numbers"),
    [
        ([3, 0, 1], 5, [3, 0, 1]),
        ([1, 10, 2], 3, [0, 2, 1]),
        (["10", "9", "9"], 2, [1, 0, 0]),
        (["b", "a", "c"], 3, [1, 0, 2]),
    ],
)
def test_labels_of_any_kind_are_numbered(labels: list[object], classes: int, numbers: list[int]) -> None:
    assert numbered(labels, classes, "here").tolist() == numbers


@pytest.mark.parametrize("labels", [["a", "b"], [-1, 0, 1, 7], [0.5, 1.0], [[0, 0], [1, 1]]])
def test_labels_that_are_not_those_of_the_track_are_refused(labels: list[object]) -> None:
    with pytest.raises(DataError, match="here: "):
        numbered(labels, 3, "here")


def test_an_archive_may_hold_values_from_0_to_1_and_labels_as_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    images = np.linspace(0, 1, 4 * 8 * 8, dtype=np.float32).reshape(4, 8, 8)
    spec = Data("npz", 2, 8, (0.5,), (0.2,), path="mine.npz")
    np.savez(tmp_path / "mine.npz", images=images, labels=np.array(["yes", "no", "no", "yes"]))
    dataset = load_dataset(spec)
    assert dataset.images.max() == 255 and dataset.labels.tolist() == [1, 0, 0, 1]
    np.savez(tmp_path / "mine.npz", images=images * 2, labels=np.arange(4) % 2)
    with pytest.raises(DataError, match="values from 0 to 2"):
        load_dataset(spec)


def test_a_folder_needs_its_digest(tmp_path: Path) -> None:
    path = tmp_path / "pets.toml"
    path.write_text(SMALL.replace('name = "digits"', 'name = "imagefolder"\npath = "pets"'))
    with pytest.raises(TrackError, match=r"data\.path and data\.sha256 are needed"):
        load_track(str(path))


@pytest.mark.slow
def test_a_method_runs_on_a_folder_of_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    generator = np.random.default_rng(0)
    for label in range(10):
        folder = tmp_path / "shades" / f"shade {label}"
        folder.mkdir(parents=True)
        for index in range(48):
            pixels = generator.integers(0, 60, (9, 11)) + 20 * label
            Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    spec = Data("imagefolder", 10, 8, (0.5,), (0.2,), path="shades")
    own = f'name = "imagefolder"\npath = "shades"\nsha256 = "{load_dataset(spec).sha256}"'
    track = tmp_path / "shades.toml"
    track.write_text(SMALL.replace('name = "digits"', own).replace("rotation_seed = 123\n", ""))
    result = run("baselines", "ft", "--track", str(track), "--sandbox", "process")
    assert result.exit_code == 0, result.output
