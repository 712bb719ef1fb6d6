"""Curves for people to look at: loss histograms and ROC curves of forgotten against unseen examples."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

EDGES = np.linspace(-7.0, 1.5, 35)
"""Bins of log10 of the loss in nats; what lies outside counts in the outermost bins."""
FPR = np.logspace(-4.0, 0.0, 33)
"""False positive rates at which ROC curves are read, evenly spaced on a log axis."""


def loss_histogram(losses: ArrayLike) -> NDArray[np.int64]:
    """Return counts [34] of cross-entropy losses [n] in the bins of ``EDGES``."""
    logs = np.log10(np.maximum(np.asarray(losses, np.float64), 1e-300))
    return np.histogram(np.clip(logs, EDGES[0], EDGES[-1]), EDGES)[0]


def roc(forget: ArrayLike, unseen: ArrayLike) -> NDArray[np.float64]:
    """Return true positive rates [33] at the false positive rates ``FPR`` of the attack "a small loss was forgotten".

    Each is the largest rate that a threshold on the losses reaches without exceeding the false positive rate; below 1/m
    no unseen example may be taken for a forgotten one.

    Args:
        forget: losses [n] of forget examples.
        unseen: losses [m] of unseen examples.
    """
    forget_losses, unseen_losses = np.asarray(forget, np.float64), np.sort(np.asarray(unseen, np.float64))
    allowed = np.floor(FPR * len(unseen_losses) + 1e-9).astype(int)
    limits = np.append(unseen_losses, np.inf)[np.minimum(allowed, len(unseen_losses))]
    return np.array([np.mean(forget_losses < limit) for limit in limits])
