"""A user's images in an ``.npz`` file: ``images`` in any layout that the benchmark takes, ``labels`` of any kind."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data.dataset import Dataset, data_folder
from unlearn_bench.harness.data.own_labels import numbered
from unlearn_bench.harness.support.errors import DataError
from unlearn_bench.harness.tracks.specification import Data


def load(spec: Data, download: bool) -> Dataset:
    """Load the file ``spec.path`` of the data folder."""
    path = data_folder() / str(spec.path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            images, labels = archive["images"], archive["labels"]
    except FileNotFoundError:
        raise DataError(f"there is no data set at {path}", "put the file there, or set BENCH_DATA") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {error}", "save it with np.savez(path, images=…, labels=…)") from None
    return Dataset(_bytes(images, path), numbered(labels, spec.own_classes, str(path)))


def _bytes(images: NDArray[Any], path: Path) -> NDArray[Any]:
    """Return images with values from 0 to 1 as uint8; all others as they are."""
    if not np.issubdtype(images.dtype, np.floating):
        return images
    if not (np.isfinite(images).all() and images.min() >= 0 and images.max() <= 1):
        what = f"{path}: images are {images.dtype} with values from {images.min():g} to {images.max():g}"
        raise DataError(what, "floating-point images run from 0 to 1; others are uint8")
    return np.rint(images * 255).astype(np.uint8)
