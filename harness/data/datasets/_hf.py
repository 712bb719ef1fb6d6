"""Image classification sets that Hugging Face's ``datasets`` reads: ``hf:NAME``, of its hub or of a folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from unlearn_bench.harness.data.dataset import Dataset, data_folder
from unlearn_bench.harness.data.library_images import LibraryImages, as_dataset
from unlearn_bench.harness.support.errors import DataError, TrackError
from unlearn_bench.harness.tracks.specification import Data

TRAIN = ("train",)
TEST = ("test", "validation", "valid", "val")
"""Names of parts that are taken for the official train and test part, the first that is there."""
IMAGE = ("image", "img", "pixel_values")
LABEL = ("label", "labels", "fine_label", "class", "target")
"""Names of columns that are taken for images and labels, the first that is there."""


def load(spec: Data, download: bool) -> Dataset:
    """Load the data set ``hf:NAME``, decoded once."""
    return as_dataset(opened(spec, download), spec)


def opened(spec: Data, download: bool) -> LibraryImages:
    """Open the data set ``hf:NAME`` of a track.

    Raises:
        TrackError: there is no such part or column.
        DataError: ``datasets`` is not installed, or the data set is missing or damaged.
    """
    arguments = dict(spec.arguments or {})
    wanted = arguments.pop("image", None), arguments.pop("label", None)
    available = _opened(spec, arguments, download)
    names = spec.parts or _default_parts(spec, list(available))
    if unknown := [name for name in names if name not in available]:
        raise TrackError(f"{spec.name} has no part {unknown[0]!r}; it has {', '.join(available)}", "correct data.parts")
    parts = [available[name] for name in names]
    image = _column(spec, parts[0], wanted[0], IMAGE, "image")
    label = _column(spec, parts[0], wanted[1], LABEL, "label")
    source = {"name": spec.name, "path": spec.path, "parts": list(names), "columns": [image, label], "more": arguments}
    return LibraryImages(spec.name, parts, partial(_read, image=image, label=label), source)


def _read(part: Any, index: int, image: str, label: str) -> tuple[Any, Any]:
    row = part[index]
    return row[image], row[label]


def is_saved(folder: Path) -> bool:
    """Return whether a folder is what ``save_to_disk`` writes."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def _opened(spec: Data, arguments: Mapping[str, Any], download: bool) -> dict[str, Any]:
    """Return the data sets of all parts by their names."""
    try:
        import datasets
    except ImportError:
        raise DataError(f"{spec.name} needs Hugging Face's datasets", "pip install 'unlearn-bench[hf]'") from None
    place = None if spec.path is None else data_folder() / spec.path
    if place is not None and not place.exists():
        raise DataError(f"there is no data set at {place}", "put it there, or set BENCH_DATA")
    name = spec.name.partition(":")[2]
    try:
        if place is not None and is_saved(place):
            opened = datasets.load_from_disk(str(place), **arguments)
        else:
            with _offline(not download):
                opened = datasets.load_dataset(name if place is None else str(place), **arguments)
    except Exception as error:  # the library raises dozens of kinds
        where = f"in {place}" if place is not None else "in the cache of datasets"
        what = f"the data set {spec.name} is missing or damaged {where}: {type(error).__name__}: {error}"
        remedy = "run `bench prepare TRACK --download`, or name a folder as data.path"
        raise DataError(what.replace("\n", " "), remedy) from None
    return dict(opened) if isinstance(opened, datasets.DatasetDict) else {str(opened.split or "train"): opened}


def _default_parts(spec: Data, names: Sequence[str]) -> tuple[str, ...]:
    if len(names) == 1:
        return tuple(names)
    chosen = [next((name for name in choice if name in names), None) for choice in (TRAIN, TEST)]
    if None in chosen:
        what = f"{spec.name} has the parts {', '.join(names)}, and it is not clear which are for training and for tests"
        raise TrackError(what, f"name them, the test part last: data.parts = {list(names)}")
    return tuple(str(name) for name in chosen)


def _column(spec: Data, part: Any, wanted: str | None, usual: Sequence[str], key: str) -> str:
    names = part.column_names
    column = next((name for name in ((wanted,) if wanted else usual) if name in names), None)
    if column is None:
        what = f"{spec.name} has no column {wanted or ' or '.join(usual)}; it has {', '.join(names)}"
        raise TrackError(what, f'name it: data.arguments = {{ {key} = "…" }}')
    return column


@contextmanager
def _offline(wanted: bool) -> Iterator[None]:
    """Keep the library from asking its hub, which it would even for what is in its cache."""
    import datasets
    from huggingface_hub import constants

    modules = datasets.config, constants
    before = [module.HF_HUB_OFFLINE for module in modules]
    try:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = wanted or value
        yield
    finally:
        for module, value in zip(modules, before, strict=True):
            module.HF_HUB_OFFLINE = value
