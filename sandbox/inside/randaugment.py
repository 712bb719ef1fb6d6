"""RandAugment for whole batches: every image gets operations of its own (Cubuk et al. 2020).

The operations and their ranges are those of ``torchvision.transforms.v2.RandAugment`` with its 31 levels, sampling of
the nearest pixel and black around moved images; torchvision draws one operation for a whole batch. Here shapes do not
depend on what is drawn, so that a step can be recorded and replayed, and only torch is needed: a sandbox may have no
more.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import conv2d, grid_sample

OPERATIONS = (
    "Identity",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
    "Rotate",
    "Brightness",
    "Color",
    "Contrast",
    "Sharpness",
    "Posterize",
    "Solarize",
    "AutoContrast",
    "Equalize",
)
"""In torchvision's order."""
LEVELS = 30
"""The largest magnitude."""
IN_TURN = 2
"""Operations that an image gets, one after the other."""
BLENDED = slice(OPERATIONS.index("Brightness"), OPERATIONS.index("Posterize"))
"""Operations that blend an image with another version of it."""


def choices(count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draw operations and signs, int64 [count, ``IN_TURN``]: twice an operation's index, plus 1 for a negative sign."""
    return torch.randint(2 * len(OPERATIONS), (count, IN_TURN), generator=generator)


def randaugmented(images: Tensor, chosen: Tensor, magnitude: int) -> Tensor:
    """Return images with the operations that were drawn for them.

    Args:
        images: uint8 [n, c, h, w] with 1 or 3 channels; left unchanged.
        chosen: from :func:`choices`, [n, k], on the same device.
        magnitude: 0 … ``LEVELS``, of every operation.
    """
    for choice in chosen.unbind(1):
        images = _operated(images, choice, magnitude)
    return images


def _operated(images: Tensor, choice: Tensor, magnitude: int) -> Tensor:
    level, whole = magnitude / LEVELS, images.float()
    operation, sign = choice // 2, (1 - 2 * (choice % 2)).float()
    result = _moved(whole, choice, level)
    factor = (1 + 0.9 * level * sign)[:, None, None, None]
    for number, other in enumerate(_others(whole), BLENDED.start):
        if OPERATIONS[number] == "Color" and images.shape[1] == 1:
            continue  # grey images stay as they are, without rounding
        blended = (whole * factor + other * (1 - factor)).clamp(0, 255).floor()
        result = _where(operation == number, blended, result)
    step = 2 ** (8 - round(8 - magnitude / (LEVELS / 4)))
    bright = torch.where(whole >= 255 * (1 - level), 255 - whole, whole)
    fixed = (whole - whole % step, bright, _stretched(whole), _equalized(images))
    for number, changed in enumerate(fixed, BLENDED.stop):
        result = _where(operation == number, changed, result)
    return result.to(torch.uint8)


def _where(chosen: Tensor, changed: Tensor, otherwise: Tensor) -> Tensor:
    return torch.where(chosen[:, None, None, None], changed, otherwise)


def _moved(whole: Tensor, choice: Tensor, level: float) -> Tensor:
    """Return images sheared, shifted or rotated; those with another operation as they are."""
    n, _, h, w = whole.shape
    x = torch.linspace((1 - w) / 2, (w - 1) / 2, w, device=whole.device).expand(h, w)
    y = torch.linspace((1 - h) / 2, (h - 1) / 2, h, device=whole.device)[:, None].expand(h, w)
    base = torch.stack([x, y, torch.ones_like(x)], 2).view(1, h * w, 3)
    grid = base @ _matrices(h, w, level, whole.device)[choice]
    return grid_sample(whole, grid.view(n, h, w, 2), mode="nearest", padding_mode="zeros", align_corners=False)


@lru_cache(maxsize=16)
def _matrices(h: int, w: int, level: float, device: torch.device) -> Tensor:
    """Return for every choice the map from pixels of the result to those of the image, [28, 3, 2], from −1 to 1."""
    rows = []
    for operation in OPERATIONS:
        for sign in (1, -1):
            shear, angle = 0.3 * level * sign, math.radians(-30 * level * sign)
            right, down = (int(150 / 331 * side * level * sign) for side in (w, h))
            rows.append(
                {
                    "ShearX": (1, shear, shear * h / 2, 0, 1, 0),
                    "ShearY": (1, 0, 0, shear, 1, shear * w / 2),
                    "TranslateX": (1, 0, -right, 0, 1, 0),
                    "TranslateY": (1, 0, 0, 0, 1, -down),
                    "Rotate": (math.cos(angle), math.sin(angle), 0, -math.sin(angle), math.cos(angle), 0),
                }.get(operation, (1, 0, 0, 0, 1, 0))
            )
    matrices = torch.tensor(rows, dtype=torch.float32).view(-1, 2, 3).transpose(1, 2)
    return (matrices / torch.tensor([w / 2, h / 2])).to(device)


def _others(whole: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return what brightness, colour, contrast and sharpness blend an image with: black, grey, its mean, blurred."""
    colour = whole.shape[1] == 3
    grey = whole
    if colour:
        red, green, blue = whole.split(1, 1)
        grey = (0.2989 * red + 0.587 * green + 0.114 * blue).floor()
    kernel = whole.new_ones(3, 3)
    kernel[1, 1] = 5
    blurred = whole.clone()
    blurred[..., 1:-1, 1:-1] = (
        conv2d(whole.flatten(0, 1)[:, None], kernel[None, None] / 13)
        .view(*whole.shape[:2], whole.shape[2] - 2, whole.shape[3] - 2)
        .round()
    )
    return torch.zeros_like(whole), grey, grey.mean((1, 2, 3), keepdim=True), blurred


def _stretched(whole: Tensor) -> Tensor:
    """Return images whose channels run from 0 to 255; those of a single value as they are."""
    least, most = whole.amin((2, 3), keepdim=True), whole.amax((2, 3), keepdim=True)
    flat = least == most
    scale = torch.where(flat, 1, (most - least) * (1 / 255))
    return ((whole - torch.where(flat, 0, least)) / scale).clamp(0, 255).floor()


def _equalized(images: Tensor) -> Tensor:
    """Return images whose channels have each value about equally often, by the rule of Pillow's ``equalize``."""
    flat = images.flatten(2).long()
    counts = flat.new_zeros(*flat.shape[:2], 256).scatter_add_(2, flat, torch.ones_like(flat))
    cumulated = counts.cumsum(2)
    last = counts.gather(2, cumulated.argmax(2, keepdim=True))  # of the largest value that occurs
    step = (flat.shape[2] - last) // 255
    table = (cumulated + step // 2) // step.clamp(min=1)
    table = torch.cat([torch.zeros_like(last), table[..., :255]], 2).clamp(0, 255)
    return torch.where(step == 0, flat, table.gather(2, flat)).view(images.shape).float()
