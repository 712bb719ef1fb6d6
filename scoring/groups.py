"""Groups G1 (best), G2, G3 of entries on one metric, by agglomerative clustering (paper section 4, "Ranking").

The cut points come from the usable shipped baselines; every other entry falls between fixed cut points, so that no
submission moves another's group. Reference rows take no part.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

GROUPS = ("G1", "G2", "G3")


def cut_points(values: ArrayLike) -> NDArray[np.float64]:
    """Ascending midpoints [k − 1] between the k = min(3, distinct values) neighbouring Ward clusters of ``values`` [n].

    Order does not matter; duplicates weigh in. Fewer than two distinct values give no cut: every entry is G1.
    ``ValueError`` for NaN or infinity.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1:
        raise ValueError(f"a vector of finite values expected, got {data!r}")
    cuts = all_cut_points(data[None])[0]
    return cuts[np.isfinite(cuts)]


def all_cut_points(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the cut points [k, 2] of each row of ``values`` [k, n] as :func:`cut_points`, NaN where there are fewer.

    On a line Ward's clusters are runs of the sorted values, so that only neighbours are merged: those whose merger adds
    least to the sum of squares, n₁n₂/(n₁ + n₂)·(m₁ − m₂)² for sizes n and means m.
    """
    if not np.isfinite(values).all():
        raise ValueError(f"finite values expected, got {values[~np.isfinite(values).all(axis=1)][0]!r}")
    ordered = np.sort(values, axis=1)
    rows, count = ordered.shape
    means, sizes = ordered.copy(), np.ones_like(ordered)
    starts = np.broadcast_to(np.arange(count), ordered.shape).copy()
    for left in range(count, len(GROUPS), -1):
        n1, n2, gap = sizes[:, :-1], sizes[:, 1:], np.diff(means, axis=1)
        merged = (n1 * n2 / (n1 + n2) * gap**2).argmin(axis=1)
        at = np.arange(rows), merged
        after = np.arange(rows), merged + 1
        total = sizes[at] + sizes[after]
        means[at] = (sizes[at] * means[at] + sizes[after] * means[after]) / total
        sizes[at] = total
        stays = np.arange(left) != merged[:, None] + 1
        means, sizes, starts = (part[stays].reshape(rows, left - 1) for part in (means, sizes, starts))
    cuts = np.full((rows, len(GROUPS) - 1), np.nan)
    for place in range(1, starts.shape[1]):
        first = starts[:, place]
        below, above = ordered[np.arange(rows), first - 1], ordered[np.arange(rows), first]
        cuts[:, place - 1] = np.where(below < above, (below + above) / 2, np.nan)
    return cuts


def places(values: ArrayLike, cuts: ArrayLike, lower_is_better: bool) -> NDArray[np.intp]:
    """0-based group of each of ``values`` [..., n] between ``cuts`` [..., c]; a value on a cut is in the better group.

    0 is G1; a cut that is NaN does not count.
    """
    data, limits = np.asarray(values, dtype=np.float64), np.asarray(cuts, dtype=np.float64)[..., None, :]
    found = np.zeros(np.broadcast_shapes(data.shape, limits.shape[:-1]), dtype=np.intp)
    for limit in np.moveaxis(limits, -1, 0):  # one after the other: a sum over so short an axis takes much longer
        found += limit < data if lower_is_better else limit > data
    return found
