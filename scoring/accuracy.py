"""Accuracy and cross-entropy of one model from its logits (paper section 2, equation 1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

SPLITS = ("retain", "forget", "val", "test")


@dataclass(frozen=True)
class Accuracies:
    """RA, FA, VA and TA of one model, as fractions in [0, 1]; anything else raises ``ValueError``."""

    retain: float
    forget: float
    val: float
    test: float

    def __post_init__(self) -> None:
        for name in SPLITS:
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ValueError(f"{name} accuracy is {getattr(self, name)}, outside [0, 1]")


def accuracies(logits: ArrayLike, labels: ArrayLike, split: Mapping[str, ArrayLike]) -> Accuracies:
    """Return the accuracy on each index array of ``split`` (keys ``retain``, ``forget``, ``val``, ``test``).

    ``logits`` [N, C] and integer ``labels`` [N] cover every example of the track; of equal logits the first class
    counts. ``ValueError`` for non-finite logits (``argmax`` would turn NaN into class 0), bad labels and empty splits.
    """
    scores, targets = _checked(logits, labels)
    hits = scores.argmax(axis=1) == targets
    missing = [name for name in SPLITS if name not in split or np.size(split[name]) == 0]
    if missing:
        raise ValueError(f"split without examples for: {', '.join(missing)}")
    return Accuracies(**{name: float(hits[np.asarray(split[name])].mean()) for name in SPLITS})


def margins(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """φ = z_y − logsumexp over j ≠ y of z_j, float64 [N]: the log-odds of the true class.

    Taken from the logits, since a float32 softmax gives infinities on most samples. Same errors as ``accuracies``.
    """
    scores, targets = _checked(logits, labels)
    other_logits = scores.astype(np.float64)
    rows = np.arange(len(targets))
    true_logits = other_logits[rows, targets]
    other_logits[rows, targets] = -np.inf
    return np.asarray(true_logits - logsumexp(other_logits, axis=1), dtype=np.float64)


def cross_entropy(logits: ArrayLike, labels: ArrayLike) -> NDArray[np.float64]:
    """Cross-entropy loss of each example in nats, float64 [N]. Same errors as ``accuracies``.

    log(1 + e^−φ) keeps the relative precision of the tiny losses of confident examples, where
    logsumexp(z) − z_y would round to 0.
    """
    return np.logaddexp(0.0, -margins(logits, labels))


def _checked(logits: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.integer]]:
    scores, targets = np.asarray(logits), np.asarray(labels)
    if scores.ndim != 2 or scores.shape[1] < 2 or targets.shape != scores.shape[:1]:
        raise ValueError(f"logits [N, C >= 2] and labels [N] expected, got {scores.shape} and {targets.shape}")
    if not np.isfinite(scores).all():
        raise ValueError(f"{np.count_nonzero(~np.isfinite(scores).all(axis=1))} examples have non-finite logits")
    if not np.issubdtype(targets.dtype, np.integer):
        raise ValueError(f"labels must be integers, not {targets.dtype}")
    if targets.size and not 0 <= targets.min() <= targets.max() < scores.shape[1]:
        raise ValueError(f"labels outside 0..{scores.shape[1] - 1}")
    return scores, targets
