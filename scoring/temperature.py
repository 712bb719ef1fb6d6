"""Confidence taken out of logits before any attack reads them.

How large logits are says nothing about what a model has forgotten, and an entry can change it at will: a head divided
by 10²⁰ gives every example the same loss, and hides everything from an attack on losses. Logits are therefore centred
per example, brought to one scale per predicted class, and divided by one temperature (Guo et al. 2017,
arXiv:1706.04599), all of it fitted on the validation set, from which no model has learnt and which no attack calls.

Multiplying all logits by one number, or those of each predicted class by a number of its own, changes nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq
from scipy.special import softmax

Array = NDArray[np.float64]

LEAST_DISTINCT = 0.5
"""Share of different values of φ below which a model's outputs have collapsed: of real examples hardly two agree."""
SHARPEST, FLATTEST = 30.0, 0.03
"""Bounds of the scale of logits whose mean square on V is 1: without an error on V the likelihood has no maximum."""


@dataclass(frozen=True)
class Scaled:
    """Logits whose confidence is that of the validation set.

    Attributes:
        logits: float64 [n, classes], mean 0 over the classes of each example, of the same order as those given.
        temperature: what logits were divided by, the geometric mean over the validation examples. 0 where they are
            the same for every class.
    """

    logits: Array
    temperature: float


def scaled(logits: ArrayLike, labels: ArrayLike, val: ArrayLike) -> Scaled:
    """Return logits [n, classes] at the temperature that makes the labels [n] of the examples ``val`` likeliest.

    Before, those of each predicted class are divided by their root mean square over the examples of ``val`` of which
    the model says that class, or over all of ``val`` where it says it of none.

    Raises:
        ValueError: shapes that do not belong together, no validation example, or logits that are not finite.
    """
    values, targets, held_out = np.asarray(logits, np.float64), np.asarray(labels), np.asarray(val)
    if values.ndim != 2 or targets.shape != values.shape[:1] or not held_out.size:
        raise ValueError(
            f"logits [n, classes], labels [n] and validation examples expected, got {values.shape}, {targets.shape} "
            f"and {held_out.size} examples"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(values).all(axis=1))} examples have non-finite logits")
    values = values - values.mean(axis=1, keepdims=True)
    predicted = values.argmax(axis=1)
    squares = np.square(values[held_out]).mean(axis=1)
    counts = np.bincount(predicted[held_out], minlength=values.shape[1])
    sums = np.bincount(predicted[held_out], squares, minlength=values.shape[1])
    size = np.sqrt(np.where(counts > 0, sums / np.maximum(counts, 1), squares.mean()))
    unit = np.where(size > 0, size, 1.0)
    values = values / unit[predicted, None]
    sharpness = _likeliest(values[held_out], targets[held_out])
    mean_size = math.exp(np.log(size[predicted[held_out]]).mean()) if (size[predicted[held_out]] > 0).all() else 0.0
    return Scaled(values * sharpness, mean_size / sharpness)


def collapse(phi: ArrayLike) -> str:
    """Return why nothing can be read from φ [n] of a model's examples, for people; empty where something can.

    Outputs collapse where logits underflow, are clipped, or are the same for whole groups of examples.
    """
    values = np.asarray(phi)
    distinct = np.unique(values).size
    if distinct >= LEAST_DISTINCT * values.size:
        return ""
    losses = "the same loss" if distinct == 1 else f"{distinct} different losses"
    return f"its outputs have collapsed: {losses} on {values.size} examples"


def _likeliest(logits: Array, labels: NDArray[np.integer]) -> float:
    """Return the factor of logits [m, classes] that makes ``labels`` [m] likeliest, within the bounds."""
    of_labels = logits[np.arange(len(labels)), labels].mean()

    def slope(log_factor: float) -> float:
        probabilities = softmax(math.exp(log_factor) * logits, axis=1)
        return float((probabilities * logits).sum(axis=1).mean() - of_labels)

    low, high = math.log(FLATTEST), math.log(SHARPEST)
    if slope(low) >= 0.0:
        return FLATTEST
    if slope(high) <= 0.0:
        return SHARPEST
    return math.exp(brentq(slope, low, high, xtol=1e-13, rtol=1e-14))
