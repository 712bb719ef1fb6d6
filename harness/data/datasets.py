"""Data sets as tensors-in-waiting: uint8 images and int64 labels, one index space over all official parts."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.support.errors import DataError, TrackError
from unlearn_bench.harness.tracks.specification import Data

UTKFACE_AGE_BIN = 20
UTKFACE_SIZE = 224
PUBLISHED = {
    "mnist": "1934b35f0e63b63d9aa4885cee58aab705a6fb58d24c643a28acbe7f073b4b0a",
    "fashionmnist": "30cd9b8093790bacb595d8858cf5d4ed5cf56e9095adf8a2362af8fd9d43db17",
}
"""``Dataset.sha256`` of both parts before they are resized. torchvision checks the archives of these sets when it gets
them and never again; of CIFAR it checks every file whenever it reads."""


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
        """Of the images' shape and bytes and the labels' bytes."""
        content = hashlib.sha256(str(self.images.shape).encode())
        content.update(np.ascontiguousarray(self.images).tobytes())
        content.update(np.ascontiguousarray(self.labels).tobytes())
        return content.hexdigest()


def folder() -> Path:
    """Where data sets are looked for: ``BENCH_DATA``, else ``data`` under the store."""
    from unlearn_bench.harness.store.store import home

    return Path(os.environ.get("BENCH_DATA") or home() / "data")


def load(spec: Data, *, download: bool = False) -> Dataset:
    """Load a data set.

    Args:
        spec: which one, from the track.
        download: fetch it where the source allows that.

    Raises:
        DataError: it is missing or damaged; says what is missing and the command that gets it.
    """
    dataset = _SOURCES[spec.name](spec, download)
    if spec.sha256 is not None and dataset.sha256 != spec.sha256:
        raise DataError(
            f"the data set {spec.name} has digest {dataset.sha256}, the track declares {spec.sha256}",
            "get the original file again, or declare the new digest if the change is meant",
        )
    if not spec.superclasses:
        return dataset
    return replace(dataset, labels=merged(spec, dataset.labels), subclasses=dataset.labels)


def merged(spec: Data, labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Labels [n] of a track from the data set's own ones.

    Raises:
        TrackError: the data set has more classes than ``superclasses`` tells of.
    """
    if not spec.superclasses:
        return labels
    if labels.max() >= len(spec.superclasses):
        raise TrackError(
            f"the data set {spec.name} has a class {labels.max()}, data.superclasses only {len(spec.superclasses)}",
            "name a superclass for every class",
        )
    return np.array(spec.superclasses, dtype=np.int64)[labels]


def _digits(spec: Data, download: bool) -> Dataset:
    from scipy.ndimage import rotate
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = bunch.images * (255 / 16)
    if spec.rotation_seed is not None:
        angles = np.random.RandomState(spec.rotation_seed).uniform(-180, 180, len(images))
        images = np.stack([rotate(im, a, reshape=False, order=1) for im, a in zip(images, angles, strict=True)])
    images = np.clip(np.rint(images), 0, 255).astype(np.uint8)[:, None]
    return Dataset(_resize(images, spec.image_size), bunch.target.astype(np.int64))


def _torchvision(spec: Data, download: bool) -> Dataset:
    from torchvision import datasets

    kinds = {
        "mnist": datasets.MNIST,
        "fashionmnist": datasets.FashionMNIST,
        "cifar10": datasets.CIFAR10,
        "cifar100": datasets.CIFAR100,
    }
    try:
        train, test = (kinds[spec.name](str(folder()), train=part, download=download) for part in (True, False))
    except Exception as error:  # torchvision raises RuntimeError, ValueError, EOFError, URLError … for damage
        raise DataError(
            f"the data set {spec.name} is missing or damaged in {folder()}: {error}".replace("\n", " "),
            "run `bench prepare TRACK --download`, or point BENCH_DATA at a folder that torchvision reads",
        ) from None
    images = np.concatenate([np.asarray(part.data) for part in (train, test)])
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    labels = np.concatenate([np.asarray(part.targets, dtype=np.int64) for part in (train, test)])
    published = PUBLISHED.get(spec.name)
    if published is not None and (found := Dataset(images, labels).sha256) != published:
        raise DataError(
            f"the data set {spec.name} in {train.raw_folder} is not the published one: digest {found}, not {published}",
            "remove that folder, then run `bench prepare TRACK --download` or put the original files there",
        )
    return Dataset(_resize(np.ascontiguousarray(images), spec.image_size), labels, train=len(train))


def _utkface(spec: Data, download: bool) -> Dataset:
    """Aligned and cropped UTKFace; file names ``age_gender_race_date.jpg``, sorted; age in bins of 20 years."""
    from PIL import Image

    place = folder() / "UTKFace"
    paths = sorted(place.glob("*.jpg"), key=lambda path: path.name)
    if not paths:
        raise DataError(
            f"there are no UTKFace images in {place}",
            "get the aligned and cropped images from the data set's authors and unpack them there; "
            "the licence does not allow a download by this command",
        )
    images = np.empty((len(paths), 3, spec.image_size, spec.image_size), np.uint8)
    labels = np.empty(len(paths), np.int64)
    for index, path in enumerate(paths):
        try:
            age = int(path.name.split("_")[0])
            with Image.open(path) as picture:
                resized = picture.convert("RGB").resize((spec.image_size,) * 2, Image.Resampling.BILINEAR)
                images[index] = np.asarray(resized).transpose(2, 0, 1)
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not a UTKFace image: {error}", "unpack the data set again") from None
        labels[index] = min(age // UTKFACE_AGE_BIN, spec.own_classes - 1)
    return Dataset(images, labels)


def _npz(spec: Data, download: bool) -> Dataset:
    """A user's own ``.npz``: ``images`` uint8 [n, h, w], [n, h, w, c] or [n, c, h, w]; ``labels`` integers [n]."""
    path = folder() / str(spec.path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            images, labels = archive["images"], archive["labels"]
    except FileNotFoundError:
        raise DataError(f"there is no data set at {path}", "put the file there, or set BENCH_DATA") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {error}", "save it with np.savez(path, images=…, labels=…)") from None
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or labels.shape != images.shape[:1]:
        raise DataError(
            f"{path}: images are {images.dtype} {images.shape}, labels {labels.shape}",
            "images must be uint8 [n, h, w], [n, h, w, c] or [n, c, h, w], labels integers [n]",
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= spec.own_classes:
        raise DataError(f"{path}: labels are not integers in 0 … {spec.own_classes - 1}", "mend labels or data.classes")
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    return Dataset(_resize(np.ascontiguousarray(images), spec.image_size), labels.astype(np.int64))


def _resize(images: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """Bilinear, without touching images that have the size already."""
    if images.shape[-2:] == (size, size):
        return images
    import torch
    from torch.nn.functional import interpolate

    resized = np.empty((*images.shape[:2], size, size), np.uint8)
    for start in range(0, len(images), 4096):
        block = torch.from_numpy(images[start : start + 4096]).float()
        block = interpolate(block, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
        resized[start : start + 4096] = block.round_().clamp_(0, 255).to(torch.uint8).numpy()
    return resized


_SOURCES: dict[str, Callable[[Data, bool], Dataset]] = {
    "digits": _digits,
    "utkface": _utkface,
    "npz": _npz,
    **dict.fromkeys(("mnist", "fashionmnist", "cifar10", "cifar100"), _torchvision),
}
