"""Parts that keep groups whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unlearn_bench.scoring.grouped_partition import keep_groups_whole


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(20, 60), min_size=2, max_size=5))
def test_sizes_stay_and_no_group_is_torn(seed: int, sizes: list[int]) -> None:
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    groups = rng.permutation(np.concatenate([np.repeat(np.arange(n // 8), 2), np.arange(n, 2 * n - 2 * (n // 8))]))
    before = np.split(rng.permutation(n), np.cumsum(sizes)[:-1])
    found = keep_groups_whole(before, groups)
    assert [len(part) for part in found] == sizes
    np.testing.assert_array_equal(np.sort(np.concatenate(found)), np.arange(n))
    assert sum(len(np.unique(groups[part])) for part in found) == len(np.unique(groups))
    moved = sum(len(np.setdiff1d(new, old)) for new, old in zip(found, before, strict=True))
    assert moved <= 2 * (n // 8), "one of a torn pair, and one that makes up for it"


def test_what_no_group_touches_stays() -> None:
    parts = [np.array([4, 0, 2]), np.array([5, 1, 3])]
    for found, part in zip(keep_groups_whole(parts, np.arange(6)), parts, strict=True):
        np.testing.assert_array_equal(found, part)


def test_a_group_is_as_likely_in_a_part_as_the_part_is_large() -> None:
    """Where the first of a permutation leads, a pair would be in the first part with .84 instead of .6."""
    groups = np.concatenate([np.repeat(np.arange(100), 2), np.arange(100, 900)])
    rng, inside = np.random.default_rng(1), []
    for _ in range(200):
        first, _ = keep_groups_whole(np.split(rng.permutation(1000), [600]), groups)
        inside.append(np.isin(np.arange(0, 200, 2), first).mean())
    assert np.mean(inside) == pytest.approx(0.6, abs=0.015)


def test_a_group_without_room_at_home_goes_elsewhere() -> None:
    found = keep_groups_whole([np.array([0, 3, 4]), np.array([1, 2])], np.array([0, 1, 1, 0, 0]))
    assert [sorted(part) for part in found] == [[0, 3, 4], [1, 2]]
    found = keep_groups_whole([np.array([0]), np.array([1, 2, 3])], np.array([0, 0, 1, 2]))
    assert len(found[0]) == 1 and {0, 1} < set(found[1].tolist())


def test_a_group_that_fits_nowhere_is_refused() -> None:
    with pytest.raises(ValueError, match="no part has room for a group of 2"):
        keep_groups_whole([np.array([0, 1, 2]), np.array([3])], np.array([0, 1, 1, 0]))
