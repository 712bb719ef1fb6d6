"""Groups G1 (best), G2, G3 of entries on one metric, by agglomerative clustering (paper section 4, "Ranking").

The cut points come from the usable shipped baselines; every other entry falls between fixed cut points, so that no
submission moves another's group. Reference rows take no part.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.cluster.hierarchy import linkage

GROUPS = ("G1", "G2", "G3")


def cut_points(values: ArrayLike) -> NDArray[np.float64]:
    """Ascending midpoints [k − 1] between the k = min(3, distinct values) neighbouring Ward clusters of ``values`` [n].

    Order does not matter; duplicates weigh in. Fewer than two distinct values give no cut: every entry is G1.
    ``ValueError`` for NaN or infinity.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if ordered.ndim != 1 or not np.isfinite(ordered).all():
        raise ValueError(f"a vector of finite values expected, got {ordered!r}")
    distinct = np.unique(ordered)
    if distinct.size <= len(GROUPS):
        return (distinct[:-1] + distinct[1:]) / 2
    # On a line Ward's clusters are runs of the sorted values: each merge removes the start of the right one.
    first = list(range(ordered.size))
    removed = []
    for left, right in linkage(ordered[:, None], "ward")[:, :2].astype(int).tolist():
        first.append(min(first[left], first[right]))
        removed.append(max(first[left], first[right]))
    starts = np.sort(removed[1 - len(GROUPS) :])
    return (ordered[starts - 1] + ordered[starts]) / 2


def places(values: ArrayLike, cuts: ArrayLike, lower_is_better: bool) -> NDArray[np.intp]:
    """0-based group of each of ``values`` [n] (0 is G1); a value on a cut point is in the better group."""
    data, limits = np.asarray(values, dtype=np.float64), np.asarray(cuts, dtype=np.float64)
    if lower_is_better:
        return np.searchsorted(limits, data, side="left")
    return len(limits) - np.searchsorted(limits, data, side="right")
