"""How far two results of one method may lie apart when it is run again."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit


def reproducibility_limit(values: ArrayLike, level: float = 0.95, least: float = 0.0) -> float:
    """Return what the difference of two results exceeds in ``1 − level`` of cases: t · √2 · s, at least ``least``.

    ``values`` [n] are results of the method; s is their standard deviation, t the two-sided quantile of Student's
    distribution with n − 1 degrees of freedom (ISO 5725-6, section 4.1, which takes 1.96 for a known s). NaN for fewer
    than three values: two say next to nothing of a spread.
    """
    data = np.asarray(values, dtype=np.float64)
    if not 0.0 < level < 1.0:
        raise ValueError(f"level is {level}, outside (0, 1)")
    if data.size < 3:
        return math.nan
    return max(least, float(stdtrit(data.size - 1, (1 + level) / 2) * math.sqrt(2) * data.std(ddof=1)))
