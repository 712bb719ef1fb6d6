"""What a training draws on the host for an epoch: its augmentation, the same on every device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.sandbox.inside.augmentation import crop_boxes
from unlearn_bench.sandbox.inside.randaugment import choices


def moves(recipe: Recipe, count: int, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    """Draw what an epoch's augmentation does to each example of this height and width.

    Returns:
        int16 [count, columns]: down, right, mirrored; box of the resized crop; operations of RandAugment.
    """
    drawn = torch.zeros(count, 3, dtype=torch.int16)
    if recipe.crop:
        drawn[:, :2] = torch.randint(-recipe.crop, recipe.crop + 1, (count, 2), generator=generator)
    if recipe.flip:
        drawn[:, 2] = torch.randint(2, (count,), generator=generator)
    more = []
    if recipe.random_resized_crop:
        more.append(crop_boxes(count, shape[0], shape[1], recipe.random_resized_crop, generator).short())
    if recipe.randaugment:
        more.append(choices(count, generator).short())
    return torch.cat([drawn, *more], 1) if more else drawn


def mixup_shares(alpha: float, steps: int, seed: int) -> Tensor:
    """Draw in what shares mixup mixes the batches of an epoch, float32 [steps]."""
    return torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, steps).astype(np.float32))
