"""Means with confidence intervals over seeds."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtrit


@dataclass(frozen=True)
class Interval:
    """A mean over ``n`` seeds with its confidence interval.

    One value has no spread: with ``n == 1``, ``low`` and ``high`` equal ``mean``, and must not be printed as an
    interval. The limits are not clipped to a metric's range.
    """

    mean: float
    low: float
    high: float
    n: int

    @property
    def half_width(self) -> float:
        """Half of high − low: what follows the ± (for a geometric mean the two sides differ)."""
        return (self.high - self.low) / 2


def mean_interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Arithmetic mean of ``values`` [n] with Student's t interval.

    For a paired comparison of two entries pass the differences per seed. ``ValueError`` for no values, NaN or infinity.
    """
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or data.size == 0 or not np.isfinite(data).all():
        raise ValueError(f"a non-empty vector of finite values expected, got {data!r}")
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level}, outside (0, 1)")
    mean, n = float(data.mean()), data.size
    if n == 1:
        return Interval(mean, mean, mean, 1)
    half = float(stdtrit(n - 1, (1 + level) / 2) * data.std(ddof=1) / math.sqrt(n))
    return Interval(mean, mean - half, mean + half, n)


def mean_intervals(
    values: NDArray[np.float64], level: float = 0.95
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and both ends [rows] for rows of ``values`` [rows, n >= 1], as ``mean_interval``; NaN gives NaN."""
    mean, n = values.mean(axis=1), values.shape[1]
    if n == 1:
        return mean, mean, mean
    half = stdtrit(n - 1, (1 + level) / 2) * values.std(axis=1, ddof=1) / math.sqrt(n)
    return mean, mean - half, mean + half


def geometric_interval(ratios: ArrayLike, level: float = 0.95) -> Interval:
    """Geometric mean of positive ``ratios`` [n], such as speed-ups (RTE), with the t interval of their logarithms."""
    data = np.asarray(ratios, dtype=np.float64)
    if not (data > 0).all():
        raise ValueError(f"ratios must be positive, got {data!r}")
    log = mean_interval(np.log(data), level)
    return Interval(math.exp(log.mean), math.exp(log.low), math.exp(log.high), log.n)
