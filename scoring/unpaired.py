"""One entry on two independent sets of seeds: the change of its means, with Welch's interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from unlearn_bench.scoring.intervals import Interval, geometric_interval, mean_interval


@dataclass(frozen=True)
class UnpairedDifference:
    """A metric on the public seeds and on fresh ones."""

    metric: str
    public: Interval
    fresh: Interval
    """Means over seeds with their 95 % intervals; geometric for a ratio."""
    mean: float
    low: float
    high: float
    """public − fresh, or public / fresh for a ratio, with the interval of the level asked for."""
    ratio: bool
    lower_is_better: bool

    @property
    def better(self) -> bool:
        """Whether the interval lies wholly on the side where the public seeds are better."""
        even = 1.0 if self.ratio else 0.0
        return self.high < even if self.lower_is_better else self.low > even


def unpaired_difference(
    metric: str,
    public: Sequence[float],
    fresh: Sequence[float],
    *,
    lower_is_better: bool = False,
    ratio: bool = False,
    level: float = 0.95,
) -> UnpairedDifference:
    """Compare values of seeds [n] and [m], n, m ≥ 2, of unequal variance. ``ratio``: on a logarithmic scale (speed).

    ``ValueError`` for fewer values, and for values that are not finite.
    """
    if min(len(public), len(fresh)) < 2:
        raise ValueError(f"{metric}: {len(public)} and {len(fresh)} seeds: at least two of each are needed")
    interval = geometric_interval if ratio else mean_interval
    means = interval(public), interval(fresh)
    public_values, fresh_values = (
        np.log(values) if ratio else np.asarray(values, dtype=np.float64) for values in (public, fresh)
    )
    mean = low = high = float(public_values.mean() - fresh_values.mean())
    if public_values.std() > 0 or fresh_values.std() > 0:
        low, high = map(float, stats.ttest_ind(public_values, fresh_values, equal_var=False).confidence_interval(level))
    if ratio:
        mean, low, high = map(math.exp, (mean, low, high))
    return UnpairedDifference(metric, *means, mean, low, high, ratio, lower_is_better)
