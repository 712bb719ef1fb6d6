"""The shadow splits of U-LiRA and KLoM, and φ under their models gathered into columns of examples × pairs of splits.

Half-splits come in complementary pairs, and the forget sets of a split partition its train half, so in every pair each
example is forgotten by exactly one unit and never seen by the other split: S splits give S/2 forgotten values of an
example, each from a training set of its own. (Random, overlapping forget sets give a few correlated ones.)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.scoring.evidence import Floats, Indices, ShadowEvidence
from unlearn_bench.scoring.grouped_partition import keep_groups_whole


@dataclass(frozen=True)
class Design:
    """S half-splits of the positions 0..n-1 of a population, each half partitioned into G forget sets.

    Attributes:
        forget: int16 [S, n], the forget set of each position in each split; -1 where the split leaves it out.
        forget_sets: G.
    """

    forget: NDArray[np.int16]
    forget_sets: int

    @property
    def splits(self) -> int:
        """Number S of splits."""
        return len(self.forget)

    @property
    def population(self) -> int:
        """Number n of examples of the population."""
        return self.forget.shape[1]

    @property
    def pairs(self) -> int:
        """S/2 complementary pairs: splits 2k and 2k + 1."""
        return self.splits // 2

    def partner(self, split: int) -> int:
        """Return the split that trains on what this one leaves out."""
        return split ^ 1

    def half(self, split: int) -> Indices:
        """Positions that the original of a split is trained on, ascending [n/2]."""
        return np.flatnonzero(self.forget[split] >= 0)

    def members(self, split: int, forget_set: int) -> Indices:
        """Positions of one forget set of a split, ascending."""
        return np.flatnonzero(self.forget[split] == forget_set)


def design(
    population: int, splits: int, forget_sets: int, seed: int, groups: NDArray[np.integer] | None = None
) -> Design:
    """Draw the splits. A longer design of the same seed begins with the shorter one.

    The halves of pair k depend on (seed, k), the forget sets also on their number. Sizes differ by at most one.
    Positions with the same number in ``groups`` [n] lie in one half and in one forget set.
    ``ValueError`` for an odd population (leave one example out), splits that do not pair up, more forget sets than
    a half has examples, or groups that such sizes have no room for.
    """
    if population < 2 or population % 2:
        raise ValueError(f"halves need an even population, got {population}: leave one example out")
    if splits < 2 or splits % 2:
        raise ValueError(f"splits come in pairs, got {splits}")
    half = population // 2
    limit = min(half, np.iinfo(np.int16).max)
    if not 1 <= forget_sets <= limit:
        raise ValueError(f"a half of {half} has 1 to {limit} forget sets, not {forget_sets}")
    forget = np.full((splits, population), -1, dtype=np.int16)
    sets = np.arange(half) % forget_sets
    for split in range(splits):
        pair, side = divmod(split, 2)
        order = _generator(seed, pair).permutation(population)
        halves: list[Indices] = [order[:half], order[half:]]
        positions = np.sort((halves if groups is None else keep_groups_whole(halves, groups))[side])
        drawn = _generator(seed, pair, side, forget_sets).permutation(sets)
        forget[split, positions] = drawn
        if groups is not None:
            parts = keep_groups_whole([positions[drawn == number] for number in range(forget_sets)], groups)
            for number, part in enumerate(parts):
                forget[split, part] = number
    forget.flags.writeable = False
    return Design(forget, forget_sets)


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


@dataclass(frozen=True)
class Columns:
    """φ [n, P] of every example by pair of splits, see :class:`scoring.evidence.ShadowEvidence`.

    Attributes:
        forgotten: under the unit (s, g) that forgot the example.
        never: under the unit (partner of s, g), which never saw it.
        retained: under the unit (s, g + 1 mod G), which retained it.
        absent: under the unit (partner of s, g + 1 mod G).
    """

    forgotten: Floats
    never: Floats
    retained: Floats
    absent: Floats


def gather(shadows: Design, phi: Iterable[Floats | Sequence[Floats]]) -> Columns:
    """Gather the units' φ into columns.

    Args:
        shadows: the design of the S splits.
        phi: split by split in order, φ [G, n] of its G units on the whole population: an array [2P, G, n], or a
            generator that holds one split at a time. P below S/2 is a run that stopped early.

    Raises:
        ValueError: another shape, splits without their partner or beyond the design, or G = 1, where no unit retains
            what it could have forgotten.
    """
    if shadows.forget_sets < 2:
        raise ValueError("with one forget set no unit retains an example of the half: at least 2 forget sets")
    sets, n = shadows.forget_sets, shadows.population
    columns: tuple[list[Floats], ...] = ([], [], [], [])
    for pair, splits in enumerate(_pairs(shadows, phi, (sets, n))):
        trained_side, forget_set = _owners(shadows, pair)
        pair_phi = np.concatenate(splits).ravel()
        # Positions in the pair's φ [2, G, n], flat.
        example, next_set = np.arange(n), (forget_set + 1) % sets
        seen, unseen = trained_side * (sets * n) + example, (1 - trained_side) * (sets * n) + example
        for column, start, unit in zip(
            columns, (seen, unseen, seen, unseen), (forget_set, forget_set, next_set, next_set), strict=True
        ):
            column.append(pair_phi.take(start + unit * n))
    # Transposed without a copy: the examples of a pair stay side by side in memory.
    return Columns(*(np.stack(column).T for column in columns))


def gather_originals(shadows: Design, phi: Iterable[Floats]) -> tuple[Floats, Floats]:
    """Gather columns [n, P] of the shadow originals: φ under the one trained on the example, and under its partner.

    ``phi`` is φ [n] split by split in order, such as an array [2P, n]. Errors as for :func:`gather`.
    """
    trained: list[Floats] = []
    never: list[Floats] = []
    for pair, (even, odd) in enumerate(_pairs(shadows, phi, (shadows.population,))):
        trained_side, _ = _owners(shadows, pair)
        trained.append(np.where(trained_side == 0, even, odd))
        never.append(np.where(trained_side == 0, odd, even))
    return np.stack(trained).T, np.stack(never).T


def evidence(
    shadows: Design,
    unlearned: Iterable[Floats | Sequence[Floats]],
    retrained: Iterable[Floats | Sequence[Floats]],
    originals: Iterable[Floats],
    labels: Indices,
) -> ShadowEvidence:
    """Return all that an attack reads, from φ of the unlearned and retrained units and of the originals; labels [n].

    Errors as for :func:`gather`; also when the three do not cover the same pairs.
    """
    entry, reference = gather(shadows, unlearned), gather(shadows, retrained)
    original, original_never = gather_originals(shadows, originals)
    shapes = {columns.shape for columns in (entry.forgotten, reference.forgotten, original)}
    if len(shapes) > 1 or len(labels) != shadows.population:
        raise ValueError(f"φ of different pairs or populations: {sorted(shapes)}, {len(labels)} labels")
    return ShadowEvidence(
        forgotten=entry.forgotten,
        never=entry.never,
        retrained=reference.forgotten,
        retrained_never=reference.never,
        retained=entry.retained,
        absent=entry.absent,
        original=original,
        original_never=original_never,
        labels=labels,
    )


def _pairs(
    shadows: Design, phi: Iterable[Floats | Sequence[Floats]], shape: tuple[int, ...]
) -> Iterable[tuple[Floats, Floats]]:
    """Yield the φ of splits 2k and 2k + 1, checked."""
    waiting: Floats | None = None
    count = 0
    for count, split in enumerate(phi, start=1):
        values = np.asarray(split)
        if values.shape != shape:
            raise ValueError(f"φ of split {count - 1} has shape {values.shape}, not {shape}")
        if count > shadows.splits:
            raise ValueError(f"φ of more than the {shadows.splits} splits of the design")
        if waiting is None:
            waiting = values
        else:
            yield waiting, values
            waiting = None
    if count == 0 or waiting is not None:
        raise ValueError(f"φ of whole pairs of splits expected, got {count} splits")


def _owners(shadows: Design, pair: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return which split of the pair, 0 or 1, trains on each example [n], and its forget set in that split [n]."""
    even, odd = shadows.forget[2 * pair], shadows.forget[2 * pair + 1]
    return (even < 0).astype(np.intp), np.maximum(even, odd).astype(np.intp)
