"""A user's images in an ``.npz`` file: ``images`` in any layout that the benchmark takes, ``labels`` as integers."""

from __future__ import annotations

import zipfile

import numpy as np

from unlearn_bench.harness.data.dataset import Dataset, data_folder
from unlearn_bench.harness.support.errors import DataError
from unlearn_bench.harness.tracks.specification import Data


def load(spec: Data, download: bool) -> Dataset:
    """Load the file ``spec.path`` of the data folder."""
    path = data_folder() / str(spec.path)
    try:
        with np.load(path, allow_pickle=False) as archive:
            return Dataset(archive["images"], archive["labels"])
    except FileNotFoundError:
        raise DataError(f"there is no data set at {path}", "put the file there, or set BENCH_DATA") from None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {error}", "save it with np.savez(path, images=…, labels=…)") from None
