"""``bench tracks new``: a track for images of one's own, with everything counted and proposed."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data.dataset import Dataset, data_folder, load_dataset
from unlearn_bench.harness.data.datasets import imagefolder
from unlearn_bench.harness.support.errors import USAGE, BenchError, TrackError
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.tracks.loading import parse_track
from unlearn_bench.harness.tracks.specification import Data

SIZES = (8, 16, 28, 32, 48, 64, 96, 128, 160, 224)
"""Sizes in pixels that are proposed."""
SAMPLED = 200
"""Pictures that are looked at for their size and mode."""
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


def new_track(file: Path, data: Path, model: str, size: int | None = None, force: bool = False) -> NewTrack:
    """Write a complete track for images of one's own, and check it.

    Args:
        file: the track's file, ``NAME.toml``.
        data: a folder with a folder per class, a CSV file with the columns path and label, or an ``.npz`` file.
        model: the network, as ``[model] name`` takes it.
        size: of the images in pixels; default: near that of the pictures.
        force: replace a file that is there.

    Raises:
        BenchError: the file is there already, the images cannot be read, there are too few, or the network does not
            exist or does not take them.
    """
    if file.suffix != ".toml":
        raise BenchError(f"{file} is not named like a track", "your command", "name it NAME.toml", USAGE)
    if file.exists() and not force:
        raise BenchError(f"{file} is there already", "your command", "choose another name, or add --force", USAGE)
    survey = _archive if data.suffix == ".npz" else _pictures
    spec = survey(_place(data), size)
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


def _place(data: Path) -> str:
    """Return a path as tracks hold it: relative to the data folder, or absolute where it lies elsewhere."""
    if not data.exists():
        raise BenchError(f"there is nothing at {data}", "your command", "name a folder, a CSV or an .npz file", USAGE)
    absolute, folder = data.resolve(), data_folder().resolve()
    return str(absolute.relative_to(folder) if absolute.is_relative_to(folder) else absolute)


def _pictures(place: str, size: int | None) -> Data:
    from PIL import Image

    paths, labels = imagefolder.listed(data_folder() / place)
    sides, grey = [], True
    for path in paths[:: max(1, len(paths) // SAMPLED)]:
        try:
            with Image.open(path) as image:
                sides.append(min(image.size))
                grey &= image.mode in ("1", "L", "I;16", "LA")
        except OSError:
            continue  # decoding names it
    channels = 1 if grey and sides else 3
    chosen = size or _nearest_size(float(np.median(sides)) if sides else 32.0)
    return _declared("imagefolder", place, len(set(labels)), chosen, channels)


def _archive(place: str, size: int | None) -> Data:
    try:
        with np.load(data_folder() / place, allow_pickle=False) as archive:
            shape, labels = archive["images"].shape, archive["labels"]
    except (OSError, ValueError, KeyError) as error:
        remedy = "save it with np.savez(path, images=…, labels=…)"
        raise BenchError(f"{place} cannot be read: {error}", "your command", remedy, USAGE) from None
    last = len(shape) == 4 and shape[-1] in (1, 3)
    channels = 1 if len(shape) == 3 else shape[-1] if last else shape[1]
    sides = shape[1:3] if last or len(shape) == 3 else shape[2:]
    return _declared("npz", place, len(np.unique(labels)), size or _nearest_size(min(sides)), channels)


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
    lines = [
        f"# {len(dataset.labels):,} images in {spec.classes} classes of {counts.min():,} to {counts.max():,}.",
        "# Every value is a proposal: docs/tracks.md says what each key means. What you change under [data], [splits],",
        "# [model] or [recipe] makes it another track, whose models are trained anew.",
        "",
        "[data]",
        f'name = "{spec.name}"',
        f"path = {_quoted(str(spec.path))}"
        + ("" if Path(str(spec.path)).is_absolute() else "  # relative to the data folder, BENCH_DATA"),
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


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def next_commands(track: NewTrack) -> Sequence[str]:
    """Return what to type next."""
    return (
        f"bench prepare {track.path}",
        f"bench baselines --track {track.path}",
        f"bench leaderboard --track {track.path}",
    )
