"""``bench tracks new``: a track for images of one's own, with everything counted and proposed."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data import library_images
from unlearn_bench.harness.data.dataset import Dataset, data_folder, load_dataset, odd_channels
from unlearn_bench.harness.data.datasets import _hf, _torchvision, imagefolder, npz
from unlearn_bench.harness.support.errors import USAGE, BenchError, TrackError
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.tracks.loading import parse_track
from unlearn_bench.harness.tracks.specification import Data
from unlearn_bench.harness.tracks.validation import DATA_LIBRARIES

SIZES = (8, 16, 28, 32, 48, 64, 96, 128, 160, 224)
"""Sizes in pixels that are proposed."""
SAMPLED = 200
"""Pictures that are looked at for their size and mode."""
GREY = frozenset({"1", "L", "LA", "I;16", "I", "F"})
"""Modes of pictures without colour."""
TEST, VAL, FORGET = 0.2, 0.15, 0.1
"""Shares as in the paper (section 4): of all examples, of the rest, and of what then remains."""
LEAST = 20
"""Examples to forget, below which attacks say nothing."""


@dataclass(frozen=True)
class NewTrack:
    """A track file that has been written and checked."""

    path: Path
    examples: int
    classes: int
    size: int
    channels: int


def new_track(
    file: Path,
    data: str,
    model: str,
    size: int | None = None,
    force: bool = False,
    arguments: Mapping[str, Any] | None = None,
    download: bool = False,
) -> NewTrack:
    """Write a complete track for images of one's own, and check it.

    Args:
        file: the track's file, ``NAME.toml``.
        data: a folder with a folder per class, a CSV file with the columns path and label, an ``.npz`` file, a folder
            that Hugging Face's datasets saved, ``torchvision:NAME`` or ``hf:NAME``.
        model: the network, as ``[model] name`` takes it.
        size: of the images in pixels; default: near that of the pictures.
        force: replace a file that is there.
        arguments: of ``[data]``, for the library that reads the data set.
        download: fetch the data set first, if its library can.

    Raises:
        BenchError: the file is there already, the images cannot be read, there are too few, or the network does not
            exist or does not take them.
    """
    if file.suffix != ".toml":
        raise BenchError(f"{file} is not named like a track", "your command", "name it NAME.toml", USAGE)
    if file.exists() and not force:
        raise BenchError(f"{file} is there already", "your command", "choose another name, or add --force", USAGE)
    spec = _surveyed(data, size, arguments, download)
    dataset = load_dataset(spec)
    mean, std = channel_statistics(dataset.images)
    spec = replace(spec, mean=mean, std=std, sha256=dataset.sha256)
    text = _text(file.stem, spec, dataset, model)
    _check_network(parse_track(tomllib.loads(text), file).model_spec)
    write_file(file, text.encode())
    return NewTrack(file, len(dataset.labels), spec.classes, spec.image_size, len(mean))


def channel_statistics(images: NDArray[np.uint8]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return mean and standard deviation of every channel of images [n, c, h, w], scaled to [0, 1], to four digits."""
    sums, squares, count = np.zeros(images.shape[1]), np.zeros(images.shape[1]), 0
    for start in range(0, len(images), 1024):
        block = images[start : start + 1024].astype(np.float64) / 255
        sums += block.sum(axis=(0, 2, 3))
        squares += (block**2).sum(axis=(0, 2, 3))
        count += block.size // images.shape[1]
    mean = sums / count
    std = np.sqrt(np.maximum(squares / count - mean**2, 1e-4))
    return tuple(mean.round(4).tolist()), tuple(std.round(4).tolist())


def _surveyed(data: str, size: int | None, arguments: Mapping[str, Any] | None, download: bool) -> Data:
    """Return the declaration of a data set, without digest and statistics."""
    library = data.partition(":")[0]
    if library in DATA_LIBRARIES:
        return _library(data, None, size, arguments, download)
    path = Path(data)
    place = _place(path)
    if path.is_dir() and _hf.is_saved(path):
        return _library(f"hf:{path.resolve().name}", place, size, arguments, download)
    if arguments or download:
        what = "--argument and --download go with torchvision:NAME and hf:NAME"
        raise BenchError(what, "your command", "leave them out", USAGE)
    return _archive(place, size) if path.suffix == ".npz" else _pictures(place, size)


def _place(data: Path) -> str:
    """Return a path as tracks hold it: relative to the data folder, or absolute where it lies elsewhere."""
    if not data.exists():
        remedy = "name a folder, a CSV or an .npz file, torchvision:NAME or hf:NAME"
        raise BenchError(f"there is nothing at {data}", "your command", remedy, USAGE)
    absolute, folder = data.resolve(), data_folder().resolve()
    return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)


def _library(
    name: str, place: str | None, size: int | None, arguments: Mapping[str, Any] | None, download: bool
) -> Data:
    spec = Data(name, 0, 0, (), (), path=place, arguments=arguments or None)
    module = _hf if spec.library == "hf" else _torchvision
    examples = module.opened(spec, download)
    looks = [_look(examples[i][0]) for i in range(0, len(examples), max(1, len(examples) // SAMPLED))]
    channels = 1 if all(grey for _, grey in looks) else 3
    chosen = size or _nearest_size(float(np.median([side for side, _ in looks])))
    _, labels = library_images.decoded(examples, channels, chosen)
    middle = (0.5,) * channels
    return replace(spec, classes=len(np.unique(labels)), image_size=chosen, mean=middle, std=middle)


def _look(image: Any) -> tuple[int, bool]:
    """Return the shorter side of a picture or an array, and whether it is grey."""
    mode = getattr(image, "mode", None)
    if mode is not None:
        return min(image.size), mode in GREY
    shape = np.shape(image)
    channels = [n for n in (shape[0], shape[-1]) if n in (1, 3, 4)] if len(shape) == 3 else []
    return min(n for n in shape if n not in channels), channels in ([], [1])


def _pictures(place: str, size: int | None) -> Data:
    from PIL import Image

    paths, labels = imagefolder.listed(data_folder() / place)
    sides, grey = [], True
    for path in paths[:: max(1, len(paths) // SAMPLED)]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
                grey &= image.mode in GREY
        except OSError:
            continue  # decoding names it
    channels = 1 if grey and sides else 3
    chosen = size or _nearest_size(float(np.median(sides)) if sides else 32.0)
    return _declared("imagefolder", place, len(set(labels)), chosen, channels)


def _archive(place: str, size: int | None) -> Data:
    with npz.opened(data_folder() / place) as (archive, shape, _):
        labels = archive["labels"]
    last = len(shape) == 4 and shape[-1] in (1, 3)
    channels = 1 if len(shape) == 3 else shape[-1] if last else shape[1]
    if channels not in (1, 3):
        raise odd_channels(place, shape)
    sides = shape[1:3] if last or len(shape) == 3 else shape[2:]
    classes = labels.shape[1] if labels.ndim == 2 and labels.shape[1] > 1 else len(np.unique(labels))  # one-hot
    return _declared("npz", place, classes, size or _nearest_size(min(sides)), channels)


def _declared(name: str, place: str, classes: int, size: int, channels: int) -> Data:
    return Data(name, classes, size, (0.5,) * channels, (0.5,) * channels, path=place)


def _nearest_size(side: float) -> int:
    return max((size for size in SIZES if size <= side * 1.15), default=SIZES[0])


def _check_network(spec: dict[str, object]) -> None:
    from unlearn_bench.sandbox.inside import models

    try:
        models.check(spec)
    except models.NetworkError as error:
        raise TrackError(str(error), "choose another --model") from None


def split_sizes(n: int) -> dict[str, int]:
    """Return how many of n examples are R, F, V and T, by the paper's shares.

    Raises:
        BenchError: there are too few.
    """
    test = math.ceil(TEST * n)
    val = math.ceil(VAL * (n - test))
    forget = math.ceil(FORGET * (n - test - val))
    if forget < LEAST:
        what = f"{n} examples leave {forget} to forget, of which no attack can say anything"
        raise BenchError(
            what, "your command", f"use {math.ceil(LEAST / FORGET / (1 - VAL) / (1 - TEST))} or more", USAGE
        )
    return {"retain": n - test - val - forget, "forget": forget, "val": val, "test": test}


def _text(name: str, spec: Data, dataset: Dataset, model: str) -> str:
    sizes = split_sizes(len(dataset.labels))
    counts = np.bincount(dataset.labels, minlength=spec.classes)
    steps = math.ceil((sizes["retain"] + sizes["forget"]) / 128)
    epochs = max(10, min(60, math.ceil(3000 / steps)))
    seeds = 10 if sizes["retain"] <= 5000 else 3
    channels = len(spec.mean)
    augmented = channels == 3 and spec.image_size >= 28
    model_lines = [f"name = {_quoted(model)}", f"channels = {channels}"]
    if model == "resnet18_narrow":
        model_lines.insert(1, "width = 8")
    relative = spec.path is not None and not Path(spec.path).is_absolute()
    place = "  # relative to the data folder, BENCH_DATA" if relative else ""
    lines = [
        f"# {len(dataset.labels):,} images in {spec.classes} classes of {counts.min():,} to {counts.max():,}.",
        "# Every value is a proposal: docs/tracks.md says what each key means. What you change under [data], [splits],",
        "# [model] or [recipe] makes it another track, whose models are trained anew.",
        "",
        "[data]",
        f'name = "{spec.name}"',
        *([] if spec.path is None else [f"path = {_quoted(spec.path)}{place}"]),
        *([] if spec.arguments is None else [f"arguments = {_inline(spec.arguments)}"]),
        f'sha256 = "{spec.sha256}"',
        f"classes = {spec.classes}",
        f"image_size = {spec.image_size}",
        f"mean = {list(spec.mean)}",
        f"std = {list(spec.std)}",
        "",
        "[splits]",
        'rule = "per-seed"  # every model seed has a division of its own',
        "seed = 1",
        *(f"{part} = {count}" for part, count in sizes.items()),
        "",
        "[model]",
        *model_lines,
        "",
        "[recipe]",
        f"epochs = {epochs}  # {epochs * steps:,} steps; see with `bench prepare` whether V is learnt",
        "batch_size = 128",
        "lr = 0.1",
        'schedule = "one-cycle"',
        "momentum = 0.9",
        "weight_decay = 5e-4",
        f"crop = {spec.image_size // 8 if augmented else 0}",
        f"flip = {str(augmented).lower()}",
        "seed = 1",
        'weights = "float16"',
        "",
        "[protocol]",
        f"seeds = {seeds}  # models; ten give intervals that tell neighbours apart",
        "seed = 1",
        "batch_size = 64",
        "deadline_floor = 60  # seconds",
        "deadline_factor = 2  # times Retrain's, where that is more",
        "memory_mib = 4096",
        "processes = 256",
        "lira_splits = 0  # 16, with 8 forget sets, for U-LiRA: 144 more models to train",
        "",
        "[analysis]",
        f"title = {_quoted(f'{name}, {model}')}",
        f"max_epochs = {max(2, math.ceil(epochs / 5))}",
        "trials = 50",
        "tuning_seeds = 2",
    ]
    return "\n".join(lines) + "\n"


def _inline(table: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items()) + " }"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def next_commands(track: NewTrack) -> Sequence[str]:
    """Return what to type next."""
    return (
        f"bench prepare {track.path}",
        f"bench baselines --track {track.path}",
        f"bench leaderboard --track {track.path}",
    )
