"""Two entries side by side: differences per seed, or per pair of shadow splits, with their intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
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


def paired_p(a: Mapping[int, float], b: Mapping[int, float], ratio: bool = False) -> float:
    """Return the two-sided p-value of Student's paired t-test over the seeds that both have; NaN for a single one.

    ``ratio``: of the logarithms. ``ValueError`` when they share no seed.
    """
    from scipy.stats import ttest_1samp  # its import takes longer than a board

    shared = sorted(a.keys() & b.keys())
    if not shared:
        raise ValueError("the two have no seed in common")
    left, right = (np.array([values[seed] for seed in shared], dtype=np.float64) for values in (a, b))
    differences = np.log(left / right) if ratio else left - right
    if len(shared) == 1:
        return math.nan
    if (differences == differences[0]).all():
        return 1.0 if differences[0] == 0.0 else 0.0
    return float(ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for their number by Holm's step-down method (Holm 1979), in the same order.

    Where those below 0.05 are called differences, the chance of one false call among all of them is at most 5 %,
    however the tests depend on one another. NaN, a test that could not be made, stays NaN and does not count.
    """
    made = sorted((p, place) for place, p in enumerate(p_values) if not math.isnan(p))
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, (p, place) in enumerate(made):
        largest = max(largest, min(1.0, (len(made) - rank) * p))
        adjusted[place] = largest
    return adjusted
