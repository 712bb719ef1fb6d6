"""Picture files as arrays: decoded once, kept in the data folder, and read without loading them whole."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data.dataset import data_folder
from unlearn_bench.harness.data.pixels import fitted
from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.errors import UnfitData
from unlearn_bench.harness.support.files import writing
from unlearn_bench.harness.support.parallel import side_by_side

logger = logging.getLogger(__name__)

BLOCK = 256
"""Images that one process decodes at a time."""


def decoded(paths: Sequence[Path], channels: int, size: int) -> NDArray[np.uint8]:
    """Return pictures as uint8 [n, channels, size, size], a memory-mapped file below ``decoded`` in the data folder.

    The shorter side is resized to ``size`` and the middle of the longer one is kept. Files that have changed since, by
    their size or date, are decoded again.

    Args:
        paths: of the pictures, in the order of the result.
        channels: 1 for grey, 3 for colour.
        size: in pixels.

    Raises:
        UnfitData: a file is no picture; the message names it.
        StoreError: the disk is full.
    """
    files = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    cache = cache_file({"files": files, "channels": channels, "size": size})
    if not cache.is_file():
        logger.info("decoding %s pictures, once, into %s", f"{len(paths):,}", cache)
        blocks = [paths[start : start + BLOCK] for start in range(0, len(paths), BLOCK)]
        images = side_by_side(partial(_block, channels=channels, size=size), blocks)
        write_images(cache, images, (len(paths), channels, size, size))
    return mapped(cache)


def cache_file(source: object) -> Path:
    """Return where the images of a source are kept, which plain JSON names."""
    return data_folder() / "decoded" / f"{digest(source)[:32]}.npy"


def mapped(cache: Path) -> NDArray[np.uint8]:
    """Return an array that is a file, without loading it."""
    array: NDArray[np.uint8] = np.load(cache, mmap_mode="c")  # torch wants an array that it could write to
    return array


def write_images(cache: Path, images: Iterable[NDArray[np.uint8]], shape: tuple[int, ...]) -> None:
    """Write blocks of images, which make up an array of this shape, to a file that is there as a whole or not at all.

    Raises:
        StoreError: the disk is full.
    """
    cache.parent.mkdir(parents=True, exist_ok=True)
    partial_file = cache.with_suffix(f".{os.getpid()}.part")  # another process may be decoding the same pictures
    try:
        with writing(cache):
            array = np.lib.format.open_memmap(partial_file, mode="w+", dtype=np.uint8, shape=shape)
            done = 0
            for block in images:
                array[done : done + len(block)] = block
                done += len(block)
            array.flush()
        partial_file.replace(cache)
    finally:
        partial_file.unlink(missing_ok=True)


def _block(paths: Sequence[Path], channels: int, size: int) -> NDArray[np.uint8]:
    return np.stack([picture(path, channels, size) for path in paths])


def picture(path: Path, channels: int, size: int) -> NDArray[np.uint8]:
    """Return one picture as uint8 [channels, size, size].

    Raises:
        UnfitData: the file is no picture, or a damaged one.
    """
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.load()
            return fitted(image, channels, size, str(path))
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnfitData(f"{path} cannot be read as a picture: {error}", "remove the file, or replace it") from None
