"""Memorisation: how much a model's being right on an example depends on having been trained on it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def memorisation(probabilities: ArrayLike, trained: ArrayLike) -> NDArray[np.float64]:
    """Mean probability of the label under models with the example minus that under models without it, [n] in [−1, 1].

    Feldman and Zhang 2020 (arXiv:2008.03703), equation 1, for many random training sets, with the probability of the
    label in the place of 0/1 correctness: a few models give few ties.

    Args:
        probabilities: [models, n], of each example's own label.
        trained: bool [models, n], whether the model was trained on the example.

    Raises:
        ValueError: shapes differ, a value is no probability, or an example has no model with it or none without.
    """
    p, member = np.asarray(probabilities, dtype=np.float64), np.asarray(trained, dtype=bool)
    if p.ndim != 2 or p.shape != member.shape:
        raise ValueError(f"two equal shapes [models, n] expected, got {p.shape} and {member.shape}")
    if not ((p >= 0) & (p <= 1)).all():
        raise ValueError("probabilities lie in [0, 1]")
    count = member.sum(axis=0)
    if (count == 0).any() or (count == len(p)).any():
        raise ValueError("every example needs a model that was trained on it and one that was not")
    inside, outside = np.where(member, p, 0.0).sum(axis=0), np.where(member, 0.0, p).sum(axis=0)
    return inside / count - outside / (len(p) - count)
