"""Labels without images: what stands in the store instead of a data set, and when."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from unlearn_bench.harness.data import labels
from unlearn_bench.harness.data.dataset import load_dataset
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import SHIPPED, Store
from unlearn_bench.harness.support.errors import DataError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Track


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    return tmp_path


def own(track: Track, place: Path, seed: int) -> Track:
    """The track on a user's data set of its own, which is written to ``mine.npz``."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (500, 8, 8), dtype=np.uint8)
    np.savez(place / "mine.npz", images=images, labels=rng.integers(0, 10, 500))
    spec = dataclasses.replace(track.data, name="npz", path="mine.npz", rotation_seed=None)
    return dataclasses.replace(track, data=dataclasses.replace(spec, sha256=load_dataset(spec).sha256))


def test_labels_and_splits_of_declared_data_outlive_the_file(small_track: Track, place: Path) -> None:
    track = own(small_track, place, seed=0)
    first = References(track, Store())
    parts = first.examples.split(0).parts()
    (place / "mine.npz").unlink()
    again = References(track, Store())
    np.testing.assert_array_equal(again.examples.labels, first.examples.dataset.labels)
    assert again.examples.labels.dtype == np.int64
    for name, indices in again.examples.split(0).parts().items():
        np.testing.assert_array_equal(indices, parts[name])
    with pytest.raises(DataError, match=r"mine\.npz"):
        _ = again.examples.dataset


def test_of_another_data_set_other_labels_are_read(small_track: Track, place: Path) -> None:
    for seed in (0, 1):
        references = References(own(small_track, place, seed), Store())
        np.testing.assert_array_equal(references.examples.labels, np.load(place / "mine.npz")["labels"])


def test_labels_that_no_digest_vouches_for_are_not_kept(references: References) -> None:
    assert references.track.data.sha256 is None
    np.testing.assert_array_equal(references.examples.labels, references.examples.dataset.labels)
    assert not (references.store.root / "labels").exists()


def test_the_official_parts_are_kept_too(small_track: Track) -> None:
    track = dataclasses.replace(small_track, data=dataclasses.replace(small_track.data, sha256="0" * 64))
    labels.keep(Store(), track, labels.Labels(np.arange(10), train=7))
    found = labels.read(Store(), track)
    assert found is not None
    assert found.train == 7


def test_the_labels_that_ship_are_those_of_the_digits() -> None:
    track = load_track("digits-resnet18")
    shipped = labels.read(Store(SHIPPED, behind=None), track)
    assert shipped is not None
    np.testing.assert_array_equal(shipped.labels, load_dataset(track.data).labels)
    assert shipped.train == 0
