"""A user's images in an ``.npz`` file: ``images`` in any layout that the benchmark takes, ``labels`` of any kind."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data.dataset import Dataset, channels_first, data_folder, resized
from unlearn_bench.harness.data.decoding import cache_file, mapped, write_images
from unlearn_bench.harness.data.own_labels import numbered
from unlearn_bench.harness.data.pixels import as_bytes
from unlearn_bench.harness.support.errors import DataError
from unlearn_bench.harness.tracks.specification import Data

IN_MEMORY = 1 << 30
"""Bytes of images up to which an archive is read into memory; larger ones are unpacked into a file once."""
BLOCK = 1024
"""Images that are unpacked at a time."""


def load(spec: Data, download: bool) -> Dataset:
    """Load the file ``spec.path`` of the data folder."""
    path = data_folder() / str(spec.path)
    try:
        shape, dtype = header(path)
        with np.load(path, allow_pickle=False) as archive:
            labels = archive["labels"]
            large = int(np.prod(shape)) * dtype.itemsize > IN_MEMORY
            images = _unpacked(path, spec.image_size) if large else as_bytes(archive["images"], str(path))
    except FileNotFoundError:
        raise DataError(f"there is no data set at {path}", "put the file there, or set BENCH_DATA") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {error}", "save it with np.savez(path, images=…, labels=…)") from None
    return Dataset(images, numbered(labels, spec.own_classes, str(path)))


def header(path: Path) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of the images in an archive, without reading them.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such archive.
    """
    with zipfile.ZipFile(path) as archive, archive.open("images.npy") as file:
        return _header(file)[:2]


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return shape, dtype, fortran


def _unpacked(path: Path, size: int) -> NDArray[np.uint8]:
    """Return the images of an archive that does not fit into memory, resized, as a memory-mapped file."""
    status, (shape, _) = path.stat(), header(path)
    source = {"archive": str(path.resolve()), "bytes": status.st_size, "date": status.st_mtime_ns, "size": size}
    cache = cache_file(source)
    if not cache.is_file():
        channels = channels_first(np.empty((0, *shape[1:]), np.uint8)).shape[1]
        write_images(cache, _blocks(path, size), (shape[0], channels, size, size))
    return mapped(cache)


def _blocks(path: Path, size: int) -> Iterator[NDArray[np.uint8]]:
    with zipfile.ZipFile(path) as archive, archive.open("images.npy") as file:
        shape, dtype, fortran = _header(file)
        if fortran or len(shape) not in (3, 4):
            raise ValueError(f"the images have shape {shape}, or another order than C")
        count = int(np.prod(shape[1:]))
        for start in range(0, shape[0], BLOCK):
            images = min(BLOCK, shape[0] - start)
            content = bytearray(file.read(images * count * dtype.itemsize))
            block = as_bytes(np.frombuffer(content, dtype).reshape(images, *shape[1:]), str(path))
            yield resized(channels_first(block), size)
