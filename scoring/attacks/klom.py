"""KLoM: KL divergence of margins (Georgiev et al. 2024, Attribute-to-Delete, arXiv:2410.23232, appendix E.1).

For each example the margins φ of the unlearned models are compared with those of the retrained models: both are
counted in 20 equal bins over their common range, and the divergence is that of the unlearned from the retrained counts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr

from unlearn_bench.scoring.evidence import ShadowEvidence

TITLE = "KLoM"
BINS = 20
FLOOR = 1e-5
_BLOCK = 1024


def attack(shadows: ShadowEvidence) -> dict[str, float]:
    """KL in nats over the examples: ``mean``, ``p95`` (95th percentile), ``max``; ``mean_floored`` as published.

    Perfect unlearning does not read 0 with few models: compare with the null.
    """
    counts = histograms(shadows.forgotten, shadows.retrained)
    values = smoothed(*counts)
    return {
        "mean": float(values.mean()),
        "p95": float(np.quantile(values, 0.95)),
        "max": float(values.max()),
        "mean_floored": float(floored(*counts).mean()),
    }


def histograms(unlearned: ArrayLike, retrained: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return counts [n, 20] of φ [n, P] and [n, Q] in equal bins over the pooled range of each example.

    The last bin holds its right edge. An example with one value only has all counts in the first bin.

    Raises:
        ValueError: no values, different examples, or φ that is not finite.
    """
    sides = np.asarray(unlearned), np.asarray(retrained)
    for side in sides:
        if side.ndim != 2 or 0 in side.shape or side.shape[0] != sides[0].shape[0]:
            raise ValueError(f"φ [examples, models] of the same examples expected, got {[s.shape for s in sides]}")
        if not np.isfinite(side).all():
            raise ValueError(f"{np.count_nonzero(~np.isfinite(side))} values of φ are not finite")
    blocks = [
        _counted(*(side[start : start + _BLOCK].astype(np.float64) for side in sides))
        for start in range(0, sides[0].shape[0], _BLOCK)
    ]
    first, second = (np.concatenate(part) for part in zip(*blocks, strict=True))
    return first, second


def smoothed(unlearned: NDArray[np.int64], retrained: NDArray[np.int64]) -> NDArray[np.float64]:
    """KL(unlearned ‖ retrained) [n] of counts [n, bins] with one added to every bin (Laplace).

    The addition makes it finite. With the published floor on empty retrained bins instead, up to 64 models whose
    margins are narrower than the retrained models' read below perfect unlearning, since they meet fewer empty bins.
    """
    p, q = ((counts + 1.0) / (counts.sum(axis=1, keepdims=True) + counts.shape[1]) for counts in (unlearned, retrained))
    return np.asarray(rel_entr(p, q).sum(axis=1))


def floored(unlearned: NDArray[np.int64], retrained: NDArray[np.int64]) -> NDArray[np.float64]:
    """KL(unlearned ‖ retrained) [n] with retrained frequencies of at least 1e-5 where unlearned ones are not 0.

    Comparable with published values, which use 100 models a side.
    """
    p, q = (counts / counts.sum(axis=1, keepdims=True) for counts in (unlearned, retrained))
    q = np.where(p > 0, np.maximum(q, FLOOR), q)
    return np.asarray(rel_entr(p, q / q.sum(axis=1, keepdims=True)).sum(axis=1))


def _counted(*sides: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    low = np.min([side.min(axis=1) for side in sides], axis=0)[:, None]
    width = np.max([side.max(axis=1) for side in sides], axis=0)[:, None] - low
    rows = np.arange(low.size)[:, None] * BINS
    counts = []
    for side in sides:
        share = np.divide(side - low, width, out=np.zeros_like(side), where=width > 0)
        bins = np.minimum((share * BINS).astype(np.intp), BINS - 1)
        counts.append(np.bincount((rows + bins).ravel(), minlength=low.size * BINS).reshape(-1, BINS))
    return counts
