"""Splits: the paper's exact indices, and a split of its own for every seed of the digits tracks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from unlearn_bench.harness.data import splits
from unlearn_bench.harness.data.dataset import load_dataset as load_data
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results.scores import model_evidence
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import DataError, TrackError
from unlearn_bench.harness.tracks.loading import CATALOGUE, load_track, parse_track, read_track

CHECKED = {
    "cifar10-resnet18": (50_000, 60_000, [33810, 44208, 6639, 25856, 49484]),
    "cifar100-tinyvit": (50_000, 60_000, [33810, 44208, 6639, 25856, 49484]),
    "mnist-resnet18": (60_000, 70_000, [12238, 20118, 23825, 29798, 10974]),
    "fashionmnist-tinyvit": (60_000, 70_000, [12238, 20118, 23825, 29798, 10974]),
}


@pytest.mark.parametrize("name", CHECKED)
def test_the_papers_forget_indices(name: str) -> None:
    train, size, first = CHECKED[name]
    track = load_track(name)
    found = splits.split(track, 0, size, train)
    assert found.forget[:5].tolist() == first
    assert np.array_equal(splits.split(track, 7, size, train).forget, found.forget), "one split for all seeds"
    assert found.test.tolist() == list(range(train, size))


def test_utkface_holds_out_its_own_test_part() -> None:
    found = splits.split(load_track("utkface-resnet18"), 0, 23_708, 0)
    everything = np.concatenate(list(found.parts().values()))
    assert np.array_equal(np.sort(everything), np.arange(23_708))
    assert found.test[:3].tolist() == np.random.default_rng(123).permutation(23_708)[:3].tolist()


def test_every_seed_of_the_digits_has_a_disjoint_split_of_its_own() -> None:
    track = load_track("digits-resnet18")
    found = [splits.split(track, seed, 1797, 0) for seed in range(10)]
    for one in found:
        everything = np.concatenate(list(one.parts().values()))
        assert len(np.unique(everything)) == len(everything) == 1797
    assert len({one.forget.tobytes() for one in found}) == 10
    again = splits.split(track, 3, 1797, 0)
    assert np.array_equal(again.retain, found[3].retain)


def test_a_data_set_of_another_size_is_refused() -> None:
    with pytest.raises(TrackError, match="splits declares"):
        splits.split(load_track("cifar10-resnet18"), 0, 50_000, 40_000)


def test_a_smaller_fraction_is_a_part_of_a_larger_one() -> None:
    forgotten = [set[int]()]
    for name in ("cifar10-resnet18-1pc", "cifar10-resnet18-5pc", "cifar10-resnet18", "cifar10-resnet18-20pc"):
        found = splits.split(load_track(name), 0, 60_000, 50_000)
        assert forgotten[-1] < set(found.forget.tolist())
        forgotten.append(set(found.forget.tolist()))
    assert [len(one) for one in forgotten] == [0, 425, 2_125, 4_250, 8_500]


def test_a_class_is_forgotten_as_a_whole_and_validated_on() -> None:
    references = References(load_track("digits-class"), Store())
    labels, found = references.examples.dataset.labels, references.examples.split(0)
    assert set(labels[found.forget].tolist()) == {3} and 3 not in labels[found.retain]
    assert {3, 4} < set(labels[found.val].tolist()) and {3, 4} < set(labels[found.test].tolist())
    assert np.array_equal(references.examples.split(7).forget, found.forget), "one split for all seeds"


def test_a_part_of_a_class_is_forgotten_and_compared_with_unseen_ones_of_that_part(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(behind=None)
    references = References(load_track("digits-subclass"), store)
    digits = References(load_track("digits-class"), Store())
    assert references.examples.dataset.labels.max() == references.examples.labels.max() == 4
    assert np.array_equal(references.examples.subclasses, digits.examples.labels)
    assert np.array_equal(references.examples.labels, references.examples.dataset.labels)
    split = references.examples.split(0)
    assert np.array_equal(split.forget, digits.examples.split(0).forget) and set(
        digits.examples.labels[split.forget].tolist()
    ) == {3}
    kin = np.isin(digits.examples.labels, (3, 8))
    assert np.array_equal(references.examples.labels == 3, kin), "threes and eights are one class"
    assert (kin[split.retain]).any()
    again = References(load_track("digits-subclass"), store)
    assert (home / "labels").exists() and np.array_equal(again.examples.labels, references.examples.labels), (
        "from the store"
    )
    logits = np.zeros((1797, 5), np.float32)
    monkeypatch.setattr(References, "logits", lambda self, role: logits)
    evidence = model_evidence(references, 0, logits)
    assert set(digits.examples.labels[evidence.unseen].tolist()) == {3}


def test_a_class_without_superclass_is_refused() -> None:
    spec = replace(load_track("digits-subclass").data, superclasses=(0, 1, 2, 3, 4))
    with pytest.raises(TrackError, match=r"has a class 9, data\.superclasses only 5"):
        load_data(spec)


def test_a_class_of_another_size_is_refused() -> None:
    track = load_track("digits-class")
    track = replace(track, splits=replace(track.splits, forget_classes=(4,)))
    with pytest.raises(TrackError, match="splits declares"):
        References(track, Store()).examples.split(0)


def test_the_most_memorised_examples_are_forgotten() -> None:
    found, base = References(load_track("digits-memorised"), Store()).examples.split(0), load_track("digits-resnet18")
    values = np.load(CATALOGUE / "digits-memorisation.npy")
    assert values[found.forget].min() >= values[found.retain].max()
    both = np.sort(np.concatenate([found.retain, found.forget]))
    assert np.array_equal(both, np.flatnonzero(np.isfinite(values)))
    assert np.array_equal(both, References(base, Store()).examples.population), "where the values come from"


def test_other_values_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(tmp_path))
    table, path = read_track("digits-memorised")
    table["splits"]["values"] = "mine.npy"
    track = parse_track(table, path)
    with pytest.raises(DataError, match=r"no file of values at .*mine\.npy"):
        References(track, Store()).examples.split(0)
    np.save(tmp_path / "mine.npy", np.zeros(1797, np.float32))
    with pytest.raises(DataError, match="not the file of values that the track declares"):
        References(track, Store()).examples.split(0)


@pytest.mark.parametrize(("name", "size"), [("fashionmnist-mini", 2_000_000), ("cifar10-mini", 8_000_000)])
def test_a_mini_track_divides_its_real_images(name: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BENCH_DATA", str(Path(__file__).parents[1] / "data"))
    track = load_track(name)
    images = load_data(track.data).images / 255
    assert images.mean(axis=(0, 2, 3)) == pytest.approx(track.data.mean, abs=1e-4)
    assert images.std(axis=(0, 2, 3)) == pytest.approx(track.data.std, abs=1e-4)
    references = References(track, Store())
    assert all(
        len(references.examples.split(seed).forget) == track.splits.forget for seed in range(track.protocol.seeds)
    )
    assert (Path(__file__).parents[1] / "data" / f"{name}.npz").stat().st_size <= size
