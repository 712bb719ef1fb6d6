"""Logistic regression on one feature, to its exact optimum: two parameters need no general optimiser."""

from __future__ import annotations

import numpy as np

from scoring.folds import Rule, Values

STEPS = 100
TOLERANCE = 1e-14
HALVINGS = 50


def fit(training: Values) -> Rule:
    """A rule from training values [2, n]: row 0 is what the rule calls ``True``."""
    slope, intercept = coefficients(training.ravel(), np.repeat([1.0, 0.0], training.shape[1]))
    return lambda values: slope * values + intercept > 0


def coefficients(x: Values, y: Values) -> tuple[float, float]:
    """Slope w and intercept b that minimise Σ log(1 + exp(−(2y − 1)(wx + b))) + w²/2, for x [n] and y [n] of 0 and 1.

    The penalty is scikit-learn's default (C = 1, no penalty on b). Newton's method on this strictly convex function:
    a step that does not lower it is halved, until the next one could lower it by rounding errors only.
    """
    sign = 1.0 - 2.0 * y
    slope = intercept = 0.0
    value = _objective(x, sign, slope, intercept)
    for _ in range(STEPS):
        p = 0.5 * (1.0 + np.tanh(0.5 * (slope * x + intercept)))
        error, spread = p - y, p * (1.0 - p)
        weighted = spread * x
        g = float(error @ x) + slope, float(error.sum())
        h = float(weighted @ x) + 1.0, float(weighted.sum()), float(spread.sum())
        determinant = h[0] * h[2] - h[1] * h[1]
        if not determinant > 0.0:  # every example is called with certainty: flat in b
            break
        step = (h[2] * g[0] - h[1] * g[1]) / determinant, (h[0] * g[1] - h[1] * g[0]) / determinant
        if g[0] * step[0] + g[1] * step[1] <= TOLERANCE * value:
            return slope - step[0], intercept - step[1]
        for halving in range(HALVINGS):
            share = 0.5**halving
            w, b = slope - share * step[0], intercept - share * step[1]
            if (new := _objective(x, sign, w, b)) < value:
                break
        else:
            break
        slope, intercept, value = w, b, new
    return slope, intercept


def _objective(x: Values, sign: Values, slope: float, intercept: float) -> float:
    return float(np.logaddexp(0.0, sign * (slope * x + intercept)).sum()) + slope * slope / 2
