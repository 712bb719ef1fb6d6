"""Split rules: which examples of a data set a seed retains, forgets, validates on and tests on."""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from itertools import accumulate, combinations, count, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data import corruption
from unlearn_bench.harness.data.dataset import data_folder
from unlearn_bench.harness.support.errors import DataError, TrackError
from unlearn_bench.harness.support.files import write_file
from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.loading import CATALOGUE
from unlearn_bench.harness.tracks.specification import Splits, Track
from unlearn_bench.scoring.grouped_partition import keep_groups_whole

Indices = NDArray[np.int64]
Labels = Indices | None
Values = NDArray[np.float32] | None


@dataclass(frozen=True)
class Split:
    """Disjoint index arrays into the data set."""

    retain: Indices
    forget: Indices
    val: Indices
    test: Indices

    def parts(self) -> dict[str, Indices]:
        """Return the four parts by their names in the protocol."""
        return {"retain": self.retain, "forget": self.forget, "val": self.val, "test": self.test}


@dataclass(frozen=True)
class Numbers:
    """What a track's splits read from files: a number per example of the data set."""

    values: NDArray[np.float32] | None = None
    """The examples with the highest values are forgotten."""
    groups: NDArray[np.integer] | None = None
    """Examples with the same number are kept on one side."""
    parts: Mapping[str, Indices] | None = None
    """``retain``, ``forget``, ``val`` and ``test``, each [n] for all seeds or [seeds, n]."""


def numbers(spec: Splits, size: int) -> Numbers:
    """Read the files that a track declares, for a data set of ``size`` examples.

    Raises:
        DataError: a file is missing, has another digest, or belongs to another data set.
        TrackError: a file of indices does not hold four disjoint parts of the data set.
    """
    values = None if spec.values is None else _file("values", spec.values, spec.values_sha256, size, "memorisation")
    groups = None if spec.groups is None else _file("groups", spec.groups, spec.groups_sha256, size, "duplicates")
    parts = None if spec.indices is None else _parts(spec.indices, spec.indices_sha256, size)
    return Numbers(values, groups, parts)


def write(path: Path, numbers: NDArray[Any]) -> str:
    """Write numbers [size] as :func:`numbers` reads them, and return the SHA-256 that a track declares."""
    content = io.BytesIO()
    np.save(content, numbers, allow_pickle=False)
    write_file(path, content.getvalue())
    return hashlib.sha256(content.getvalue()).hexdigest()


NONE = Numbers()


def split(
    track: Track, seed: int, size: int, train: int, labels: Indices | None = None, numbers: Numbers = NONE
) -> Split:
    """Return the split that model seed ``seed`` of a track uses.

    Args:
        track: its ``splits`` name the rule and the expected sizes.
        seed: index of the model seed.
        size: number of examples of the data set.
        train: size of its official train part (0 when it has none).
        labels: [size], of the data set; read where a class is forgotten, or data is corrupted.
        numbers: from :func:`numbers`, where the track declares files.

    Raises:
        TrackError: the data set does not give the sizes that the track declares, or groups do not fit into them;
            fewer examples can be corrupted than the track declares.
    """
    spec = track.splits
    if spec.rule == "file":
        assert numbers.parts is not None
        return _with_declared_sizes(track, _listed(track, numbers.parts, seed))
    pool = _pool(spec, seed, size, train, numbers.groups)
    if track.data.corruption is not None:
        assert labels is not None
        draw = derive(spec.seed, seed if spec.rule == "per-seed" else 0)
        retain, forget = corruption.divide(track.data.corruption, pool.kept, labels, draw)
        return _with_declared_sizes(track, Split(retain, forget, pool.val, pool.test))
    chosen = _CHOICES[spec.forget_rule](spec, pool.kept, labels, numbers.values)
    retain, forget = pool.kept[~chosen], pool.kept[chosen]
    if spec.rule != "paper":
        retain, forget = np.sort(retain), np.sort(forget)
    return _with_declared_sizes(track, Split(retain, forget, pool.val, pool.test))


def _with_declared_sizes(track: Track, result: Split) -> Split:
    sizes = {name: len(part) for name, part in result.parts().items()}
    declared = {name: count for name, count in asdict(track.splits).items() if name in sizes}
    if sizes != declared:
        raise TrackError(
            f"track {track.name}: the data set splits into {sizes}, splits declares {declared}",
            "correct the sizes under [splits], or the data set",
        )
    return result


def tuning_split(
    track: Track, number: int, size: int, train: int, labels: Indices | None = None, numbers: Numbers = NONE
) -> Split:
    """Return a split that no score reads, drawn as the track's rule says from a seed of its own; see :func:`split`.

    Where a file lists the splits, R, F and V are drawn from those of model seed 0, and T stays. Where a class is
    forgotten, splits are drawn until as many of its examples are in F as in what scores read.
    """
    seed = derive(track.splits.seed, number, 4)
    if track.splits.rule == "file":
        listed = split(track, 0, size, train, labels, numbers)
        pool = np.concatenate([listed.retain, listed.forget, listed.val])
        ends = np.cumsum([len(listed.retain), len(listed.forget)])
        retain, forget, val = np.split(pool[_permutation(len(pool), seed)], ends)
        return Split(np.sort(retain), np.sort(forget), np.sort(val), listed.test)
    if track.splits.forget_rule == "class":
        declared = len(split(track, 0, size, train, labels, numbers).forget)
        seeds = (derive(seed, draw) if draw else seed for draw in count())
        seed = next(each for each in seeds if _forgotten(track, each, size, train, labels, numbers) == declared)
    redrawn = replace(track.splits, seed=seed)
    return split(replace(track, splits=redrawn), 0, size, train, labels, numbers)


def _forgotten(track: Track, seed: int, size: int, train: int, labels: Labels, numbers: Numbers) -> int:
    """Return how many examples of R ∪ F are of a class that is forgotten, in the split that a seed gives."""
    spec = replace(track.splits, seed=seed)
    return int(_class(spec, _pool(spec, 0, size, train, numbers.groups).kept, labels, numbers.values).sum())


def _listed(track: Track, parts: Mapping[str, Indices], seed: int) -> Split:
    """Return the parts of a seed as a file lists them."""
    rows = {part: len(listed) for part, listed in parts.items() if listed.ndim == 2}
    seeds = track.protocol.seeds
    if any(count < seeds for count in rows.values()):
        what = f"{track.splits.indices} has splits of {min(rows.values())} seeds, the track {seeds} seeds"
        raise TrackError(what, "list a row for every seed, or one split for all of them")
    return Split(**{part: np.sort(listed[seed] if listed.ndim == 2 else listed) for part, listed in parts.items()})


def hold_out(n: int, ratio: float, seed: int) -> tuple[Indices, Indices]:
    """Split into (kept, held out) as the paper does: the first ceil(ratio·n) of a permutation are held out."""
    permutation = _permutation(n, seed)
    cut = math.ceil(ratio * n)
    return permutation[cut:], permutation[:cut]


def _permutation(n: int, seed: int) -> Indices:
    words = seed if seed < 2**32 else np.array([seed % 2**32, seed >> 32])  # 63 bits on a sealed track
    return np.random.RandomState(words).permutation(n)


@dataclass(frozen=True)
class _Pool:
    """How a data set is divided, before F is chosen."""

    kept: Indices
    """R ∪ F, in random order: forgetting at random takes the first ones."""
    val: Indices
    test: Indices


def _pool(spec: Splits, seed: int, size: int, train: int, groups: NDArray[np.integer] | None) -> _Pool:
    if spec.rule == "paper":
        return _paper(spec, size, train)
    # with a choice of F that depends on the examples, its size must not vary from seed to seed
    return _drawn(spec, 0 if spec.rule == "fixed" else seed, size, groups)


def _paper(spec: Splits, size: int, train: int) -> _Pool:
    """Divide once for all seeds (section 4): 15 % of the train part validates; of the rest, 10 % is forgotten."""
    if train:
        pool, test = np.arange(train), np.arange(train, size)
    else:  # UTKFace has no official test part
        permutation = np.random.default_rng(spec.seed).permutation(size)
        cut = int(0.2 * size)
        test, pool = permutation[:cut], permutation[cut:]
    kept, val = hold_out(len(pool), 0.15, spec.seed)
    return _Pool(pool[kept[_permutation(len(kept), spec.seed)]], pool[val], test)


def _drawn(spec: Splits, seed: int, size: int, groups: NDArray[np.integer] | None) -> _Pool:
    """Draw a division for every seed: with a hundred forget examples a common one would bias all seeds alike."""
    permutation = np.random.RandomState(derive(spec.seed, seed)).permutation(size)
    ends = accumulate([spec.retain, spec.forget, spec.val, spec.test], initial=0)
    parts: list[NDArray[Any]] = [permutation[start:end] for start, end in pairwise([*ends, size])]
    if groups is not None:
        try:
            parts = keep_groups_whole(parts, groups)
        except ValueError as error:
            raise TrackError(f"splits.groups: {error}", "use a file with smaller groups") from None
    retain, forget, val, test, _ = parts
    return _Pool(np.concatenate([forget, retain]), np.sort(val), np.sort(test))


def _random(spec: Splits, kept: Indices, labels: Labels, values: Values) -> NDArray[np.bool_]:
    return np.arange(len(kept)) < spec.forget


def _class(spec: Splits, kept: Indices, labels: Labels, values: Values) -> NDArray[np.bool_]:
    """Choose whole classes; V and T keep their examples of these classes."""
    assert labels is not None
    return np.isin(labels[kept], spec.forget_classes)


def _highest(spec: Splits, kept: Indices, labels: Labels, values: Values) -> NDArray[np.bool_]:
    """Choose the examples with the highest values, such as the most memorised; ties go to the earlier example."""
    assert values is not None
    order = np.lexsort((kept, -values[kept]))
    return np.isin(np.arange(len(kept)), order[: spec.forget])


_CHOICES: dict[str, Callable[[Splits, Indices, Labels, Values], NDArray[np.bool_]]] = {
    "random": _random,
    "class": _class,
    "highest": _highest,
}


def _file(what: str, name: str, sha256: str | None, size: int, command: str) -> NDArray[Any]:
    """Read an array with a number per example."""
    path, content = _content(what, name, sha256, f"`bench {command}` makes one")
    array: NDArray[Any] = np.load(io.BytesIO(content), allow_pickle=False)
    if array.shape != (size,):
        raise DataError(
            f"{path} has {what} of shape {array.shape}, the data set {size:,} examples",
            f"use the data set that the file was made for, or make another file: `bench {command}`",
        )
    return array


def _content(what: str, name: str, sha256: str | None, origin: str) -> tuple[Path, bytes]:
    """Read a file that lies beside the shipped tracks or in the data folder, and check its digest."""
    places = [folder / name for folder in (CATALOGUE, data_folder())]
    path = next((path for path in places if path.is_file()), places[-1])
    try:
        content = path.read_bytes()
    except OSError:
        raise DataError(f"there is no file of {what} at {path}", f"put it there; {origin}") from None
    if (digest := hashlib.sha256(content).hexdigest()) != sha256:
        what = f"{path} is not the file of {what} that the track declares: its SHA-256 is {digest}"
        raise DataError(what, "get the original file again")
    return path, content


PARTS = tuple(field.name for field in fields(Split))


def _parts(name: str, sha256: str | None, size: int) -> dict[str, Indices]:
    """Read the indices of R, F, V and T, and check that they are disjoint parts of ``size`` examples."""
    origin = f"numpy.savez writes one, with the arrays {', '.join(PARTS)}"
    path, content = _content("indices", name, sha256, origin)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            parts = {part: archive[part] for part in PARTS}
    except (ValueError, KeyError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise TrackError(f"{path} is not a file of indices: {error}", origin) from None
    for part, indices in parts.items():
        if indices.ndim not in (1, 2) or not np.issubdtype(indices.dtype, np.integer):
            what = f"{path}: {part} is {indices.dtype} of shape {indices.shape}"
            raise TrackError(what, "indices are whole numbers, [n] for all seeds or [seeds, n]")
        if indices.size and (indices.min() < 0 or indices.max() >= size):
            what = f"{path}: {part} has indices from {indices.min()} to {indices.max()}"
            raise TrackError(what, f"the data set has {size:,} examples: 0 … {size - 1}")
    rows = {len(indices) for indices in parts.values() if indices.ndim == 2}
    if len(rows) > 1:
        counts = ", ".join(map(str, sorted(rows)))
        raise TrackError(f"{path} lists splits of different numbers of seeds: {counts}", "list one row per seed")
    for seed in range(max(rows, default=1)):
        _check_disjoint(path, {part: listed[seed] if listed.ndim == 2 else listed for part, listed in parts.items()})
    return {part: listed.astype(np.int64) for part, listed in parts.items()}


def _check_disjoint(path: Path, parts: Mapping[str, Indices]) -> None:
    for part, indices in parts.items():
        if len(np.unique(indices)) < len(indices):
            raise TrackError(f"{path}: {part} lists an example twice", "list every example once")
    for first, second in combinations(parts, 2):
        if len(shared := np.intersect1d(parts[first], parts[second])):
            what = f"{path}: {first} and {second} share {len(shared)} examples, such as {shared[0]}"
            raise TrackError(what, "every example belongs to one part at most")
