"""Images of any kind as uint8 arrays: pictures of any mode, arrays with values in 0 … 255 or from 0 to 1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.support.errors import UnfitData

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

REMEDY = (
    "values are uint8, uint16, or floating-point from 0 to 1: "
    "images = np.rint((images - images.min()) / np.ptp(images) * 255).astype(np.uint8)"
)
DARKEST = 128
"""The largest value of a whole data set must be at least this to mean that its values are in 0 … 255."""


def are_of_bytes(dtype: np.dtype[Any], lowest: float, largest: float) -> bool:
    """Return whether the smallest and the largest value of a whole data set show that its values are in 0 … 255."""
    return dtype.kind in "uif" and lowest >= 0 and DARKEST <= largest <= 255


def as_bytes(values: NDArray[Any], place: str, of_bytes: bool = False) -> NDArray[np.uint8]:
    """Return an array of any shape as uint8: uint16 is divided by 257, floating-point from 0 to 1 is multiplied by 255.

    True is 255. ``of_bytes``: the values, of any type, are in 0 … 255.

    Raises:
        UnfitData: it has values of another kind; ``place`` says where it comes from.
    """
    if values.dtype == np.uint8:
        return values
    if of_bytes:
        return np.rint(values).astype(np.uint8)
    if values.dtype == bool:
        return values.astype(np.uint8) * np.uint8(255)
    if values.dtype == np.uint16:
        return np.rint(values / 257).astype(np.uint8)
    if not np.issubdtype(values.dtype, np.floating):
        raise UnfitData(f"{place}: images are {values.dtype}", REMEDY)
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        what = f"{place}: images are {values.dtype} with values from {values.min():g} to {values.max():g}"
        raise UnfitData(what, REMEDY)
    return np.rint(values * 255).astype(np.uint8)


def fitted(image: Picture | NDArray[Any], channels: int, size: int, place: str) -> NDArray[np.uint8]:
    """Return one image as uint8 [channels, size, size].

    The shorter side is resized to ``size`` and the middle of the longer one is kept.

    Args:
        image: a picture of any mode, or an array [h, w], [h, w, c] or [c, h, w] with 1, 3 or 4 channels.
        channels: 1 for grey, 3 for colour.
        size: in pixels.
        place: where it comes from, for complaints.

    Raises:
        UnfitData: an array has another shape, or values of another kind.
    """
    from PIL import Image, ImageOps

    if not isinstance(image, Image.Image):
        image = Image.fromarray(_picture_array(as_bytes(np.asarray(image), place), place))
    elif image.mode == "F" or image.mode.startswith("I"):  # which Pillow would cut off at 255
        image = Image.fromarray(as_bytes(_deep(image), place))
    converted = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
    pixels = np.asarray(ImageOps.fit(converted, (size, size), Image.Resampling.BILINEAR))
    return pixels.reshape(size, size, channels).transpose(2, 0, 1)


def _deep(image: Picture) -> NDArray[Any]:
    """Return the values of a picture of 16 bits or more: whole numbers that fit as uint16, others as they are."""
    values = np.asarray(image)
    whole = np.issubdtype(values.dtype, np.integer) and values.min() >= 0 and values.max() < 2**16
    return values.astype(np.uint16) if whole else values


def _picture_array(values: NDArray[np.uint8], place: str) -> NDArray[np.uint8]:
    """Return an image in the layout that Pillow reads: [h, w], [h, w, 3] or [h, w, 4]."""
    if values.ndim == 3 and values.shape[-1] not in (1, 3, 4) and values.shape[0] in (1, 3, 4):
        values = values.transpose(1, 2, 0)
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    if values.ndim != 2 and (values.ndim != 3 or values.shape[-1] not in (3, 4)):
        raise UnfitData(f"{place}: an image has shape {values.shape}", "images are [h, w], [h, w, c] or [c, h, w]")
    return np.ascontiguousarray(values)
