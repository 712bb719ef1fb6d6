"""Random crops, resized crops and flips of whole batches, for any source of randomness."""

from __future__ import annotations

import math

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


def crop_boxes(count: int, height: int, width: int, least: float, generator: torch.Generator | None = None) -> Tensor:
    """Draw the cut-outs of a random resized crop, int64 [count, 4]: top, left, height and width.

    As ``torchvision.transforms.v2.RandomResizedCrop``: a share of the area from ``least`` to 1, an aspect ratio from
    3/4 to 4/3, and the whole image where ten draws do not fit into it.
    """
    shares, ratios, places = (torch.rand(count, n, generator=generator) for n in (10, 10, 2))
    areas = height * width * (least + (1 - least) * shares)
    ratios = torch.exp((2 * ratios - 1) * math.log(4 / 3))
    wide, high = (areas * ratios).sqrt().round(), (areas / ratios).sqrt().round()
    fits = (wide >= 1) & (wide <= width) & (high >= 1) & (high <= height)
    first = fits.int().argmax(1, keepdim=True)
    some = fits.any(1)
    wide = torch.where(some, wide.gather(1, first)[:, 0], width)
    high = torch.where(some, high.gather(1, first)[:, 0], height)
    top, left = (places * (torch.stack([height - high, width - wide], 1) + 1)).floor().unbind(1)
    return torch.stack([top, left, high, wide], 1).long()


def resized_crops(images: Tensor, boxes: Tensor) -> Tensor:
    """Return cut-outs [n, c, h, w] of images [n, c, h, w], bilinearly enlarged to their size; dtypes are kept.

    ``boxes`` are those of :func:`crop_boxes`, on the images' device.
    """
    h, w = images.shape[2:]
    top, left, high, wide = boxes[:, :, None].unbind(1)
    upper, lower, down = _neighbours(top, high, h)
    before, after, right = _neighbours(left, wide, w)
    rows, pixels = torch.arange(len(images), device=images.device)[:, None, None], images.permute(0, 2, 3, 1)
    down, right = down[:, :, None, None], right[:, None, :, None]

    def line(y: Tensor) -> Tensor:
        one, other = (pixels[rows, y[:, :, None], x[:, None]].to(torch.float32) for x in (before, after))
        return one + (other - one) * right

    first, second = line(upper), line(lower)
    result = (first + (second - first) * down).permute(0, 3, 1, 2)
    return result.to(images.dtype) if images.is_floating_point() else result.round_().to(images.dtype)


def _neighbours(start: Tensor, length: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return for ``size`` pixels of the result the two pixels between which each lies, and how far from the first."""
    steps = torch.arange(size, device=start.device) + 0.5
    position = (steps * length / size - 0.5).clamp(min=0)
    first = torch.minimum(position.long(), length - 1)
    return start + first, start + torch.minimum(first + 1, length - 1), position - first
