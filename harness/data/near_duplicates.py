"""Near-duplicates in a data set: one picture in another size, coding, colouring, or cropped a little differently.

An example whose twin is retained is not forgotten by a model that never saw it, and one whose twin was trained on is no
test example.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.support.errors import TrackError

if TYPE_CHECKING:
    from torch import Tensor

SIDE = 16
SMALLEST = 16
"""Pixels of an image; means of less than 2 × 2 of them are no longer those of a recoded image."""
LEVEL = 2.0
"""Difference in brightness (of 255) above which two neighbouring means count as a gradient; flat areas have none."""
NEAR = 0.2
"""Share of the gradients of either image in which near-duplicates may differ. Inspected on UTKFace and CIFAR-10: such
pairs show one picture. On UTKFace the first pairs of two people appear at 0.21, where pairs are rarest: there are 35
from 0.175 to 0.2, and 3,330 from 0.25 to 0.275."""
BLOCK = 1000


@dataclass(frozen=True)
class Crossing:
    """How many examples of a split have a near-duplicate on another side of it."""

    forget: int
    """Examples of F that have one in R."""
    test: int
    """Examples of T that have one in R or F."""


def groups(images: NDArray[np.uint8], on_done: Callable[[int], object] = lambda _: None) -> NDArray[np.int64]:
    """Find the group number of each image [n], in the order of the groups' first images; most groups have one image.

    Args:
        images: [n, c, h, w].
        on_done: called with the number of further images that were compared with all later ones.

    Raises:
        TrackError: the images are too small.
    """
    import torch
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    signs = _gradients(images)
    nonzero = signs.abs()
    count, pairs = len(signs), []
    for start in range(0, count, BLOCK):
        block = slice(start, start + BLOCK)
        nonzero_in_both = nonzero[block] @ nonzero[start:].T
        agreeing = (nonzero_in_both + signs[block] @ signs[start:].T) / 2
        nonzero_in_either = nonzero[block].sum(1)[:, None] + nonzero[start:].sum(1) - nonzero_in_both
        pairs.append(torch.nonzero(agreeing >= (1 - NEAR) * nonzero_in_either).numpy() + start)
        on_done(len(nonzero_in_both))
    rows, columns = np.concatenate(pairs).T
    adjacency = coo_array((np.ones(len(rows), bool), (rows, columns)), (count, count))
    _, labels = connected_components(adjacency, directed=False)
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number].astype(np.int64)


def _gradients(images: NDArray[np.uint8]) -> Tensor:
    """Compute whether brightness grows (1), falls (−1) or neither (0) to the right and downwards, [n, differences].

    The differences are between means of 2 × 2 pixels or more, on a grid of 16 × 16 at most.
    """
    import torch
    from torch.nn.functional import adaptive_avg_pool2d

    smaller = min(images.shape[2:])
    if smaller < SMALLEST:
        raise TrackError(
            f"images of {smaller} pixels are too small to tell near-duplicates from others",
            f"use a track with images of {SMALLEST} pixels or more",
        )
    side, blocks = min(SIDE, smaller // 2), []
    for start in range(0, len(images), 100):
        grey = torch.from_numpy(images[start : start + 100]).double().mean(1)
        grid = adaptive_avg_pool2d(grey, side)
        right, down = grid[:, :, 1:] - grid[:, :, :-1], grid[:, 1:] - grid[:, :-1]
        differences = torch.cat([right.flatten(1), down.flatten(1)], 1)
        blocks.append((differences.sign() * (differences.abs() > LEVEL)).float())
    return torch.cat(blocks)


def crossing(
    groups: NDArray[np.integer], retain: NDArray[np.int64], forget: NDArray[np.int64], test: NDArray[np.int64]
) -> Crossing:
    """Count the examples that have a near-duplicate on another side; ``groups`` is [n], the rest are indices."""
    seen = np.concatenate([retain, forget])
    return Crossing(int(np.isin(groups[forget], groups[retain]).sum()), int(np.isin(groups[test], groups[seen]).sum()))
