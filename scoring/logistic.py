"""Logistic regression on one feature, to its exact optimum: two parameters need no general optimiser."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.scoring.cross_validation import Values

STEPS = 100
TOLERANCE = 1e-14
HALVINGS = 50


def fits(sides: Values, held_out: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return whether rule i assigns each value [2, n] to row 0, [k, 2, n]; it is fitted without ``held_out[i]``."""
    x, y = sides.ravel(), np.repeat([1.0, 0.0], sides.shape[1])
    slope, intercept = coefficients(x, y, np.tile(~held_out, 2))
    return np.asarray(slope[:, None, None] * sides + intercept[:, None, None] > 0)


def coefficients(x: Values, y: Values, counted: NDArray[np.bool_]) -> tuple[Values, Values]:
    """Slopes w and intercepts b [k] that minimise Σ log(1 + exp(−(2y − 1)(wx + b))) + w²/2, y being 0 or 1.

    For x and y [n]; problem i has the examples ``counted[i]`` [k, n]. The penalty is scikit-learn's default (C = 1, no
    penalty on b). Newton's method on this strictly convex function: a step that does not lower it is halved, until
    the next one could lower it by rounding errors only.
    """
    weight, sign = counted.astype(np.float64), 1.0 - 2.0 * y
    slope, intercept = np.zeros((2, len(weight)))
    value = _objective(x, sign, weight, slope, intercept)
    active = np.arange(len(weight))
    for _ in range(STEPS):
        w, b, active_weight = slope[active], intercept[active], weight[active]
        probability = 0.5 * (1.0 + np.tanh(0.5 * (w[:, None] * x + b[:, None])))
        error, spread = (probability - y) * active_weight, probability * (1.0 - probability) * active_weight
        weighted = spread * x
        gradient = error @ x + w, error.sum(axis=1)
        hessian = weighted @ x + 1.0, weighted.sum(axis=1), spread.sum(axis=1)
        determinant = hessian[0] * hessian[2] - hessian[1] * hessian[1]
        regular = determinant > 0.0  # otherwise every example is called with certainty, and the objective is flat in b
        safe_determinant = np.where(regular, determinant, 1.0)
        step = (
            (hessian[2] * gradient[0] - hessian[1] * gradient[1]) / safe_determinant,
            (hessian[0] * gradient[1] - hessian[1] * gradient[0]) / safe_determinant,
        )
        converged = regular & (gradient[0] * step[0] + gradient[1] * step[1] <= TOLERANCE * value[active])
        slope[active[converged]] -= step[0][converged]
        intercept[active[converged]] -= step[1][converged]
        regular &= ~converged
        active, step = active[regular], (step[0][regular], step[1][regular])
        lowered = np.zeros(len(active), dtype=bool)
        for halving in range(HALVINGS):
            pending = np.flatnonzero(~lowered)
            if not pending.size:
                break
            share, problems = 0.5**halving, active[pending]
            w, b = slope[problems] - share * step[0][pending], intercept[problems] - share * step[1][pending]
            new = _objective(x, sign, weight[problems], w, b)
            better = new < value[problems]
            slope[problems[better]], intercept[problems[better]], value[problems[better]] = (
                w[better],
                b[better],
                new[better],
            )
            lowered[pending[better]] = True
        active = active[lowered]
        if not active.size:
            break
    return slope, intercept


def _objective(x: Values, sign: Values, weight: Values, slope: Values, intercept: Values) -> Values:
    losses = np.logaddexp(0.0, sign * (slope[:, None] * x + intercept[:, None]))
    return np.asarray((losses * weight).sum(axis=1) + slope * slope / 2)
