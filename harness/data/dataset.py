"""Data sets: uint8 images and int64 labels, one index space over all official parts, loaded by the track's name."""

from __future__ import annotations

import hashlib
import importlib
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench import plugins
from unlearn_bench.harness.support.errors import BenchError, DataError, TrackError, UnfitData
from unlearn_bench.harness.tracks.specification import Data

FOLDER = "unlearn_bench.harness.data.datasets"


@dataclass(frozen=True)
class Dataset:
    """All examples of a data set.

    Attributes:
        images: uint8 [n, channels, height, width].
        labels: int64 [n].
        train: how many of the first examples are the official train part; the rest is the official test part
            (0 when the data set has no such parts).
        subclasses: int64 [n], the data set's own labels where ``labels`` are superclasses of them.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    train: int = 0
    subclasses: NDArray[np.int64] | None = None

    @property
    def sha256(self) -> str:
        """Digest of the images' shape and bytes and the labels' bytes, as 64 hexadecimal digits."""
        content = hashlib.sha256(str(self.images.shape).encode())
        for start in range(0, len(self.images), 4096):  # they may be a file that does not fit into memory
            content.update(np.ascontiguousarray(self.images[start : start + 4096]).tobytes())
        content.update(np.ascontiguousarray(self.labels).tobytes())
        return content.hexdigest()


def data_folder() -> Path:
    """Return the folder of data sets and of files that tracks name: ``BENCH_DATA``, else ``data`` in the store."""
    from unlearn_bench.harness.store.store import home

    return Path(os.environ.get("BENCH_DATA") or home() / "data")


def is_there(spec: Data) -> bool:
    """Return whether a data set stands where it is looked for; nothing of it is read.

    A module of ``datasets`` names that place in the data folder as ``PLACE``, unless the images come with a package.
    """
    if spec.path is not None or spec.is_file:
        return (data_folder() / (spec.path or spec.name)).exists()
    if spec.library or spec.name in plugins.names("datasets"):
        return False
    place = getattr(importlib.import_module(f"{FOLDER}.{spec.name}"), "PLACE", None)
    return place is None or (data_folder() / place).exists()


def load_dataset(spec: Data, *, download: bool = False) -> Dataset:
    """Load a data set in the form in which a track uses it.

    Args:
        spec: the track's declaration of the data set.
        download: fetch it first, if its source allows that.

    Raises:
        DataError: it is missing or damaged; the message names what is missing and the command that fetches it.
        TrackError: the track declares other classes than the data set has.
    """
    dataset = _uniform(_from_file(spec, download) if spec.is_file else _shipped(spec, download), spec)
    if spec.sha256 is not None and dataset.sha256 != spec.sha256:
        raise DataError(
            f"the data set {spec.name} has digest {dataset.sha256}, the track declares {spec.sha256}",
            "get the original file again, or declare the new digest if the change is meant",
        )
    if not spec.superclasses:
        return dataset
    return replace(dataset, labels=merge_labels(spec, dataset.labels), subclasses=dataset.labels)


def merge_labels(spec: Data, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map the data set's own labels [n] to the classes of the track.

    Raises:
        TrackError: the data set has more classes than ``superclasses`` has entries.
    """
    if not spec.superclasses:
        return labels
    if labels.max() >= len(spec.superclasses):
        raise TrackError(
            f"the data set {spec.name} has a class {labels.max()}, data.superclasses only {len(spec.superclasses)}",
            "name a superclass for every class",
        )
    return np.array(spec.superclasses, dtype=np.int64)[labels]


def _shipped(spec: Data, download: bool) -> Dataset:
    if spec.name in plugins.names("datasets"):
        module = plugins.load("datasets", spec.name)
    else:
        module = importlib.import_module(f"{FOLDER}.{f'_{spec.library}' if spec.library else spec.name}")
    dataset: Dataset = module.load(spec, download)
    return dataset


def _from_file(spec: Data, download: bool) -> Any:
    """Run ``load`` of a file in the data folder, whose digest the track declares."""
    path = data_folder() / spec.name
    try:
        source = path.read_bytes()
    except OSError as error:
        what = f"there is no data set at {path}: {error.strerror}"
        raise DataError(what, "put the file there, or set BENCH_DATA") from None
    if (sha256 := hashlib.sha256(source).hexdigest()) != spec.code_sha256:
        raise DataError(
            f"{path} has SHA-256 {sha256}, the track declares {spec.code_sha256}",
            "read the file, because it runs on this machine outside of any sandbox; "
            "if you trust it, declare its digest as data.code_sha256",
        )
    module = ModuleType(f"unlearn_bench_dataset_{sha256[:16]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # as an import does: classes look their module up there
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)  # the bytes whose digest was checked
        return module.load(spec, download)
    except BenchError:
        raise
    except Exception as error:
        what = f"{path}: {type(error).__name__}: {error}".replace("\n", " ")
        raise DataError(what, "the file must define load(spec, download), see docs/own-data.md") from error


def _uniform(dataset: Any, spec: Data) -> Dataset:
    """Check what a loader returned, and bring its images into one layout and the track's size."""
    if not isinstance(dataset, Dataset):
        what = f"the data set {spec.name} is a {type(dataset).__name__}, not a harness.data.dataset.Dataset"
        raise DataError(what, "return Dataset(images, labels) from load(spec, download)")
    images, labels = dataset.images, dataset.labels
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or labels.shape != images.shape[:1]:
        raise UnfitData(
            f"the data set {_place(spec)}: images are {images.dtype} {images.shape}, labels {labels.shape}",
            "images must be uint8 [n, h, w], [n, h, w, c] or [n, c, h, w], labels integers [n]",
        )
    if not images.size:
        raise UnfitData(f"the data set {_place(spec)} is empty: images {images.shape}", "put images into it")
    too_many = not spec.superclasses and labels.max() >= spec.classes  # `merge_labels` checks superclasses
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or too_many:
        what = f"the data set {_place(spec)}: labels are not integers in 0 … {spec.own_classes - 1}"
        raise UnfitData(what, "correct the labels or data.classes")
    stacked = channels_first(images)
    if stacked.shape[1] not in {1, 3, len(spec.mean)}:
        raise odd_channels(_place(spec), images.shape)
    images = resized(stacked, spec.image_size)
    return replace(dataset, images=images, labels=labels.astype(np.int64, copy=False))


def channels_first(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return images [n, h, w], [n, h, w, c] or [n, c, h, w] as [n, c, h, w]."""
    if images.ndim == 3:
        return images[:, None]
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2)) if images.shape[-1] in (1, 3) else images


def odd_channels(place: str, shape: tuple[int, ...]) -> UnfitData:
    """Return the error about images [n, h, w, c] or [n, c, h, w] of neither one nor three channels."""
    what = f"the data set {place}: images {shape} have neither 1 nor 3 channels, first or last"
    return UnfitData(what, "images = images[..., :3] drops the fourth channel; images[..., :1] takes the first one")


def _place(spec: Data) -> str:
    return f"{data_folder() / spec.path}" if spec.path is not None else spec.name


def resized(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Resize images [n, c, h, w] bilinearly; those that already have the size are returned unchanged."""
    if images.shape[-2:] == (size, size):
        return images
    import torch
    from torch.nn.functional import interpolate

    result = np.empty((*images.shape[:2], size, size), np.uint8)
    for start in range(0, len(images), 4096):
        block = torch.from_numpy(images[start : start + 4096]).float()
        block = interpolate(block, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        result[start : start + 4096] = block.round_().clamp_(0, 255).to(torch.uint8).numpy()
    return result
