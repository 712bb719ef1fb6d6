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
    outputs, reference_outputs = np.asarray(logits, dtype=np.float64), np.asarray(retrained, dtype=np.float64)
    if outputs.ndim != 2 or outputs.shape != reference_outputs.shape or outputs.size == 0:
        raise ValueError(f"two equal shapes [n, classes] expected, got {outputs.shape} and {reference_outputs.shape}")
    if not (np.isfinite(outputs).all() and np.isfinite(reference_outputs).all()):
        raise ValueError("logits are not finite")
    expected = softmax(reference_outputs, axis=1)
    return float(np.linalg.norm(softmax(outputs, axis=1) - expected) / np.linalg.norm(expected))


def weight_distance(weights: Mapping[str, ArrayLike], retrained: Mapping[str, ArrayLike]) -> float:
    """‖U − Re‖ / ‖Re‖ over all weights and buffers by name, without batch-norm's counters of batches.

    Raises:
        ValueError: different names or shapes, non-finite values, or a retrained model of zeros only.
    """
    tensors, reference_tensors = _values(weights), _values(retrained)
    if tensors.keys() != reference_tensors.keys():
        raise ValueError(
            f"weights of two architectures: {', '.join(sorted(tensors.keys() ^ reference_tensors.keys()))}"
        )
    shapes = [name for name in tensors if tensors[name].shape != reference_tensors[name].shape]
    if shapes:
        raise ValueError(f"weights of different shapes: {', '.join(shapes)}")
    difference_norm = math.sqrt(sum(float(np.sum((tensors[name] - reference_tensors[name]) ** 2)) for name in tensors))
    reference_norm = math.sqrt(sum(float(np.sum(value**2)) for value in reference_tensors.values()))
    if not (math.isfinite(difference_norm) and math.isfinite(reference_norm)):
        raise ValueError("weights are not finite")
    if reference_norm == 0.0:
        raise ValueError("the retrained model has no weight but 0")
    return difference_norm / reference_norm


def _values(weights: Mapping[str, ArrayLike]) -> dict[str, NDArray[Any]]:
    return {
        name: np.asarray(value, dtype=np.float64)
        for name, value in weights.items()
        if name.rsplit(".", 1)[-1] not in COUNTERS
    }
