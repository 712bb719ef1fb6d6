"""Split rules: which examples of a data set a seed retains, forgets, validates on and tests on."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from harness import data
from harness.errors import DataError, TrackError
from harness.seeds import derive
from harness.track import FOLDER, Splits, Track

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Split:
    """Disjoint index arrays into the data set."""

    retain: Indices
    forget: Indices
    val: Indices
    test: Indices

    def parts(self) -> dict[str, Indices]:
        return {"retain": self.retain, "forget": self.forget, "val": self.val, "test": self.test}


def split(track: Track, seed: int, size: int, train: int, labels: Indices | None = None) -> Split:
    """The split that model seed ``seed`` of a track uses.

    Args:
        track: its ``splits`` name the rule and the expected sizes.
        seed: index of the model seed.
        size: number of examples of the data set.
        train: size of its official train part (0 when it has none).
        labels: [size], of the data set; read where a class is forgotten.

    Raises:
        TrackError: the data set does not give the sizes that the track declares.
        DataError: the file of values by which F is chosen is missing or another one.
    """
    spec = track.splits
    pool = _RULES[spec.rule](spec, seed, size, train)
    chosen = _CHOICES[spec.forget_rule](spec, pool.kept, labels)
    retain, forget = pool.kept[~chosen], pool.kept[chosen]
    if spec.rule != "paper":
        retain, forget = np.sort(retain), np.sort(forget)
    result = Split(retain, forget, pool.val, pool.test)
    sizes = {name: len(part) for name, part in result.parts().items()}
    declared = {name: count for name, count in asdict(track.splits).items() if name in sizes}
    if sizes != declared:
        raise TrackError(
            f"track {track.name}: the data set splits into {sizes}, splits declares {declared}",
            "mend the sizes under [splits], or the data set",
        )
    return result


def hold_out(n: int, ratio: float, seed: int) -> tuple[Indices, Indices]:
    """The paper's split: (kept, held out); the first ceil(ratio·n) of a permutation are held out, order is kept."""
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


def _paper(spec: Splits, seed: int, size: int, train: int) -> _Pool:
    """One division for all seeds (section 4): 15 % of the train part validates; of the rest, 10 % is forgotten."""
    if train:
        pool, test = np.arange(train), np.arange(train, size)
    else:  # UTKFace has no official test part
        permutation = np.random.default_rng(spec.seed).permutation(size)
        cut = int(0.2 * size)
        test, pool = permutation[:cut], permutation[cut:]
    kept, val = hold_out(len(pool), 0.15, spec.seed)
    return _Pool(pool[kept[_permutation(len(kept), spec.seed)]], pool[val], test)


def _per_seed(spec: Splits, seed: int, size: int, train: int) -> _Pool:
    """A division of its own for every seed: with a hundred forget examples one would bias all seeds alike."""
    permutation = np.random.RandomState(derive(spec.seed, seed)).permutation(size)
    ends = np.cumsum([spec.retain, spec.forget, spec.val, spec.test])
    retain, forget, val, test = np.split(permutation[: ends[-1]], ends[:-1])
    return _Pool(np.concatenate([forget, retain]), np.sort(val), np.sort(test))


def _fixed(spec: Splits, seed: int, size: int, train: int) -> _Pool:
    """The division of seed 0 for all: with a choice of F that depends on the examples, its size must not vary."""
    return _per_seed(spec, 0, size, train)


def _random(spec: Splits, kept: Indices, labels: Indices | None) -> NDArray[np.bool_]:
    return np.arange(len(kept)) < spec.forget


def _class(spec: Splits, kept: Indices, labels: Indices | None) -> NDArray[np.bool_]:
    """Whole classes; V and T keep theirs."""
    assert labels is not None
    return np.isin(labels[kept], spec.forget_classes)


def _highest(spec: Splits, kept: Indices, labels: Indices | None) -> NDArray[np.bool_]:
    """Those with the highest values, such as the most memorised; of equals the earlier example."""
    order = np.lexsort((kept, -_values(spec)[kept]))
    return np.isin(np.arange(len(kept)), order[: spec.forget])


def _values(spec: Splits) -> NDArray[np.float32]:
    places = [folder / str(spec.values) for folder in (FOLDER, data.folder())]
    path = next((path for path in places if path.is_file()), places[-1])
    try:
        content = path.read_bytes()
    except OSError:
        raise DataError(
            f"there is no file of values at {path}", "put it there; `bench memorisation` makes one"
        ) from None
    if hashlib.sha256(content).hexdigest() != spec.values_sha256:
        raise DataError(f"{path} is not the file of values that the track declares", "get the original file again")
    values: NDArray[np.float32] = np.load(io.BytesIO(content), allow_pickle=False)
    return values


_RULES: dict[str, Callable[[Splits, int, int, int], _Pool]] = {"paper": _paper, "per-seed": _per_seed, "fixed": _fixed}
_CHOICES: dict[str, Callable[[Splits, Indices, Indices | None], NDArray[np.bool_]]] = {
    "random": _random,
    "class": _class,
    "highest": _highest,
}
