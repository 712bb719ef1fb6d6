"""Split rules: which examples of a data set a seed retains, forgets, validates on and tests on."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from harness.errors import TrackError
from harness.seeds import derive
from harness.track import Splits, Track

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


def split(track: Track, seed: int, size: int, train: int) -> Split:
    """The split that model seed ``seed`` of a track uses.

    Args:
        track: its ``splits`` name the rule and the expected sizes.
        seed: index of the model seed.
        size: number of examples of the data set.
        train: size of its official train part (0 when it has none).

    Raises:
        TrackError: the data set does not give the sizes that the track declares.
    """
    result = _RULES[track.splits.rule](track.splits, seed, size, train)
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
    words = seed if seed < 2**32 else np.array([seed % 2**32, seed >> 32])  # 63 bits on a sealed track
    permutation = np.random.RandomState(words).permutation(n)
    cut = math.ceil(ratio * n)
    return permutation[cut:], permutation[:cut]


def _paper(spec: Splits, seed: int, size: int, train: int) -> Split:
    """One split for all seeds (section 4): 15 % of the train part validates, 10 % of the rest is forgotten."""
    if train:
        pool, test = np.arange(train), np.arange(train, size)
    else:  # UTKFace has no official test part
        permutation = np.random.default_rng(spec.seed).permutation(size)
        cut = int(0.2 * size)
        test, pool = permutation[:cut], permutation[cut:]
    kept, val = hold_out(len(pool), 0.15, spec.seed)
    retain, forget = hold_out(len(kept), 0.10, spec.seed)
    return Split(pool[kept[retain]], pool[kept[forget]], pool[val], test)


def _per_seed(spec: Splits, seed: int, size: int, train: int) -> Split:
    """A split of its own for every seed: with a hundred forget examples one split would bias all seeds alike."""
    permutation = np.random.RandomState(derive(spec.seed, seed)).permutation(size)
    ends = np.cumsum([spec.retain, spec.forget, spec.val, spec.test])
    return Split(*(np.sort(part) for part in np.split(permutation[: ends[-1]], ends[:-1])))


_RULES: dict[str, Callable[[Splits, int, int, int], Split]] = {"paper": _paper, "per-seed": _per_seed}
