"""Random crops and flips as one gather, for any source of randomness."""

from __future__ import annotations

import torch
from torch import Tensor


def moved(
    images: Tensor,
    rows: Tensor,
    down: Tensor | None = None,
    right: Tensor | None = None,
    mirrored: Tensor | None = None,
    fill: float | Tensor = 0,
) -> Tensor:
    """Return ``images[rows]``, each image mirrored and cropped; crop and flip are left out where they are ``None``.

    Args:
        images: [N, c, h, w], of any dtype; left unchanged.
        rows: int64 [n], which images.
        down: whole numbers [n, 1], by how many pixels the cut-out lies lower than the image; with ``right``.
        right: whole numbers [n, 1], by how many pixels it lies to the right (to the left of a mirrored image).
        mirrored: bool [n, 1], which images are mirrored.
        fill: what lies around the images, a number or a tensor that broadcasts to [n, c, h, w].

    Returns:
        [n, c, h, w], in channels-last memory.
    """
    h, w = images.shape[2:]
    y = torch.arange(h, device=images.device).expand(len(rows), h)
    x = torch.arange(w, device=images.device).expand(len(rows), w)
    if mirrored is not None:
        x = torch.where(mirrored, x.flip(1), x)
    if down is not None and right is not None:
        y, x = y + down, x + right
    index = rows[:, None, None], y.clamp(0, h - 1)[:, :, None], x.clamp(0, w - 1)[:, None]
    picked = images.permute(0, 2, 3, 1)[index].permute(0, 3, 1, 2)
    if down is None:
        return picked
    inside = ((y >= 0) & (y < h))[:, None, :, None] & ((x >= 0) & (x < w))[:, None, None, :]
    return torch.where(inside, picked, fill)
