"""Data sets that a library reads: their parts in one index space, decoded once."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data.dataset import Dataset
from unlearn_bench.harness.data.decoding import BLOCK, cache_file, mapped, write_images
from unlearn_bench.harness.data.own_labels import numbered
from unlearn_bench.harness.data.pixels import fitted
from unlearn_bench.harness.support.errors import DataError, UnfitData
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.support.parallel import side_by_side
from unlearn_bench.harness.tracks.specification import Data

logger = logging.getLogger(__name__)

LOOKED_AT = 32
"""Examples that are compared with what was decoded before."""


@dataclass(frozen=True)
class LibraryImages:
    """Images and labels of all parts of a data set, as its library gives them."""

    name: str
    """For complaints."""
    parts: Sequence[Any]
    """Data sets with a length and an index; the last of several is the official test part."""
    read: Callable[[Any, int], tuple[Any, Any]]
    """Returns image and label of one example of a part: a picture or an array, and an integer or a string."""
    source: Mapping[str, Any]
    """What names the data set, as plain JSON."""

    @property
    def train(self) -> int:
        """How many of the first examples are the official train part; 0 where there is a single part."""
        return sum(map(len, self.parts[:-1])) if len(self.parts) > 1 else 0

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(map(len, self.parts)))

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Return image and label of an example.

        Raises:
            DataError: the library cannot read it; the message names it.
        """
        number = next(number for number, end in enumerate(self._ends) if index < end)
        part = self.parts[number]
        try:
            return self.read(part, index - self._ends[number] + len(part))
        except Exception as error:  # a library raises whatever its decoder does
            what = f"{self.name}, example {index} cannot be read: {type(error).__name__}: {error}".replace("\n", " ")
            raise DataError(what, "get the data set again, or choose another one") from None


def as_dataset(examples: LibraryImages, spec: Data) -> Dataset:
    """Return a library's data set in the track's channels and size, with its labels as numbers.

    Raises:
        DataError: an image or a label cannot be read, or there are other classes than the track says.
        StoreError: the disk is full.
    """
    images, labels = decoded(examples, len(spec.mean), spec.image_size)
    return Dataset(images, numbered(labels, spec.own_classes, spec.name), examples.train)


def decoded(examples: LibraryImages, channels: int, size: int) -> tuple[NDArray[np.uint8], NDArray[Any]]:
    """Return images [n, channels, size, size], as ``decoding.decoded`` returns pictures, and labels [n] as they are.

    They are decoded again where one of those that are looked at has changed.

    Raises:
        DataError: an image or a label cannot be read.
        StoreError: the disk is full.
    """
    block = partial(_block, examples, channels=channels, size=size)
    looked_at, some_labels = block(range(0, len(examples), max(1, len(examples) // LOOKED_AT)))
    seen = hashlib.sha256(looked_at.tobytes() + str(some_labels).encode()).hexdigest()
    shape = (len(examples), channels, size, size)
    cache = cache_file({"source": dict(examples.source), "shape": shape, "seen": seen})
    names = cache.with_suffix(".labels.npy")
    if not (cache.is_file() and names.is_file()):
        logger.info("decoding %s images of %s, once, into %s", f"{len(examples):,}", examples.name, cache)
        ranges = [range(start, min(start + BLOCK, len(examples))) for start in range(0, len(examples), BLOCK)]
        labels: list[Any] = []

        def images() -> Iterator[NDArray[np.uint8]]:
            for pixels, block_labels in side_by_side(block, ranges):
                labels.extend(block_labels)
                yield pixels

        write_images(cache, images(), shape)
        _write_labels(names, labels, examples.name)
    return mapped(cache), np.load(names, allow_pickle=False)


def _block(
    examples: LibraryImages, indices: Sequence[int], channels: int, size: int
) -> tuple[NDArray[np.uint8], list[Any]]:
    pairs = [(index, *examples[index]) for index in indices]
    images = [fitted(image, channels, size, f"{examples.name}, example {index}") for index, image, _ in pairs]
    return np.stack(images), [label for _, _, label in pairs]


def _write_labels(path: Path, labels: Sequence[Any], place: str) -> None:
    array = np.asarray(labels)
    if array.dtype.kind not in "iuUS" or array.ndim != 1:
        what = f"{place}: labels are {array.dtype} of shape {array.shape}"
        raise UnfitData(what, "labels are whole numbers or strings, one for each image")
    content = io.BytesIO()
    np.save(content, array, allow_pickle=False)
    write_file(path, content.getvalue())
