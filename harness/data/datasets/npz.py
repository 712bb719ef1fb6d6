"""A user's images in an ``.npz`` file: ``images`` in any layout that the benchmark takes, ``labels`` of any kind."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data.conversions import say
from unlearn_bench.harness.data.dataset import Dataset, channels_first, data_folder, resized
from unlearn_bench.harness.data.decoding import cache_file, mapped, write_images
from unlearn_bench.harness.data.own_labels import numbered
from unlearn_bench.harness.data.pixels import are_of_bytes, as_bytes
from unlearn_bench.harness.support.errors import DataError, UnfitData
from unlearn_bench.harness.tracks.specification import Data

IN_MEMORY = 1 << 30
"""Bytes of images up to which an archive is read into memory; larger ones are unpacked into a file once."""
BLOCK = 1024
"""Images that are unpacked at a time."""
SAVE = "save it with np.savez(path, images=…, labels=…), arrays of numbers"


def load(spec: Data, download: bool) -> Dataset:
    """Load the file ``spec.path`` of the data folder."""
    path = data_folder() / str(spec.path)
    with opened(path) as (archive, shape, dtype):
        labels = archive["labels"]
        large = int(np.prod(shape)) * dtype.itemsize > IN_MEMORY
        images = _unpacked(path, spec.image_size) if large else _converted(archive["images"], str(path))
    return Dataset(images, numbered(labels, spec.own_classes, str(path)))


@contextmanager
def opened(path: Path) -> Iterator[tuple[Mapping[str, NDArray[Any]], tuple[int, ...], np.dtype[Any]]]:
    """Open an archive with images and labels; yield it with shape and dtype of the images, which are not read.

    Raises:
        DataError: there is no such file.
        UnfitData: it is no such archive, or the images have another number of dimensions, or there are none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist()]
        if missing := [name for name in ("images", "labels") if name not in names]:
            raise UnfitData(f"{path} holds {', '.join(names) or 'nothing'}, and no {' and no '.join(missing)}", SAVE)
        shape, dtype = header(path)
        if len(shape) not in (3, 4) or 0 in shape:
            raise UnfitData(f"{path}: images have shape {shape}", "images are [n, h, w], [n, h, w, c] or [n, c, h, w]")
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays, shape, dtype
    except FileNotFoundError:
        raise DataError(f"there is no data set at {path}", "put the file there, or set BENCH_DATA") from None
    except zipfile.BadZipFile:
        raise UnfitData(f"{path} is no archive of arrays: it is damaged, or a single array (.npy)", SAVE) from None
    except (OSError, ValueError) as error:
        raise UnfitData(f"{path}: {error}", SAVE) from None


def _converted(images: NDArray[Any], place: str) -> NDArray[np.uint8]:
    of_bytes = _are_of_bytes(images.dtype, [images], place)
    return as_bytes(images, place, of_bytes)


def _are_of_bytes(dtype: np.dtype[Any], blocks: Iterable[NDArray[Any]], place: str) -> bool:
    """Return whether the values of a whole data set, another type than uint8, are in 0 … 255, and say so."""
    if dtype == np.uint8 or dtype.kind not in "uif":
        return False
    ranges = [(block.min(), block.max()) for block in blocks]
    lowest, largest = float(min(low for low, _ in ranges)), float(max(high for _, high in ranges))
    if not are_of_bytes(dtype, lowest, largest):
        return False
    say(place, f"images are {dtype} with values from {lowest:g} to {largest:g}, taken for 0 … 255")
    return True


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
    of_bytes = _are_of_bytes(header(path)[1], _stored_blocks(path), str(path))
    for block in _stored_blocks(path):
        yield resized(channels_first(as_bytes(block, str(path), of_bytes)), size)


def _stored_blocks(path: Path) -> Iterator[NDArray[Any]]:
    with zipfile.ZipFile(path) as archive, archive.open("images.npy") as file:
        shape, dtype, fortran = _header(file)
        if fortran:
            raise ValueError("the images are in Fortran's order: images = np.ascontiguousarray(images)")
        count = int(np.prod(shape[1:]))
        for start in range(0, shape[0], BLOCK):
            images = min(BLOCK, shape[0] - start)
            content = bytearray(file.read(images * count * dtype.itemsize))
            yield np.frombuffer(content, dtype).reshape(images, *shape[1:])
