"""How much every example is memorised, from the shadow originals of a track."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import shadow_originals
from unlearn_bench.scoring.accuracy import cross_entropy
from unlearn_bench.scoring.memorisation import memorisation


def values(references: References) -> NDArray[np.float32]:
    """Return the memorisation of every example of the data set [n]; NaN outside of the population.

    Raises:
        StoreError: a shadow original is not trained.
    """
    population, labels = references.examples.population, references.examples.labels
    roles = shadow_originals(references.track)
    losses = np.stack([cross_entropy(references.logits(role)[population], labels[population]) for role in roles])
    trained = np.zeros(losses.shape, dtype=bool)
    for row, role in zip(trained, roles, strict=True):
        row[references.examples.design.half(role.seed)] = True
    scores = np.full(len(labels), np.nan, dtype=np.float32)
    scores[population] = memorisation(np.exp(-losses), trained)
    return scores
