"""Near-duplicates: found among real images, and kept on one side of a split."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from tests.harness.conftest import SMALL, run
from unlearn_bench.harness.data import near_duplicates, splits
from unlearn_bench.harness.data.dataset import Dataset, load_dataset
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import DataError, TrackError
from unlearn_bench.harness.tracks.loading import load_track, parse_track, read_track

MINI = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    """CIFAR-10's, 16 pixels wide [n, 3, 16, 16], without one of two cars of the same model."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_DATA", str(MINI))
        return np.delete(load_dataset(load_track("cifar10-mini").data).images[:1001], 562, axis=0)


def changed(image: np.ndarray, how: str) -> np.ndarray:
    picture = Image.fromarray(image.transpose(1, 2, 0))
    if how == "recoded":
        buffer = io.BytesIO()
        picture.save(buffer, "jpeg", quality=85)
        picture = Image.open(buffer)
    elif how == "brighter":
        picture = ImageEnhance.Brightness(picture).enhance(1.1)
    elif how == "grey":
        picture = picture.convert("L").convert("RGB")
    elif how == "larger":
        picture = picture.resize((48, 48), Image.Resampling.BICUBIC).resize((16, 16), Image.Resampling.BOX)
    return np.asarray(picture).transpose(2, 0, 1)


@pytest.mark.parametrize("how", ["same", "recoded", "brighter", "grey", "larger"])
def test_the_same_picture_is_found_and_others_are_not(pictures: np.ndarray, how: str) -> None:
    copies = np.stack([changed(image, how) for image in pictures[:200]])
    assert near_duplicates.groups(pictures).max() == 999, "no two are alike"
    found = near_duplicates.groups(np.concatenate([pictures, copies]))
    apart = found[:200] != found[1000:]
    assert apart.mean() < (0.1 if how == "recoded" else 0.01)
    assert found.max() == 999 + apart.sum(), "a copy is in the group of its own picture or in none"


def test_images_of_too_few_pixels_are_refused() -> None:
    result = run("duplicates")
    assert result.exit_code == 2 and "images of 8 pixels are too small" in result.stderr


def test_groups_are_numbered_in_the_order_of_their_first_images(pictures: np.ndarray) -> None:
    images = pictures[[5, 9, 5, 7, 9]]
    assert near_duplicates.groups(images).tolist() == [0, 1, 0, 2, 1]


def test_utkface_grouped_parts_no_group() -> None:
    track = load_track("utkface-grouped")
    numbers = splits.numbers(track.splits, 23_708)
    assert numbers.groups is not None
    counts = np.bincount(numbers.groups)
    assert ((counts > 1).sum(), counts[counts > 1].sum(), counts.max()) == (959, 2011, 5)
    found = splits.split(track, 0, 23_708, 0, numbers=numbers)
    parts = list(found.parts().values())
    assert [len(part) for part in parts] == [14_508, 1_613, 2_846, 4_741], "the paper's sizes"
    assert sum(len(np.unique(numbers.groups[part])) for part in parts) == len(counts)
    assert np.array_equal(splits.split(track, 3, 23_708, 0, numbers=numbers).forget, found.forget)
    plain = splits.split(load_track("utkface-resnet18"), 0, 23_708, 0)
    crossing = near_duplicates.crossing(numbers.groups, plain.retain, plain.forget, plain.test)
    assert (crossing.forget, crossing.test) == (99, 297), "the paper's split"
    assert near_duplicates.crossing(numbers.groups, found.retain, found.forget, found.test) == near_duplicates.Crossing(
        0, 0
    )


@pytest.fixture
def doubled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pictures: np.ndarray) -> Path:
    """A track of one's own, a tenth of whose images are there twice."""
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    images = np.concatenate([pictures[:408], pictures[:40]])
    labels = np.arange(448) % 10
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    path = tmp_path / "mine.toml"
    text = (
        SMALL.replace("[0.2652]", "[0.5, 0.5, 0.5]")
        .replace("[0.3205]", "[0.2, 0.2, 0.2]")
        .replace("= 8\nrot", "= 16\nrot")
    )
    sha = Dataset(images, labels.astype(np.int64)).sha256
    text = text.replace('name = "digits"', f'name = "npz"\npath = "mine.npz"\nsha256 = "{sha}"')
    path.write_text(text.replace("rotation_seed = 123\n", "").replace("channels = 1", "channels = 3"))
    return path


def test_the_command_tells_what_a_split_parts_and_mends_it(doubled: Path) -> None:
    out = doubled.parent / "groups.npy"
    result = run("duplicates", "--track", str(doubled), "--out", str(out))
    assert result.exit_code == 0, result.output
    assert "40 groups of near-duplicates, 80 of 448 images; the largest has 2" in result.stdout
    before = json.loads(run("duplicates", "--track", str(doubled), "--json").stdout)
    assert before["forget_with_one_in_r"] > 0 and before["test_with_one_in_r_or_f"] > 0
    lines = [line for line in result.stdout.splitlines() if line.startswith("groups")]
    doubled.write_text(doubled.read_text().replace('rule = "per-seed"', "\n".join(['rule = "per-seed"', *lines])))
    after = json.loads(run("duplicates", "--track", str(doubled), "--json").stdout)
    assert (after["forget_with_one_in_r"], after["test_with_one_in_r_or_f"]) == (0, 0)
    references = References(load_track(str(doubled)), Store())
    groups = references.examples.numbers.groups
    assert groups is not None and len({references.examples.split(seed).forget.tobytes() for seed in range(2)}) == 2
    half = references.examples.population[references.examples.design.half(0)]
    other = references.examples.population[references.examples.design.half(1)]
    assert not np.isin(groups[half], groups[other]).any(), "shadow models"
    one, two = (references.examples.population[references.examples.design.members(0, number)] for number in range(2))
    assert not np.isin(groups[one], groups[two]).any()
    swapped = references.examples.swapped_parts(0)
    assert not np.isin(groups[swapped["forget"]], groups[swapped["test"]]).any(), "SWAP"


def test_a_set_whose_images_are_all_alike_is_noted(doubled: Path) -> None:
    quiet = run("duplicates", "--track", str(doubled))
    assert "too alike" not in quiet.stderr
    text, place = doubled.read_text(), doubled.parent / "mine.npz"
    with np.load(place) as archive:
        images, labels = np.repeat(archive["images"][:1], 448, axis=0), archive["labels"]
    np.savez(place, images=images, labels=labels)
    old = text.split('sha256 = "')[1].split('"')[0]
    doubled.write_text(text.replace(old, Dataset(images, labels.astype(np.int64)).sha256))
    result = run("duplicates", "--track", str(doubled))
    assert result.exit_code == 0 and "one group holds 448 images" in result.stderr


def test_groups_that_are_missing_or_others_are_refused(doubled: Path) -> None:
    table, path = read_track(str(doubled))
    table["splits"] |= {"groups": "groups.npy", "groups_sha256": "00"}
    with pytest.raises(DataError, match=r"no file of groups at .*groups\.npy"):
        References(parse_track(table, path), Store()).examples.split(0)
    np.save(path.parent / "groups.npy", np.arange(448))
    with pytest.raises(DataError, match="not the file of groups that the track declares"):
        References(parse_track(table, path), Store()).examples.split(0)


def test_groups_of_another_data_set_or_too_large_ones_are_refused() -> None:
    with pytest.raises(DataError, match=r"groups of shape \(23708,\), the data set 20,000"):
        splits.numbers(load_track("utkface-grouped").splits, 20_000)
    track = load_track("digits-resnet18")
    with pytest.raises(TrackError, match="no part has room for a group of 599"):
        splits.split(track, 0, 1797, 0, numbers=splits.Numbers(groups=np.arange(1797) // 599))
