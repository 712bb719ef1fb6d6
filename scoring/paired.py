"""Two entries side by side: differences per seed, or per pair of shadow splits, with their intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from unlearn_bench.scoring.intervals import Interval, geometric_interval, mean_interval


@dataclass(frozen=True)
class PairedDifference:
    """One metric of entries a and b over what both have."""

    metric: str
    a: float
    b: float
    """Means; geometric for a ratio."""
    change: Interval
    """a − b per seed, or a / b for a ratio."""
    ratio: bool = False

    @property
    def clear(self) -> bool:
        """Whether the interval excludes equality."""
        return self.change.n > 1 and not self.change.low <= (1.0 if self.ratio else 0.0) <= self.change.high


def paired_difference(
    metric: str, a: Mapping[int, float], b: Mapping[int, float], ratio: bool = False, level: float = 0.95
) -> PairedDifference:
    """Compare values by seed; only seeds that both have count.

    ``ratio``: on a logarithmic scale (speed). ``level``: of the interval. ``ValueError`` when they share none.
    """
    shared = sorted(a.keys() & b.keys())
    if not shared:
        raise ValueError(f"{metric}: the two have no seed in common")
    left, right = (np.array([values[seed] for seed in shared], dtype=np.float64) for values in (a, b))
    interval = geometric_interval if ratio else mean_interval
    change = interval(left / right if ratio else left - right, level)
    return PairedDifference(metric, interval(left).mean, interval(right).mean, change, ratio)
