"""Cross-validated accuracy of telling the forget set from unseen examples by one number per example."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

FOLDS = 10

Values = NDArray[np.float64]
Fits = Callable[[Values, NDArray[np.bool_]], NDArray[np.bool_]]
"""Fits a rule in each of k folds: from values [2, n] and the positions [k, n] that each fold holds out of both rows to
calls [k, 2, n], which say whether the rule that was fitted to the other positions assigns a value to row 0."""


def checked(forget: ArrayLike, unseen: ArrayLike) -> tuple[Values, Values]:
    """Return both sides as float64 vectors.

    Raises:
        ValueError: fewer than 10 examples a side, or a loss that is NaN or infinite (a failed unit).
    """
    sides = np.asarray(forget, dtype=np.float64), np.asarray(unseen, dtype=np.float64)
    for name, side in zip(("forget", "unseen"), sides, strict=True):
        if side.ndim != 1 or side.size < FOLDS:
            raise ValueError(f"{FOLDS} folds need a vector of at least {FOLDS} {name} losses, got shape {side.shape}")
        if not np.isfinite(side).all():
            raise ValueError(f"{np.count_nonzero(~np.isfinite(side))} of {side.size} {name} losses are not finite")
    return sides


def folds(size: int) -> NDArray[np.bool_]:
    """Return 10 slices of the positions 0…size − 1, each held out once: [10, size]."""
    held_out = np.zeros((FOLDS, size), dtype=bool)
    for fold, positions in zip(held_out, np.array_split(np.arange(size), FOLDS), strict=True):
        fold[positions] = True
    return held_out


def cross_validated(forget: Values, unseen: Values, fits: Fits, seed: int) -> float:
    """Mean held-out accuracy in [0, 1] over folds and chunks; sides [n] and [m] as ``checked`` gives them.

    The larger side is shuffled and cut into disjoint chunks of the smaller side's size (a remainder is dropped). Each
    chunk is told from the smaller side in 10 stratified folds. The result depends on the multisets of values and on
    ``seed``, never on the order of the examples.
    """
    rng = np.random.default_rng(seed)
    small, large = (rng.permutation(np.sort(side)) for side in sorted((forget, unseen), key=len))
    size = small.size
    starts = range(0, large.size - size + 1, size)
    return float(np.mean([_over_folds(np.stack([small, large[start : start + size]]), fits) for start in starts]))


def _over_folds(sides: Values, fits: Fits) -> float:
    """Mean accuracy over the folds; as both rows are shuffled, equal slices of them stratify exactly."""
    held_out = folds(sides.shape[1])
    called = (fits(sides, held_out) & held_out[:, None]).sum(axis=2) / held_out.sum(axis=1)[:, None]
    return float(((called[:, 0] + 1.0 - called[:, 1]) / 2).mean())
