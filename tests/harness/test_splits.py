"""Splits: the paper's exact indices, and a split of its own for every seed of the digits tracks."""

from __future__ import annotations

import numpy as np
import pytest

from harness import splits
from harness.errors import TrackError
from harness.track import load

CHECKED = {
    "cifar10-resnet18": (50_000, 60_000, [33810, 44208, 6639, 25856, 49484]),
    "cifar100-tinyvit": (50_000, 60_000, [33810, 44208, 6639, 25856, 49484]),
    "mnist-resnet18": (60_000, 70_000, [12238, 20118, 23825, 29798, 10974]),
    "fashionmnist-tinyvit": (60_000, 70_000, [12238, 20118, 23825, 29798, 10974]),
}


@pytest.mark.parametrize("name", CHECKED)
def test_the_papers_forget_indices(name: str) -> None:
    train, size, first = CHECKED[name]
    track = load(name)
    found = splits.split(track, 0, size, train)
    assert found.forget[:5].tolist() == first
    assert np.array_equal(splits.split(track, 7, size, train).forget, found.forget), "one split for all seeds"
    assert found.test.tolist() == list(range(train, size))


def test_utkface_holds_out_its_own_test_part() -> None:
    found = splits.split(load("utkface-resnet18"), 0, 23_708, 0)
    everything = np.concatenate(list(found.parts().values()))
    assert np.array_equal(np.sort(everything), np.arange(23_708))
    assert found.test[:3].tolist() == np.random.default_rng(123).permutation(23_708)[:3].tolist()


def test_every_seed_of_the_digits_has_a_disjoint_split_of_its_own() -> None:
    track = load("digits-resnet18")
    found = [splits.split(track, seed, 1797, 0) for seed in range(10)]
    for one in found:
        everything = np.concatenate(list(one.parts().values()))
        assert len(np.unique(everything)) == len(everything) == 1797
    assert len({one.forget.tobytes() for one in found}) == 10
    again = splits.split(track, 3, 1797, 0)
    assert np.array_equal(again.retain, found[3].retain)


def test_a_data_set_of_another_size_is_refused() -> None:
    with pytest.raises(TrackError, match="splits declares"):
        splits.split(load("cifar10-resnet18"), 0, 50_000, 40_000)
