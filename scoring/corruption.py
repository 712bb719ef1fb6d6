"""Corrected accuracy and attack success rate, where a part of the training data was corrupted.

Corrective unlearning (Goel et al. 2024, arXiv:2402.14015) asks whether a model answers unseen examples of the affected
kind correctly once the identified part of what was corrupted is forgotten. Each of n examples has two indices: i in
its clean form, n + i in its corrupted one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.integer]
Floats = NDArray[np.floating]


@dataclass(frozen=True)
class CorruptedForms:
    """Which examples of a track could be corrupted, and how."""

    eligible: NDArray[np.bool_]
    """[n], of the clean forms: whether an example could be corrupted, by its class."""
    trigger: bool = False
    """Whether the corrupted form has a trigger in its image."""
    target: int | None = None
    """The class that the trigger stands for."""

    def of(self, examples: Indices) -> NDArray[np.int64]:
        """Return the corrupted forms of those of the clean ``examples`` that could be corrupted."""
        return np.asarray(examples[self.eligible[examples]] + len(self.eligible), dtype=np.int64)

    def clean(self, examples: Indices) -> NDArray[np.int64]:
        """Return the clean forms of examples in either form."""
        return np.asarray(examples % len(self.eligible), dtype=np.int64)

    def corrected_accuracy(self, logits: Floats, labels: Indices, test: Indices) -> float | None:
        """Return the accuracy on affected test examples under their true labels; ``None`` without any.

        With a trigger these are the images that have it, otherwise the clean images of the classes in question.

        Args:
            logits: [2n, classes], of the model.
            labels: [2n]; those of the first n are true.
            test: clean test examples.
        """
        affected = self.of(test)
        images = affected if self.trigger else self.clean(affected)
        return _share(logits[images].argmax(axis=1) == labels[self.clean(affected)])

    def attack_success(self, logits: Floats, test: Indices) -> float | None:
        """Return the share of test images with the trigger, of other classes, that the model takes for the target's.

        ``None`` without a trigger.
        """
        if not self.trigger:
            return None
        return _share(logits[self.of(test)].argmax(axis=1) == self.target)

    def accuracy_elsewhere(self, logits: Floats, labels: Indices, test: Indices) -> float | None:
        """Return the accuracy on test examples that the corruption does not affect; ``None`` where it affects all.

        With a trigger these are all clean images, otherwise those of the other classes.
        """
        others = test if self.trigger else test[~self.eligible[test]]
        return _share(logits[others].argmax(axis=1) == labels[others])


def _share(hits: NDArray[np.bool_]) -> float | None:
    return float(hits.mean()) if hits.size else None
