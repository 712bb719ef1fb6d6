"""The forgetting quality ε of the NeurIPS 2023 unlearning competition (Triantafillou et al. 2024, arXiv:2406.09073).

For one example, φ under N unlearned models is told from φ under N retrained ones by every rule of a family. A rule with
false positive and false negative rates FPR and FNR shows that

    ε ≥ max(log(1 − δ − FPR) − log FNR, log(1 − δ − FNR) − log FPR)

and ε of the example is the largest such bound. A rule without errors gives 50; one with a single rate of 0 is dropped,
as a sign of too few models. A rule's bound depends on two counts only, so bounds stand in a table, and rules with the
same counts are met once.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Mode = Literal["compatible", "exact"]
Floats = NDArray[np.float64]

CAP = 50.0
DELTA = 1e-5
NARROW = 0.01
"""Below this ratio of the two ranges the answer is 50: the narrow side falls between any thresholds of a grid."""
_PER_UNIT = 100
_BUFFER = 2.0


def epsilon(unlearned: ArrayLike, retrained: ArrayLike, mode: Mode = "compatible", delta: float = DELTA) -> float:
    """ε in [0, 50] of one example from φ [N] under unlearned and [M] under retrained models.

    ``compatible`` takes the thresholds of the competition's code: a grid of 100 per unit of φ for one threshold (it
    calls the side with the larger median) and for intervals about as wide as the narrower side (they call that side).
    ``exact`` takes every half-line and every interval that the values can tell apart, and calls either side.

    Raises:
        ValueError: a side is empty or not finite, an unknown mode, or δ outside [0, 1).
    """
    sides = [np.sort(np.asarray(side, dtype=np.float64)) for side in (unlearned, retrained)]
    for name, side in zip(("unlearned", "retrained"), sides, strict=True):
        if side.ndim != 1 or side.size == 0 or not np.isfinite(side).all():
            raise ValueError(f"ε needs a vector of finite φ of {name} models, got {side.size} in shape {side.shape}")
    if not 0.0 <= delta < 1.0:
        raise ValueError(f"δ = {delta} is outside [0, 1)")
    if mode not in ("compatible", "exact"):
        raise ValueError(f"mode is 'compatible' or 'exact', not {mode!r}")
    ranges = [side[-1] - side[0] for side in sides]
    if min(ranges) < NARROW * max(ranges):
        return CAP
    own, reference = sides
    if mode == "exact":
        return _exact(own, reference, delta)
    high, low = (reference, own) if _median(reference) > _median(own) else (own, reference)
    return max(_single(high, low, delta), _intervals(high, low, delta))


def epsilons(
    unlearned: ArrayLike, retrained: ArrayLike, mode: Mode = "compatible", delta: float = DELTA
) -> NDArray[np.float64]:
    """ε [n] of n examples from φ [n, N] and [n, M]. Same errors as ``epsilon``, and for different examples."""
    own, reference = np.asarray(unlearned), np.asarray(retrained)
    if own.ndim != 2 or reference.ndim != 2 or own.shape[0] != reference.shape[0] or not own.size:
        raise ValueError(f"φ [examples, models] of the same examples expected, got {own.shape} and {reference.shape}")
    return np.array([epsilon(a, b, mode, delta) for a, b in zip(own, reference, strict=True)])


def points(eps: ArrayLike) -> NDArray[np.float64]:
    """Points in (0, 1] for ε: 2/2^n in the n-th bin of width 0.5, so 1 below 0.5 and half of it every 0.5 further."""
    values = np.asarray(eps, dtype=np.float64)
    if not (np.isfinite(values) & (values >= 0.0)).all():
        raise ValueError("ε must be finite and not negative")
    return np.asarray(0.5 ** np.floor(values / 0.5))


def score(
    unlearned: ArrayLike,
    retrained: ArrayLike,
    ra_ratio: float,
    ta_ratio: float,
    mode: Mode = "compatible",
    delta: float = DELTA,
) -> float:
    """The competition's score from φ [n, N] and [n, M]: mean points × RA ratio × TA ratio.

    The ratios are the unlearned models' mean accuracy over the retrained models' on retain and test set. Perfect
    unlearning does not score 1: see ``ceiling``.
    """
    for name, ratio in (("RA", ra_ratio), ("TA", ta_ratio)):
        if not (np.isfinite(ratio) and ratio >= 0.0):
            raise ValueError(f"the {name} ratio is {ratio}")
    return float(points(epsilons(unlearned, retrained, mode, delta)).mean()) * ra_ratio * ta_ratio


def ceiling(models: int, examples: int = 400, mode: Mode = "compatible", seed: int = 0) -> float:
    """Score of perfect unlearning with N models a side: φ of both sides from one normal distribution.

    The competition's grid is in units of φ, so the result depends a little on the spread; it is 1 here. In exact mode
    the ceiling falls with N (.17 at 8 models, .05 at 512): the more rules, the larger the largest error.
    """
    rng = np.random.default_rng(seed)
    own, reference = rng.standard_normal((2, examples, models))
    return score(own, reference, 1.0, 1.0, mode)


@cache
def _bounds(positives: int, negatives: int, delta: float) -> Floats:
    """ε of rules that call i of the positives and j of the negatives positive, [positives + 1, negatives + 1].

    0 where the rule is dropped: that is also the floor.
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


def _single(high: Floats, low: Floats, delta: float) -> float:
    """One threshold: at or above it lies the side with the larger median."""
    ends = min(high[0], low[0]), max(high[-1], low[-1])
    thresholds = np.linspace(*ends, int(np.ceil((ends[1] - ends[0]) * _PER_UNIT)))
    if not thresholds.size:
        return 0.0
    below, _, _ = _runs(thresholds, (high, low), "right")
    return float(_bounds(high.size, low.size, delta)[high.size - below[0], low.size - below[1]].max())


def _intervals(high: Floats, low: Floats, delta: float) -> float:
    """Two thresholds: between them lies the side with the narrower range.

    Right edges are a grid within 2 of the narrow side's maximum, left edges the same grid within 2 of a width further
    left. Both grids have the same step, so all left edges together are one grid of twice the length, of which the
    right edge i uses the stretch i…i + steps − 1.
    """
    narrow, wide = (low, high) if np.ptp(high) >= np.ptp(low) else (high, low)
    width = narrow[-1] - narrow[0]
    steps = int(np.ceil(2 * _BUFFER * _PER_UNIT))
    right = np.linspace(narrow[0] + width - _BUFFER, narrow[-1] + _BUFFER, steps)
    left = right[0] - width - _BUFFER + np.arange(2 * steps - 1) * (2 * _BUFFER / (steps - 1))
    sides = (narrow, wide)
    ends, end_first, end_last = _runs(right, sides, "left")
    starts, start_first, start_last = _runs(left, sides, "right")
    # A run of equal right edges i and a run of equal left edges j meet if any i ≤ j < i + steps.
    meet = (start_last[None, :] >= end_first[:, None]) & (start_first[None, :] < end_last[:, None] + steps)
    called = np.maximum(ends[:, :, None] - starts[:, None, :], 0)[:, meet]
    return float(_bounds(narrow.size, wide.size, delta)[called[0], called[1]].max())


def _exact(own: Floats, reference: Floats, delta: float) -> float:
    """All intervals of neighbouring values, half-lines among them, calling one side and the other."""
    values = np.unique(np.concatenate([own, reference]))
    below = [np.append(np.searchsorted(side, values, side="left"), side.size) for side in (own, reference)]
    start, end = np.triu_indices(values.size + 1, k=1)
    called = [counts[end] - counts[start] for counts in below]
    first = _bounds(own.size, reference.size, delta)[called[0], called[1]]
    second = _bounds(reference.size, own.size, delta)[called[1], called[0]]
    return float(max(first.max(), second.max()))


def _runs(
    grid: Floats, sides: tuple[Floats, Floats], ties: Literal["left", "right"]
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
    """How many values of each side lie below the edges of a grid, for every run of edges with the same counts.

    Returns the counts [2, k], and the first and the last edge of each run. With ``left`` a value at an edge counts.
    """
    entry = [np.searchsorted(grid, side, side=ties) for side in sides]  # the first edge above each value
    first = np.unique(np.concatenate(([0], *entry)))
    first = first[first < grid.size]
    below = np.stack([np.searchsorted(edges, first, side="right") for edges in entry])
    return below, first, np.append(first[1:], grid.size) - 1


def _median(ordered: Floats) -> float:
    middle = ordered.size // 2
    return float(ordered[middle] if ordered.size % 2 else (ordered[middle - 1] + ordered[middle]) / 2)
