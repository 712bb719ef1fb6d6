"""Near-duplicates in a data set: one picture in another size, coding, colouring, or cropped a little differently.

An example whose twin is retained is not forgotten by a model that never saw it, and one whose twin was trained on is no
test example.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import TrackError

SIDE = 16
SMALLEST = 16
"""Pixels of an image; means of less than 2 × 2 of them are no longer those of a recoded image."""
NEAR = 1 / 8
"""Of the bits may differ: at most so many do in 1,154 of UTKFace's 281 million pairs of images, and the pairs that were
looked at show one picture. Few pairs differ in a little more (41 in up to .15), some of them of two people; then their
number doubles with each .01."""
BLOCK = 1000


@dataclass(frozen=True)
class Crossing:
    """How near-duplicates lie in a split."""

    forget: int
    """Examples of F that have one in R."""
    test: int
    """Examples of T that have one in R or F."""


def groups(images: NDArray[np.uint8], on_done: Callable[[int], object] = lambda _: None) -> NDArray[np.int64]:
    """The group of each image [n], numbered in the order of their first images; most are alone in theirs.

    Args:
        images: [n, c, h, w].
        on_done: told of images that are compared with all later ones.

    Raises:
        TrackError: the images are too small.
    """
    import torch
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    signs = torch.from_numpy(_gradients(images).astype(np.float32) * 2 - 1)
    count, bits = signs.shape
    pairs = []
    for start in range(0, count, BLOCK):
        block = signs[start : start + BLOCK]
        alike = (block @ signs[start:].T) >= bits * (1 - 2 * NEAR)
        pairs.append(torch.nonzero(alike).numpy() + start)
        on_done(len(block))
    one, other = np.concatenate(pairs).T
    _, labels = connected_components(coo_array((np.ones(len(one), bool), (one, other)), (count, count)), directed=False)
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number].astype(np.int64)


def _gradients(images: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Whether brightness grows to the right and downwards, [n, bits], on a grid of means of 2 × 2 pixels or more."""
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    smaller = min(images.shape[2:])
    if smaller < SMALLEST:
        raise TrackError(
            f"images of {smaller} pixels are too small to tell near-duplicates from others",
            f"use a track with images of {SMALLEST} pixels or more",
        )
    side = min(SIDE, smaller // 2)
    found = []
    for start in range(0, len(images), 100):
        grey = torch.from_numpy(images[start : start + 100]).double().mean(1)
        grid = adaptive_avg_pool2d(grey, side)
        right, down = grid[:, :, 1:] > grid[:, :, :-1], grid[:, 1:] > grid[:, :-1]
        found.append(torch.cat([right.flatten(1), down.flatten(1)], 1).numpy())
    return np.concatenate(found)


def crossing(
    groups: NDArray[np.integer], retain: NDArray[np.int64], forget: NDArray[np.int64], test: NDArray[np.int64]
) -> Crossing:
    """How many examples have a near-duplicate on another side; ``groups`` [n], the rest are indices."""
    seen = np.concatenate([retain, forget])
    return Crossing(int(np.isin(groups[forget], groups[retain]).sum()), int(np.isin(groups[test], groups[seen]).sum()))
