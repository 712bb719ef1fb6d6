"""U-LiRA: the likelihood-ratio attack on each example's φ, forgotten against never seen, with held-out decisions.

LiRA is Carlini et al. 2022 (arXiv:2112.03570); against unlearning: Kurmanji et al. 2023 (arXiv:2302.09880) and Hayes et
al. 2024 (arXiv:2403.01218). Both sides of one complementary pair of splits are held out at a time and scored by the
same fit of the other pairs, so that without an effect the accuracy is exactly ½ in expectation for any estimator.
Fits that include the scored value read .54–.62 with no effect at all; leaving out only that value reads .44–.49 at 4 to
8 pairs, because the two sides are then scored by different fits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln, stdtrit

from unlearn_bench.scoring.umia import indiscernibility

Array = NDArray[np.float64]

BLOCK = 1024
"""Examples at a time: the dozen arrays [P, 1024] of a block stay in the cache."""
STRETCH = 1.5
"""By how much the interval of a mean over pairs is wider than one of independent values, see :func:`_interval`."""
STOPPED_STRETCH = 2.1
"""The same where a run stopped because the interval was narrow enough: its pairs then happen to lie close together."""
MAX_SHAPE = 1e6
"""Shape of the prior when the examples' variances differ by no more than chance: all share one."""
FLOOR = 1e-6
"""Least mean variance of a side, as a fraction of the other's."""


@dataclass(frozen=True)
class ULira:
    """Outcome of the attack over n examples and P pairs.

    Attributes:
        accuracy: share of held-out decisions that are right; a tie counts ½; 0.5 is chance.
        low, high: 95 % interval from the spread between pairs, since the examples of a pair share their models.
        sd: standard deviation over the examples' own accuracies.
        pair_accuracies: [P].
        auc: of the scores of all examples together.
        tpr_1, tpr_01: true positive rate at 1 % and at 0.1 % false positives, of the scores of all examples together.
        smallest_fpr: 1/(n·P); below it a rate is not resolved.
        degenerate: number of examples for which some fit of a side sees no spread. They are scored like the others.
    """

    accuracy: float
    low: float
    high: float
    sd: float
    pair_accuracies: tuple[float, ...]
    auc: float
    tpr_1: float
    tpr_01: float
    smallest_fpr: float
    degenerate: int

    @property
    def indisc(self) -> float:
        """1 − |2·accuracy − 1|; 1 is best."""
        return indiscernibility(self.accuracy)


def stretch(stopped: bool) -> float:
    """Return by how much the interval of a mean over pairs is wider than one of independent values.

    ``stopped``: the run ended at the first pair at which its interval was narrow enough.
    """
    return STOPPED_STRETCH if stopped else STRETCH


def ulira(forgotten: ArrayLike, never: ArrayLike, stopped: bool = False) -> ULira:
    """Attack φ [n, P] of examples when forgotten with φ [n, P] when never seen; column p of both is pair p.

    ``stopped`` as for :func:`stretch`. ``ValueError`` for other shapes, fewer than 2 pairs (4 splits), no examples, and
    a φ that is not finite.
    """
    sides = _checked(forgotten, never)
    scores = held_out_scores(*sides)
    correct = _correct(*scores)
    pairs = correct.mean(axis=0)
    low, high = _interval(pairs, stretch(stopped))
    positives, negatives = (np.sort(side, axis=None) for side in scores)
    negative_count = negatives.size
    tpr = _true_positive_rates(positives, negatives, np.array([negative_count // 100, negative_count // 1000]))
    return ULira(
        accuracy=float(pairs.mean()),
        low=low,
        high=high,
        sd=float(correct.mean(axis=1).std()),
        pair_accuracies=tuple(pairs.tolist()),
        auc=_auc(positives, negatives),
        tpr_1=float(tpr[0]),
        tpr_01=float(tpr[1]),
        smallest_fpr=1.0 / negative_count,
        degenerate=int(np.count_nonzero(_degenerate(sides[0]) | _degenerate(sides[1]))),
    )


def null_band(pair_accuracies: ArrayLike) -> tuple[float, float]:
    """Return where another perfect unlearner's accuracy falls in 95 % of cases, from that of retrained models [P].

    It is centred on ½, where the accuracy lies in expectation, and as wide as the pairs' deviations from ½ say.
    """
    deviations = np.asarray(pair_accuracies, dtype=np.float64) - 0.5
    pairs = deviations.size
    half = stdtrit(pairs, 0.975) * math.sqrt(2 * float(np.square(deviations).mean()) / pairs)
    return 0.5 - half, 0.5 + half


def held_out_scores(forgotten: ArrayLike, never: ArrayLike) -> tuple[Array, Array]:
    """Log density ratio forgotten : never [n, P] of each forgotten and of each never-seen φ, its pair held out.

    The m = P − 1 other values x of an example and side are Gaussian with a flat prior on the mean and an inverse
    gamma prior (shape a, scale b) on the variance, of all examples of that side. The predictive distribution of one
    more value is then Student's t around their mean, with ν = 2a + m − 1 degrees of freedom and scale² D/ν, where
    D = (1 + 1/m)·(2b + Σ(x − mean)²). The prior comes from the moments of the sample variances s² of the same m pairs:
    E s² = E σ² and E s⁴ = E σ⁴·(1 + 2/(m − 1)), so that a = 2 + M²/V and b = M·(a − 1) for mean M and variance V of σ².
    A single other pair (P = 2) shows no spread: then all share the mean of (forgotten − never)²/2.

    Args:
        forgotten: φ [n, P] of examples when forgotten.
        never: φ [n, P] when never seen.

    Errors as for :func:`ulira`.
    """
    f, u = _checked(forgotten, never)
    n, pairs = f.shape
    prior_f, prior_u = _priors(f, u)
    scores = np.empty((2, pairs, n))
    for start in range(0, n, BLOCK):
        block = slice(start, start + BLOCK)
        (dev_f, mean_f), (dev_u, mean_u) = _centred(f[block]), _centred(u[block])
        # From each held-out value to the mean of the other pairs of its own side, and of the opposite side.
        rest_f, rest_u = dev_f / (pairs - 1), dev_u / (pairs - 1)
        density_f = _student(prior_f, _squares(dev_f), dev_f + rest_f, dev_u + rest_f + (mean_u - mean_f))
        density_u = _student(prior_u, _squares(dev_u), dev_f + rest_u + (mean_f - mean_u), dev_u + rest_u)
        for side in (0, 1):
            np.subtract(density_f[side], density_u[side], out=scores[side, :, block])
    return scores[0].T, scores[1].T


@dataclass(frozen=True)
class _Prior:
    """Inverse gamma prior of the variances of a side, one per held-out pair: ``shape`` and mean [P, 1]."""

    shape: Array
    mean: Array


def _student(prior: _Prior, squares: Array, *distances: Array) -> tuple[Array, ...]:
    """Return log predictive densities at distances [P, b] from the mean; ``squares`` of the m = P − 1 fitted values."""
    fitted_values = len(squares) - 1
    freedom = 2 * prior.shape + fitted_values - 1
    scaled_squares = (1 + 1 / fitted_values) * (2 * prior.mean * (prior.shape - 1) + squares)
    constant = gammaln((freedom + 1) / 2) - gammaln(freedom / 2) + freedom / 2 * np.log(scaled_squares)
    return tuple(constant - (freedom + 1) / 2 * np.log(scaled_squares + distance * distance) for distance in distances)


def _priors(f: Array, u: Array) -> tuple[_Prior, _Prior]:
    """Return the priors of both sides from the fits that leave a pair out, over all examples."""
    n, pairs = f.shape
    freedom = pairs - 2
    sums = np.zeros((2, 2, pairs, 1))
    if not freedom:
        # From the other pair's two values of each example: one value a side has no spread of its own.
        shared_variance = np.square(np.subtract(f, u, dtype=np.float64)).mean(axis=0)[::-1, None] / 2
        shared_variance[shared_variance == 0] = 1.0
        prior = _Prior(np.full((pairs, 1), MAX_SHAPE), shared_variance)
        return prior, prior
    for start in range(0, n, BLOCK):
        for side, values in enumerate((f, u)):
            variances = _squares(_centred(values[start : start + BLOCK])[0]) / freedom
            sums[side, 0] += variances.sum(axis=1, keepdims=True)
            sums[side, 1] += np.square(variances).sum(axis=1, keepdims=True)
    mean, fourth = sums[:, 0] / n, sums[:, 1] / n / (1 + 2 / freedom)
    larger_mean = mean.max(axis=0)
    mean = np.maximum(mean, FLOOR * np.where(larger_mean > 0, larger_mean, 1.0))
    spread = np.maximum(fourth - mean**2, mean**2 / MAX_SHAPE)
    shape = 2 + mean**2 / spread
    return _Prior(shape[0], mean[0]), _Prior(shape[1], mean[1])


def _centred(block: Array) -> tuple[Array, Array]:
    """Return the deviations [P, b] of φ [b, P] from its mean over the pairs, and the mean [b]."""
    values = np.array(block.T, dtype=np.float64, order="C")
    mean = values.mean(axis=0)
    values -= mean
    return values, mean


def _squares(deviations: Array) -> Array:
    """Return Σ(x − mean)² [P, b] of the values that remain when each is left out, from the sum over all."""
    squares = deviations * deviations
    total = squares.sum(axis=0)
    squares *= -len(squares) / (len(squares) - 1)
    squares += total
    return np.maximum(squares, 0.0, out=squares)  # rounding, when the value left out is far from the others


def _correct(scores_forgotten: Array, scores_never: Array) -> Array:
    """Return the share of right decisions of each example and pair, a tie counting half: 0, ¼ … 1 [n, P]."""
    return (2.0 + np.sign(scores_forgotten) - np.sign(scores_never)) / 4.0


def _interval(values: Array, stretch: float) -> tuple[float, float]:
    """Return the 95 % interval in [0, 1] of the accuracy from the pairs' accuracies [P].

    It is Student's, stretched: any two pairs are in each other's fits, so that near chance, where the accuracy is a
    degenerate U-statistic, its variance is twice that of a mean of P independent values. With an effect, and models of
    a pair that move all examples together by a tenth of their spread, a stretch of 1.5 covers 93 to 98 % at 4 pairs
    and more. Where a run may stop after any pair from the fourth on, it covers 85 to 97 %, and one of 2.1 91 to 98 %.
    """
    pairs, mean = len(values), values.mean()
    half = stretch * stdtrit(pairs - 1, 0.975) * values.std(ddof=1) / math.sqrt(pairs)
    low, high = np.clip([mean - half, mean + half], 0.0, 1.0)
    return float(low), float(high)


def _auc(positives: Array, negatives: Array) -> float:
    """Return P(positive > negative) + ½ P(equal) of sorted scores."""
    below = np.searchsorted(negatives, positives)
    equal = np.flatnonzero(negatives[np.minimum(below, negatives.size - 1)] == positives)
    ties = np.searchsorted(negatives, positives[equal], side="right") - below[equal]
    return float((below.mean() + ties.sum() / 2 / positives.size) / negatives.size)


def _true_positive_rates(positives: Array, negatives: Array, allowed: NDArray[np.int64]) -> Array:
    """Return true positive rates of sorted scores where at most ``allowed`` negatives are called positive."""
    bounds = np.concatenate([[-math.inf], negatives])[negatives.size - allowed]
    return 1.0 - np.searchsorted(positives, bounds, side="right") / positives.size


def _degenerate(values: Array) -> NDArray[np.bool_]:
    """Return for which examples [n] all values of a side but at most one are equal."""
    equal_values = np.maximum(*(np.count_nonzero(values == values[:, [pair]], axis=1) for pair in (0, 1)))
    return np.asarray(equal_values >= values.shape[1] - 1)


def _checked(forgotten: ArrayLike, never: ArrayLike) -> tuple[Array, Array]:
    sides = np.asarray(forgotten), np.asarray(never)
    if sides[0].ndim != 2 or sides[0].shape != sides[1].shape or not len(sides[0]):
        raise ValueError(
            f"φ [n, P] of both sides of the same pairs expected, got {sides[0].shape} and {sides[1].shape}"
        )
    if sides[0].shape[1] < 2:
        raise ValueError("holding a pair out takes at least 2 pairs of splits (4 splits)")
    for name, side in zip(("forgotten", "never-seen"), sides, strict=True):
        if not np.isfinite(side).all():
            raise ValueError(f"{np.count_nonzero(~np.isfinite(side))} of {side.size} {name} φ are not finite")
    return sides
