"""What the data sets that torchvision reads have in common."""

from __future__ import annotations

import numpy as np

from unlearn_bench.harness.data.dataset import Dataset, data_folder
from unlearn_bench.harness.support.errors import DataError
from unlearn_bench.harness.tracks.specification import Data


def load_torchvision(spec: Data, kind: str, download: bool, published: str | None = None) -> Dataset:
    """Load the train and test part of a data set, in one index space.

    Args:
        spec: the track's data set.
        kind: class of ``torchvision.datasets``.
        download: fetch what is missing.
        published: what ``Dataset.sha256`` must be, where torchvision does not check every file that it reads.

    Raises:
        DataError: it is missing, damaged, or not the published one.
    """
    from torchvision import datasets

    folder, dataset_class = data_folder(), getattr(datasets, kind)
    try:
        train, test = (dataset_class(str(folder), train=part, download=download) for part in (True, False))
    except Exception as error:  # torchvision raises RuntimeError, ValueError, EOFError, URLError … for damage
        raise DataError(
            f"the data set {spec.name} is missing or damaged in {folder}: {error}".replace("\n", " "),
            "run `bench prepare TRACK --download`, or point BENCH_DATA at a folder that torchvision reads",
        ) from None
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
