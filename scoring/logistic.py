"""Logistic regression on one feature, to its exact optimum: two parameters need no general optimiser."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.scoring.cross_validation import Values

STEPS = 100
TOLERANCE = 1e-14
HALVINGS = 50


def fits(both: Values, held_out: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether each rule [k] calls values [2, n] those of row 0, [k, 2, n]; rule i is fitted without ``held_out[i]``."""
    x, y = both.ravel(), np.repeat([1.0, 0.0], both.shape[1])
    slope, intercept = coefficients(x, y, np.tile(~held_out, 2))
    return np.asarray(slope[:, None, None] * both + intercept[:, None, None] > 0)


def coefficients(x: Values, y: Values, counted: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Slopes w and intercepts b [k] that minimise Σ log(1 + exp(−(2y − 1)(wx + b))) + w²/2, y being 0 or 1.

    For x and y [n]; problem i has the examples ``counted[i]`` [k, n]. The penalty is scikit-learn's default (C = 1, no
    penalty on b). Newton's method on this strictly convex function: a step that does not lower it is halved, until
    the next one could lower it by rounding errors only.
    """
    weight, sign = counted.astype(np.float64), 1.0 - 2.0 * y
    slope, intercept = np.zeros((2, len(weight)))
    value = _objective(x, sign, weight, slope, intercept)
    open_ = np.arange(len(weight))
    for _ in range(STEPS):
        w, b, some = slope[open_], intercept[open_], weight[open_]
        p = 0.5 * (1.0 + np.tanh(0.5 * (w[:, None] * x + b[:, None])))
        error, spread = (p - y) * some, p * (1.0 - p) * some
        weighted = spread * x
        g = error @ x + w, error.sum(axis=1)
        h = weighted @ x + 1.0, weighted.sum(axis=1), spread.sum(axis=1)
        determinant = h[0] * h[2] - h[1] * h[1]
        going = determinant > 0.0  # else every example is called with certainty: flat in b
        safe = np.where(going, determinant, 1.0)
        step = (h[2] * g[0] - h[1] * g[1]) / safe, (h[0] * g[1] - h[1] * g[0]) / safe
        last = going & (g[0] * step[0] + g[1] * step[1] <= TOLERANCE * value[open_])
        slope[open_[last]] -= step[0][last]
        intercept[open_[last]] -= step[1][last]
        going &= ~last
        open_, step = open_[going], (step[0][going], step[1][going])
        lower = np.zeros(len(open_), dtype=bool)
        for halving in range(HALVINGS):
            rest = np.flatnonzero(~lower)
            if not rest.size:
                break
            share, these = 0.5**halving, open_[rest]
            w, b = slope[these] - share * step[0][rest], intercept[these] - share * step[1][rest]
            new = _objective(x, sign, weight[these], w, b)
            better = new < value[these]
            slope[these[better]], intercept[these[better]], value[these[better]] = w[better], b[better], new[better]
            lower[rest[better]] = True
        open_ = open_[lower]
        if not open_.size:
            break
    return slope, intercept


def _objective(x: Values, sign: Values, weight: Values, slope: Values, intercept: Values) -> Values:
    each = np.logaddexp(0.0, sign * (slope[:, None] * x + intercept[:, None]))
    return np.asarray((each * weight).sum(axis=1) + slope * slope / 2)
