"""Pictures of one's own: a folder with a folder per class, or a CSV file with the columns ``path`` and ``label``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from unlearn_bench.harness.data.dataset import Dataset, data_folder
from unlearn_bench.harness.data.decoding import decoded
from unlearn_bench.harness.data.own_labels import numbered
from unlearn_bench.harness.support.errors import DataError, UnfitData
from unlearn_bench.harness.tracks.specification import Data

ENDINGS = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"})


def load(spec: Data, download: bool) -> Dataset:
    """Load ``spec.path`` of the data folder: a folder of class folders, or a CSV file.

    Classes are numbered in the order of their names, pictures in that of their paths, or of the lines of the file.
    """
    place = data_folder() / str(spec.path)
    paths, labels = listed(place)
    numbers = numbered(labels, spec.own_classes, str(place))  # before the pictures, which may take long
    return Dataset(decoded(paths, len(spec.mean), spec.image_size), numbers)


def listed(place: Path) -> tuple[list[Path], list[str]]:
    """Return the pictures of a folder of class folders, or of a CSV file, and their labels.

    Raises:
        DataError: it is neither, or lists no picture, or one that is not there.
    """
    return _from_table(place) if place.suffix == ".csv" else _from_folders(place)


def _from_folders(place: Path) -> tuple[list[Path], list[str]]:
    if not place.is_dir():
        raise DataError(f"there is no folder of pictures at {place}", "put it there, or set BENCH_DATA")
    classes = sorted(folder for folder in place.iterdir() if folder.is_dir() and not folder.name.startswith("."))
    paths, labels = [], []
    for folder in classes:
        pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS)
        if not pictures:
            raise UnfitData(f"the class folder {folder} has no picture", "remove the folder, or put its pictures there")
        paths += pictures
        labels += [folder.name] * len(pictures)
    if not paths:
        raise UnfitData(f"{place} has no class folders", "put the pictures of each class into a folder of its name")
    return paths, labels


def _from_table(place: Path) -> tuple[list[Path], list[str]]:
    try:
        table = pd.read_csv(place, dtype=str)
    except (OSError, ValueError) as error:
        raise UnfitData(
            f"{place} cannot be read: {error}", "it is a CSV file with the columns path and label"
        ) from None
    if not {"path", "label"} <= set(table.columns) or table[["path", "label"]].isna().any().any():
        raise UnfitData(f"{place} has no path and label in every line", "the first line is: path,label")
    if table.empty:
        raise UnfitData(f"{place} lists no picture", "write a line for each: path,label")
    paths = [place.parent / path for path in table["path"]]
    missing = [path for path in paths if not path.is_file()]
    if missing:
        raise UnfitData(
            f"{place} lists {missing[0]}, which is not there", "paths are relative to the folder of the file"
        )
    return paths, table["label"].tolist()
