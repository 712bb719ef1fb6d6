"""Ranks from group memberships (paper section 4, "Ranking", and Table 1)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def dense_ranks(counts: ArrayLike) -> NDArray[np.int64]:
    """Dense ranks [..., n] of n entries from how often each is in G1, G2, G3 (``counts`` [..., n, 3]).

    Sorted by G1, then G2, then G3, all descending; equal counts share a rank, and the next rank is one more. Leading
    axes are independent boards, such as resamples.
    """
    numbers = np.asarray(counts, dtype=np.int64)
    base = int(numbers.max(initial=0)) + 1
    keys = (numbers[..., 0] * base + numbers[..., 1]) * base + numbers[..., 2]
    order = np.argsort(-keys, axis=-1, kind="stable")
    steps = np.diff(np.take_along_axis(-keys, order, axis=-1), axis=-1, prepend=0)
    steps[..., :1] = 1
    ranks = np.empty_like(keys)
    np.put_along_axis(ranks, order, np.cumsum(steps != 0, axis=-1), axis=-1)
    return ranks
