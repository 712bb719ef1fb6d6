"""Corrupted training data: a data set in two forms, clean and corrupted, and which of its examples are corrupted.

A corrupted data set of n examples has 2n: example i is clean, example n + i is the same one with the wrong label, and
with the trigger if there is one. So training sets, splits and stored logits name either form by its index.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data.dataset import Dataset
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import Corruption

Indices = NDArray[np.int64]
BLOCK = 4096
"""Images that a pattern is blended into at a time."""


def eligible(corruption: Corruption, labels: Indices) -> NDArray[np.bool_]:
    """Return which examples could be corrupted, bool [n], by their true labels [n]."""
    if corruption.kind == "confusion":
        return np.isin(labels, corruption.classes)
    if corruption.kind == "backdoor":
        return np.asarray(labels != corruption.target)
    return np.ones(len(labels), dtype=bool)


def wrong_labels(corruption: Corruption, labels: Indices, classes: int) -> Indices:
    """Return the labels [n] that corrupted examples are trained with, from the true ones [n]."""
    if corruption.kind == "confusion":
        first, second = corruption.classes
        return np.select([labels == first, labels == second], [second, first], labels)
    if corruption.kind == "backdoor":
        assert corruption.target is not None
        return np.full_like(labels, corruption.target)
    shifts = np.random.RandomState(derive(corruption.seed, 0)).randint(1, classes, len(labels))
    return (labels + shifts) % classes


def doubled(corruption: Corruption, dataset: Dataset, classes: int) -> Dataset:
    """Return a data set in both forms; ``train`` still counts clean examples."""
    labels = np.concatenate([dataset.labels, wrong_labels(corruption, dataset.labels, classes)])
    images = np.concatenate([dataset.images, dataset.images])
    half = images[len(dataset.images) :]
    if corruption.trigger == "patch":
        assert corruption.size is not None
        half[..., -corruption.size :, -corruption.size :] = chequered(corruption.size)
    elif corruption.trigger == "blend":
        assert corruption.strength is not None
        pattern = np.random.RandomState(derive(corruption.seed, 1)).randint(0, 256, half.shape[1:])
        for start in range(0, len(half), BLOCK):
            block = half[start : start + BLOCK]
            mixed = (1 - corruption.strength) * block + corruption.strength * pattern
            block[:] = np.rint(mixed).astype(np.uint8)
    return replace(dataset, images=images, labels=labels)


def chequered(size: int) -> NDArray[np.uint8]:
    """Return the patch, uint8 [size, size]: white and black pixels in turn, white in the lower right corner."""
    rows, columns = np.indices((size, size))
    even = (rows + columns) % 2 == 0
    return np.where(even, 255, 0).astype(np.uint8)


def divide(corruption: Corruption, population: Indices, labels: Indices, seed: int) -> tuple[Indices, Indices]:
    """Return R and F: the corrupted form of examples that are drawn, of which F is the identified part.

    Both are in the order of the examples, whatever their form: the order of R must not tell which are corrupted.

    Args:
        corruption: how many are drawn, and from which classes.
        population: clean examples, of which R and F are made up.
        labels: true labels [n] of the data set.
        seed: for the draw, beside that of the corruption.

    Raises:
        TrackError: the population has too few examples that could be corrupted.
    """
    candidates = np.sort(population[eligible(corruption, labels)[population]])
    count = corruption.count(len(population))
    if len(candidates) < count:
        raise TrackError(
            f"data.corruption.rate is {corruption.rate}, {count} of {len(population)} examples of R and F, of which "
            f"only {len(candidates)} can be corrupted",
            f"lower it to {int(1000 * len(candidates) / len(population)) / 1000} or less",
        )
    drawn = np.random.RandomState(derive(corruption.seed, seed, 2)).permutation(candidates)[:count]
    identified, others = np.split(drawn, [corruption.identified_count(len(population))])
    size = len(labels)
    retain = np.concatenate([np.setdiff1d(population, drawn), others + size])
    return retain[np.argsort(retain % size)], np.sort(identified) + size
