"""U-MIA: the population-based membership inference attack on losses (paper section 2, footnote 1)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn import config_context
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

FOLDS = 10


def umia(forget: ArrayLike, unseen: ArrayLike, seed: int = 0) -> float:
    """Accuracy in [0, 1] of telling forget losses [n] from losses [m] of unseen examples (test; for tuning, val).

    The larger side is shuffled and cut into disjoint chunks of the smaller side's size (a remainder is dropped). For
    each chunk a logistic regression on the loss is cross-validated in 10 stratified folds; the result is the mean
    accuracy over folds and chunks. 0.5 is chance; what lies below is as telling as what lies above.

    The result depends on the multisets of losses and on ``seed``, never on the order of the examples.
    ``ValueError`` for a NaN or infinite loss (a failed unit) and for fewer than 10 examples a side.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (forget, unseen)]
    for name, side in zip(("forget", "unseen"), sides, strict=True):
        if side.ndim != 1 or side.size < FOLDS:
            raise ValueError(f"U-MIA needs a vector of at least {FOLDS} {name} losses, got shape {side.shape}")
        if not np.isfinite(side).all():
            raise ValueError(f"{np.count_nonzero(~np.isfinite(side))} of {side.size} {name} losses are not finite")

    # The regression's penalty and tolerance are absolute: without a unit of its own, a model that shrinks
    # its logits a million times would read 0.5 whatever it leaks.
    pooled = np.concatenate(sides)
    unit = min(1.0, float(pooled.std())) or 1.0
    centre = float(np.median(pooled))

    rng = np.random.default_rng(seed)
    small, large = (rng.permutation(np.sort((side - centre) / unit)) for side in sorted(sides, key=len))
    size = small.size
    # BLAS calls of a few microseconds: more threads only wait for each other.
    with (
        config_context(assume_finite=True, skip_parameter_validation=True),
        threadpool_limits(limits=1, user_api="blas"),
    ):
        starts = range(0, large.size - size + 1, size)
        return float(np.mean([_cross_validated(small, large[start : start + size]) for start in starts]))


def discernibility(mia: float) -> float:
    """Disc = |2·MIA − 1| in [0, 1]; 0 when the attack does no better than guessing."""
    return abs(2.0 * mia - 1.0)


def indiscernibility(mia: float) -> float:
    """Indisc = 1 − Disc in [0, 1]; 1 is best. Taken per seed, then averaged."""
    return 1.0 - discernibility(mia)


def sampling_error(forget: int, unseen: int) -> float:
    """Standard error of Indisc near chance that is due to the finite forget and unseen sets (their sizes).

    All seeds of a track with one split share it, so it does not shrink with the number of seeds: differences below it
    are ties. The variance of an attack's accuracy near chance is (1/n + 1/m)/16, and Indisc doubles the deviation.
    """
    return 0.5 * math.sqrt(1.0 / forget + 1.0 / unseen)


def _cross_validated(small: NDArray[np.float64], chunk: NDArray[np.float64]) -> float:
    """Mean held-out accuracy. Both sides [n] are shuffled and equally long: equal slices of both stratify exactly."""
    both = np.stack([small, chunk])
    model = LogisticRegression(max_iter=1000)
    scores = []
    for fold in np.array_split(np.arange(small.size), FOLDS):
        rest = np.delete(both, fold, axis=1)
        model.fit(rest.reshape(-1, 1), np.repeat([1, 0], rest.shape[1]))
        called = model.coef_[0, 0] * both[:, fold] + model.intercept_[0] > 0
        scores.append((called[0].mean() + 1.0 - called[1].mean()) / 2)
    return float(np.mean(scores))
