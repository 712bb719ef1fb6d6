"""Data sets that torchvision reads: those that the benchmark knows, and any other image classification set by name."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from unlearn_bench.harness.data.dataset import Dataset, data_folder
from unlearn_bench.harness.data.library_images import LibraryImages, as_dataset
from unlearn_bench.harness.support.errors import DataError, TrackError
from unlearn_bench.harness.tracks.specification import Data

PARTS: dict[str, tuple[str, ...]] = {
    "CLEVRClassification": ("train", "val"),
    "FGVCAircraft": ("trainval", "test"),
    "ImageNet": ("train", "val"),
    "Imagenette": ("train", "val"),
    "OxfordIIITPet": ("trainval", "test"),
    "Places365": ("train-standard", "val"),
}
"""Parts of data sets that do not call them ``train`` and ``test``."""


def load(spec: Data, download: bool) -> Dataset:
    """Load the data set ``torchvision:NAME``, decoded once."""
    return as_dataset(opened(spec, download), spec)


def opened(spec: Data, download: bool) -> LibraryImages:
    """Open the data set ``torchvision:NAME`` of a track.

    Raises:
        TrackError: torchvision has no such data set, or does not take these arguments.
        DataError: it is missing or damaged.
    """
    folder = str((data_folder() / (spec.path or "")).resolve())
    calls = list(_calls(spec, folder))
    parts = [_opened(spec, call, download) for call in calls]
    return LibraryImages(spec.name, parts, _read, {"name": spec.name, "folder": folder, "parts": calls})


def _read(part: Any, index: int) -> tuple[Any, Any]:
    with _one_thread():
        image, label, *more = part[index]
    if more or not isinstance(label, (int, str, np.integer)):
        raise TypeError("it is no image with one class")
    return image, label


def load_torchvision(spec: Data, kind: str, download: bool, published: str | None = None) -> Dataset:
    """Load the train and test part of a data set that torchvision keeps in memory, in one index space.

    Args:
        spec: the track's data set.
        kind: class of ``torchvision.datasets``.
        download: fetch what is missing.
        published: what ``Dataset.sha256`` must be, where torchvision does not check every file that it reads.

    Raises:
        DataError: it is missing, damaged, or not the published one.
    """
    calls = [{"root": str(data_folder()), "train": part} for part in (True, False)]
    train, test = (_opened(spec, call, download, kind) for call in calls)
    images = np.concatenate([np.asarray(part.data) for part in (train, test)])
    images = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    labels = np.concatenate([np.asarray(part.targets, dtype=np.int64) for part in (train, test)])
    dataset = Dataset(np.ascontiguousarray(images), labels, train=len(train))
    if published is not None and dataset.sha256 != published:
        raise DataError(
            f"the data set {spec.name} in {train.raw_folder} is not the published one: "
            f"digest {dataset.sha256}, not {published}",
            "remove that folder, then run `bench prepare TRACK --download` or put the original files there",
        )
    return dataset


def _opened(spec: Data, call: Mapping[str, Any], download: bool, kind: str | None = None) -> Any:
    from torchvision import datasets

    dataset_class = getattr(datasets, kind or spec.name.partition(":")[2])
    fetch = {"download": download} if "download" in _parameters(dataset_class) else {}
    try:
        return dataset_class(**call, **fetch)
    except TypeError as error:
        raise TrackError(f"{spec.name} does not take these arguments: {error}", "correct data.arguments") from None
    except Exception as error:  # torchvision raises RuntimeError, ValueError, EOFError, URLError … for damage
        what = f"the data set {spec.name} is missing or damaged in {call.get('root')}: {error}"
        raise DataError(
            what.replace("\n", " "),
            "run `bench prepare TRACK --download`, or point BENCH_DATA at a folder that torchvision reads",
        ) from None


def _calls(spec: Data, folder: str) -> Iterator[dict[str, Any]]:
    """Yield the arguments that make each part of the data set of a track."""
    from torchvision import datasets

    name = spec.name.partition(":")[2]
    names = [known for known in datasets.__all__ if inspect.isclass(getattr(datasets, known))]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
        hint = f"; near it: {', '.join(near)}" if near else ""
        raise TrackError(f"torchvision has no data set {name!r}{hint}", "correct data.name")
    takes, given = _parameters(getattr(datasets, name)), dict(spec.arguments or {})
    common = {"root": folder, **given} if "root" in takes else given
    if "train" in takes and "train" not in given:
        if spec.parts:
            raise TrackError(f"the parts of {spec.name} are train and test, without names", "leave out data.parts")
        yield from ({**common, "train": part} for part in (True, False))
    elif "split" in takes and "split" not in given:
        yield from ({**common, "split": part} for part in spec.parts or PARTS.get(name, ("train", "test")))
    elif spec.parts:
        raise TrackError(f"{spec.name} has no parts", "leave out data.parts")
    else:
        yield common


def _parameters(dataset_class: type) -> set[str]:
    """Return what a data set of torchvision can be called with."""
    from torchvision import datasets

    inherited = {"root", "train", "download"} if issubclass(dataset_class, datasets.MNIST) else set()
    return inherited | set(inspect.signature(dataset_class).parameters)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on the calling thread: its others are not there in a forked process."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
