"""Picture files as arrays: decoded once, kept in the data folder, and read from there without loading them whole."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data.dataset import data_folder
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.errors import DataError
from unlearn_bench.harness.support.files import disk_full
from unlearn_bench.harness.support.parallel import side_by_side

logger = logging.getLogger(__name__)

BLOCK = 256
"""Pictures that one process decodes at a time."""


def decoded(paths: Sequence[Path], channels: int, size: int) -> NDArray[np.uint8]:
    """Return pictures as uint8 [n, channels, size, size], a memory-mapped file below ``decoded`` in the data folder.

    The shorter side is resized to ``size`` and the middle of the longer one is kept. Files that have changed since, by
    their size or date, are decoded again.

    Args:
        paths: of the pictures, in the order of the result.
        channels: 1 for grey, 3 for colour.
        size: in pixels.

    Raises:
        DataError: a file is no picture; the message names it.
        StoreError: the disk is full.
    """
    files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    name = digest({"files": files, "channels": channels, "size": size})[:32]
    cache = data_folder() / "decoded" / f"{name}.npy"
    if not cache.is_file():
        logger.info("decoding %s pictures, once, into %s", f"{len(paths):,}", cache)
        _write(cache, paths, channels, size)
    array: NDArray[np.uint8] = np.load(cache, mmap_mode="c")  # torch wants an array that it could write to
    return array


def _write(cache: Path, paths: Sequence[Path], channels: int, size: int) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    partial_file = cache.with_suffix(f".{os.getpid()}.part")  # another process may be decoding the same pictures
    blocks = [paths[start : start + BLOCK] for start in range(0, len(paths), BLOCK)]
    shape = (len(paths), channels, size, size)
    try:
        with disk_full(cache):
            array = np.lib.format.open_memmap(partial_file, mode="w+", dtype=np.uint8, shape=shape)
            done = 0
            for images in side_by_side(partial(_block, channels=channels, size=size), blocks):
                array[done : done + len(images)] = images
                done += len(images)
            array.flush()
        partial_file.replace(cache)
    finally:
        partial_file.unlink(missing_ok=True)


def _block(paths: Sequence[Path], channels: int, size: int) -> NDArray[np.uint8]:
    return np.stack([picture(path, channels, size) for path in paths])


def picture(path: Path, channels: int, size: int) -> NDArray[np.uint8]:
    """Return one picture as uint8 [channels, size, size].

    Raises:
        DataError: the file is no picture, or a damaged one.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(path) as image:
            converted = ImageOps.exif_transpose(image).convert("L" if channels == 1 else "RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path} cannot be read as a picture: {error}", "remove the file, or replace it") from None
    pixels = np.asarray(ImageOps.fit(converted, (size, size), Image.Resampling.BILINEAR))
    return pixels.reshape(size, size, channels).transpose(2, 0, 1)
