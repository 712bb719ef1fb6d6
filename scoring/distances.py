"""Distances to the retrained model: normalised L2 of outputs and of weights (0 is equal)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import softmax

COUNTERS = ("num_batches_tracked",)


def output_distance(logits: ArrayLike, retrained: ArrayLike) -> float:
    """‖softmax(U) − softmax(Re)‖ / ‖softmax(Re)‖ over all entries of logits [n, classes]; from 0 up to about 1.4.

    Raises:
        ValueError: different shapes, no examples, or non-finite logits.
    """
    own, reference = np.asarray(logits, dtype=np.float64), np.asarray(retrained, dtype=np.float64)
    if own.ndim != 2 or own.shape != reference.shape or own.size == 0:
        raise ValueError(f"two equal shapes [n, classes] expected, got {own.shape} and {reference.shape}")
    if not (np.isfinite(own).all() and np.isfinite(reference).all()):
        raise ValueError("logits are not finite")
    expected = softmax(reference, axis=1)
    return float(np.linalg.norm(softmax(own, axis=1) - expected) / np.linalg.norm(expected))


def weight_distance(weights: Mapping[str, ArrayLike], retrained: Mapping[str, ArrayLike]) -> float:
    """‖U − Re‖ / ‖Re‖ over all weights and buffers by name, without batch-norm's counters of batches.

    Raises:
        ValueError: different names or shapes, non-finite values, or a retrained model of zeros only.
    """
    own, reference = _values(weights), _values(retrained)
    if own.keys() != reference.keys():
        raise ValueError(f"weights of two architectures: {', '.join(sorted(own.keys() ^ reference.keys()))}")
    shapes = [name for name in own if own[name].shape != reference[name].shape]
    if shapes:
        raise ValueError(f"weights of different shapes: {', '.join(shapes)}")
    apart = math.sqrt(sum(float(np.sum((own[name] - reference[name]) ** 2)) for name in own))
    length = math.sqrt(sum(float(np.sum(value**2)) for value in reference.values()))
    if not (math.isfinite(apart) and math.isfinite(length)):
        raise ValueError("weights are not finite")
    if length == 0.0:
        raise ValueError("the retrained model has no weight but 0")
    return apart / length


def _values(weights: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    return {
        name: np.asarray(value, dtype=np.float64)
        for name, value in weights.items()
        if name.rsplit(".", 1)[-1] not in COUNTERS
    }
