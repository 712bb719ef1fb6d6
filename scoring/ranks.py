"""Positions and ranks from group memberships (paper section 4, "Ranking", and Table 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]


def keys(*counts: ArrayLike) -> Ints:
    """Return one number per entry [..., n] by which entries are sorted, the greatest first.

    It orders by G1, then G2, then G3, all descending, of the first ``counts`` [..., n, 3], how often an entry is in
    each, and where these are equal by the next ones. Equal counts give equal keys.
    """
    parts = [np.asarray(each) for each in counts]
    base = max(int(part.max(initial=0)) for part in parts) + 1
    result = np.zeros(parts[0].shape[:-1], dtype=np.int64)
    for part in parts:
        for column in np.moveaxis(part, -1, 0):
            result *= base
            result += column
    return result


def positions(keys_of_entries: Ints) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the first and the last position [..., n] of each entry from its key, as in a competition.

    Two entries that tie for the third place have the positions 3 to 4, and the next one is fifth. Leading axes are
    independent boards, such as resamples.
    """
    *boards, entries = keys_of_entries.shape
    rows = -keys_of_entries.reshape(int(np.prod(boards)), entries)
    first, last = (np.empty(rows.shape, dtype=np.int32) for _ in range(2))
    for row, lowest, highest in zip(rows, first, last, strict=True):
        _, places, tied = np.unique(row, return_inverse=True, return_counts=True)
        highest[:] = tied.cumsum()[places]
        lowest[:] = highest - tied[places] + 1
    return first.reshape(keys_of_entries.shape), last.reshape(keys_of_entries.shape)


def dense_ranks(counts: ArrayLike) -> Ints:
    """Dense ranks [n] of the paper from how often each of n entries is in G1, G2, G3 (``counts`` [n, 3]).

    Sorted by G1, then G2, then G3, all descending; equal counts share a rank, and the next rank is one more.
    """
    _, ranks = np.unique(-keys(np.asarray(counts, dtype=np.int64)), return_inverse=True)
    return np.asarray(ranks, dtype=np.int64) + 1
