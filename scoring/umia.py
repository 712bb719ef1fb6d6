"""U-MIA: the population-based membership inference attack on losses (paper section 2, footnote 1)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from unlearn_bench.scoring import logistic
from unlearn_bench.scoring.cross_validation import Values, checked, cross_validated


def umia(forget: ArrayLike, unseen: ArrayLike, seed: int = 0) -> float:
    """Accuracy in [0, 1] of telling forget losses [n] from losses [m] of unseen examples (test; for tuning, val).

    The larger side is shuffled and cut into disjoint chunks of the smaller side's size (a remainder is dropped). For
    each chunk a logistic regression on the loss is cross-validated in 10 stratified folds; the result is the mean
    accuracy over folds and chunks. 0.5 is chance; an accuracy below it reveals as much as one equally far above.

    The result depends on the multisets of losses and on ``seed``, never on the order of the examples.
    ``ValueError`` for a NaN or infinite loss (a failed unit) and for fewer than 10 examples a side.
    """
    forget_values, unseen_values = standardised(*checked(forget, unseen))
    return cross_validated(forget_values, unseen_values, logistic.fits, seed)


def standardised(*sides: Values) -> list[Values]:
    """Return the sides about their common median, in units of their spread where that is below 1.

    The regression's penalty is absolute: without this scaling, a model with logits a million times smaller would read
    0.5 whatever it leaks.
    """
    pooled = np.concatenate([side.ravel() for side in sides])
    unit = min(1.0, float(pooled.std())) or 1.0
    centre = float(np.median(pooled))
    return [(side - centre) / unit for side in sides]


def discernibility(mia: float) -> float:
    """Disc = |2·MIA − 1| in [0, 1]; 0 when the attack does no better than guessing."""
    return abs(2.0 * mia - 1.0)


def indiscernibility(mia: float) -> float:
    """Indisc = 1 − Disc in [0, 1]; 1 is best. Taken per seed, then averaged."""
    return 1.0 - discernibility(mia)


def sampling_error(forget: int, unseen: int, splits: int = 1) -> float:
    """Return the standard error of mean Indisc near chance that is due to the finite forget and unseen sets.

    It shrinks with the number of independent ``splits``, not with that of seeds that share one: differences below it
    are ties. The variance of an attack's accuracy near chance is (1/n + 1/m)/16 for sets of n and m examples, and
    Indisc doubles the deviation.
    """
    return 0.5 * math.sqrt((1.0 / forget + 1.0 / unseen) / splits)
