"""The forgetting quality ε of the NeurIPS 2023 unlearning competition (Triantafillou et al. 2024, arXiv:2406.09073).

For one example, φ under N unlearned models is told from φ under N retrained ones by every rule of a family. A rule with
false positive and false negative rates FPR and FNR shows that

    ε ≥ max(log(1 − δ − FPR) − log FNR, log(1 − δ − FNR) − log FPR)

and ε of the example is the largest such bound. A rule without errors gives 50; one with a single rate of 0 is dropped,
as a sign of too few models. A rule's bound depends on two counts only, so bounds stand in a table. Neighbouring edges
of a grid have the same counts unless a value lies between them: a grid is a few runs of edges and is never written out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CAP = 50.0
DELTA = 1e-5
NARROW = 0.01
"""Below this ratio of the two ranges the answer is 50: the narrow side falls between any thresholds of a grid."""
_PER_UNIT = 100
_BUFFER = 2.0
_BLOCK = 300_000
"""Rules of all examples that are looked at together."""
_CORRECTIONS = 8
"""Rounding puts a value one edge off, rarely two."""


def epsilons(unlearned: ArrayLike, retrained: ArrayLike, delta: float = DELTA) -> NDArray[np.float64]:
    """Return ε [n] in [0, 50] of n examples from φ [n, N] under unlearned and [n, M] under retrained models.

    The thresholds are those of the competition's code: a grid of 100 per unit of φ for one threshold (it calls the side
    with the larger median) and for intervals about as wide as the narrower side (they call that side).

    Raises:
        ValueError: different examples, a side that is empty or not finite, or δ outside [0, 1).
    """
    unlearned_phi, retrained_phi = (
        np.sort(np.atleast_1d(np.asarray(side, dtype=np.float64))) for side in (unlearned, retrained)
    )
    if {unlearned_phi.ndim, retrained_phi.ndim} != {2} or not 0 < len(unlearned_phi) == len(retrained_phi):
        raise ValueError(
            f"φ [examples, models] of the same examples expected, got {unlearned_phi.shape} and {retrained_phi.shape}"
        )
    for name, side in (("unlearned", unlearned_phi), ("retrained", retrained_phi)):
        if side.size == 0 or not np.isfinite(side).all():
            raise ValueError(f"ε needs finite φ of {name} models, got {np.isfinite(side).sum()} in shape {side.shape}")
    if not 0.0 <= delta < 1.0:
        raise ValueError(f"δ = {delta} is outside [0, 1)")
    ranges = _range(unlearned_phi), _range(retrained_phi)
    values = np.full(len(unlearned_phi), CAP)
    comparable = np.flatnonzero(np.minimum(*ranges) >= NARROW * np.maximum(*ranges))
    block = max(1, _BLOCK // (unlearned_phi.shape[1] + retrained_phi.shape[1] + 1) ** 2)
    for rows in (comparable[i : i + block] for i in range(0, len(comparable), block)):
        values[rows] = _largest_bounds(unlearned_phi[rows], retrained_phi[rows], delta)
    return values


def points(eps: ArrayLike) -> NDArray[np.float64]:
    """Return the points in (0, 1] for ε: 2/2^n in the n-th bin of width 0.5, so 1 below 0.5, then halving."""
    values = np.asarray(eps, dtype=np.float64)
    if not (np.isfinite(values) & (values >= 0.0)).all():
        raise ValueError("ε must be finite and not negative")
    return np.asarray(0.5 ** np.floor(values / 0.5))


@cache
def _bounds(positives: int, negatives: int, delta: float) -> Floats:
    """Return ε of rules that call i of the positives and j of the negatives positive, [positives + 1, negatives + 1].

    It is 0, the least value, where the rule is dropped.
    """
    fnr = (positives - np.arange(positives + 1))[:, None] / positives
    fpr = np.arange(negatives + 1)[None, :] / negatives
    with np.errstate(divide="ignore", invalid="ignore"):
        # A rate above 1 − δ has no logarithm: that bound says nothing, the other one may.
        bound = np.fmax(np.log(1 - delta - fpr) - np.log(fnr), np.log(1 - delta - fnr) - np.log(fpr))
    table = np.where((fnr == 0) | (fpr == 0), 0.0, np.clip(np.nan_to_num(bound), 0.0, CAP))
    table[positives, 0] = CAP
    table.flags.writeable = False
    return np.asarray(table)


def _largest_bounds(unlearned: Floats, retrained: Floats, delta: float) -> Floats:
    """Return the largest bound [n] that the competition's rules give on sorted φ [n, N] and [n, M]."""

    def rules(high: Floats, low: Floats) -> Floats:
        intervals = _either_way(
            _range(high) < _range(low), low, high, lambda narrow, wide: _intervals(narrow, wide, delta)
        )
        return np.maximum(_single(high, low, delta), intervals)

    return _either_way(_median(retrained) > _median(unlearned), unlearned, retrained, rules)


def _either_way(
    swap: NDArray[np.bool_], first: Floats, second: Floats, rule: Callable[[Floats, Floats], Floats]
) -> Floats:
    """Return ``rule(first, second)`` of each example, or ``rule(second, first)`` where ``swap`` [n] is true."""
    bounds = np.empty(len(swap))
    for rows, sides in ((~swap, (first, second)), (swap, (second, first))):
        if rows.any():
            bounds[rows] = rule(sides[0][rows], sides[1][rows])
    return bounds


def _single(high: Floats, low: Floats, delta: float) -> Floats:
    """Return the largest bound of one threshold: values at or above it are called the side with the larger median."""
    start = np.minimum(high[:, 0], low[:, 0])
    end = np.maximum(high[:, -1], low[:, -1])
    size = np.ceil((end - start) * _PER_UNIT)
    grid = _Grid(start, (end - start) / np.maximum(size - 1, 1), size, end)
    runs = grid.runs((high, low), "right")
    missed, spared = (side.shape[1] - below for side, below in zip((high, low), runs.below, strict=True))
    return np.asarray(
        np.where(runs.present, _bounds(high.shape[1], low.shape[1], delta)[missed, spared], 0.0).max(axis=1)
    )


def _intervals(narrow: Floats, wide: Floats, delta: float) -> Floats:
    """Return the largest bound of two thresholds: values between them are called the side with the narrower range.

    Right edges are a grid within 2 of the narrow side's maximum, left edges the same grid within 2 of a width further
    left. Both grids have the same step, so all left edges together are one grid of twice the length, of which the
    right edge i uses the stretch i…i + steps − 1.
    """
    width = _range(narrow)
    steps = int(np.ceil(2 * _BUFFER * _PER_UNIT))
    start, end = narrow[:, 0] + width - _BUFFER, narrow[:, -1] + _BUFFER
    edge_counts = np.full(len(narrow), float(steps))
    right = _Grid(start, (end - start) / (steps - 1), edge_counts, end)
    left = _Grid(start - width - _BUFFER, np.full_like(start, 2 * _BUFFER / (steps - 1)), 2 * edge_counts - 1)
    ends, starts = right.runs((narrow, wide), "left"), left.runs((narrow, wide), "right")
    # A run of equal right edges i and a run of equal left edges j meet if any i ≤ j < i + steps.
    meet = ends.present[:, :, None] & starts.present[:, None, :]
    meet &= starts.last[:, None, :] >= ends.first[:, :, None]
    meet &= starts.first[:, None, :] < ends.last[:, :, None] + steps
    table = _bounds(narrow.shape[1], wide.shape[1], delta)
    called, mistaken = (
        np.maximum(end[:, :, None] - start[:, None, :], 0) for end, start in zip(ends.below, starts.below, strict=True)
    )
    # Where nothing meets, nothing is called: a rule that is dropped.
    bounds = table.ravel()[(called * table.shape[1] + mistaken) * meet]
    return np.asarray(bounds.max(axis=(1, 2)))


@dataclass(frozen=True)
class _Runs:
    """Runs of neighbouring edges of a grid with the same counts, [n, k] of each example; real where ``present``."""

    present: NDArray[np.bool_]
    first: Floats
    last: Floats
    below: tuple[NDArray[np.intp], NDArray[np.intp]]
    """How many values of each side lie below these edges."""


@dataclass(frozen=True)
class _Grid:
    """Edges start + j · step, j < size, of each example [n]; the last is ``end`` if given, as ``linspace`` has it."""

    start: Floats
    step: Floats
    size: Floats
    end: Floats | None = None

    def edge(self, index: Floats) -> Floats:
        edges = index * self.step[:, None] + self.start[:, None]
        if self.end is None:
            return edges
        return np.where((index == self.size[:, None] - 1) & (index > 0), self.end[:, None], edges)

    def above(self, values: Floats, ties: Literal["left", "right"]) -> Floats:
        """Return the index of the first edge above each value [n, k]; with ``left``, at or above it."""
        before = np.less if ties == "left" else np.less_equal
        size = self.size[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):  # a grid with one edge or none has a step of 0
            guess = np.nan_to_num((values - self.start[:, None]) / self.step[:, None])
        index = np.clip(np.ceil(guess), 0, size)
        for _ in range(_CORRECTIONS):
            up = (index < size) & before(self.edge(index), values)
            down = (index > 0) & ~before(self.edge(index - 1), values)
            if not (up | down).any():
                break
            index = index + up - down
        return index

    def runs(self, sides: tuple[Floats, Floats], ties: Literal["left", "right"]) -> _Runs:
        entry = np.concatenate([np.zeros((len(self.start), 1)), *(self.above(side, ties) for side in sides)], axis=1)
        order = entry.argsort(axis=1, kind="stable")
        first = np.take_along_axis(entry, order, axis=1)
        last = np.concatenate([first[:, 1:], self.size[:, None]], axis=1) - 1
        models = sides[0].shape[1]
        below = ((order > 0) & (order <= models)).cumsum(axis=1), (order > models).cumsum(axis=1)
        present = (last >= first) & (first < self.size[:, None])  # otherwise the next value enters at the same edge
        kept = (~present).argsort(axis=1, kind="stable")[:, : max(1, present.sum(axis=1).max())]
        present, first, last, *counts = (
            np.take_along_axis(each, kept, axis=1) for each in (present, first, last, *below)
        )
        return _Runs(present, first, last, (counts[0], counts[1]))


def _range(ordered: Floats) -> Floats:
    return np.asarray(ordered[:, -1] - ordered[:, 0])


def _median(ordered: Floats) -> Floats:
    middle = ordered.shape[1] // 2
    return np.asarray(ordered[:, middle] if ordered.shape[1] % 2 else (ordered[:, middle - 1] + ordered[:, middle]) / 2)
