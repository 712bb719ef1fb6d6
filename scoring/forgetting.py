"""How much is left of what was to be forgotten: the worst of all attacks that ran.

Each attack is read against its own null, a second retrained model, and in units of what it finds in Original: 0 is the
null, 1 is Original. Both directions count: an example that looks less seen than unseen ones was in the forget set, too.
One attack that finds something is enough, so an entry's forgetting is the strongest evidence against it, with an
interval that is corrected for the number of attacks.

An attack may find Original and still be too imprecise to clear anybody: its interval of a retrained model, which has
nothing left to find, reaches Original's side. What such an attack finds counts; that it finds nothing does not say how
much there may be.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]
Counts = NDArray[np.float64]
"""[resamples, n]: how often a resample drew each unit."""

LEVEL = 0.95
HALF = 0.5
"""Share of Original's evidence at which group G3 begins."""
CLEARLY = 0.9
"""Share of Original's evidence below which the interval must end: noise on the weights alone gives .91."""
G1, G2, G3 = 0, 1, 2


@dataclass(frozen=True)
class Reading:
    """What one attack reads, unit by unit, of an entry and of the models that it is compared with.

    Attributes:
        attack: its title.
        unit: what a value is taken from: the model of a seed, or a pair of shadow splits.
        entry, null, original: [n] of the entry, of retrained models and of models before unlearning, of the same units.
        stretch: by how much the interval of a mean of such values is wider than Student's t says.
        retrained: [n] of the models that Retrain's row stands for, of the same units; by them it is told whether the
            attack is precise enough to clear an entry. ``None`` where they are unknown: then it is taken to be.
    """

    attack: str
    unit: Literal["seed", "pair"]
    entry: Array
    null: Array
    original: Array
    stretch: float = 1.0
    retrained: Array | None = None


@dataclass(frozen=True)
class Forgetting:
    """The strongest evidence against an entry: 0 is the null, 1 what the attack finds in Original.

    Attributes:
        value: of the attack whose interval begins highest.
        low, high: 95 % interval of the worst of all attacks that find something or can clear a retrained model; 0 where
            the evidence may be chance.
        attack: the title of that attack.
        limit: the title of the attack whose interval ends highest.
        attacks: how many attacks were read.
    """

    value: float
    low: float
    high: float
    attack: str
    limit: str
    attacks: int

    @property
    def beats_original(self) -> bool:
        """Whether every attack finds clearly less than in Original: a tenth less, by the whole interval."""
        return self.high < CLEARLY

    @property
    def group(self) -> int:
        """0 where the interval reaches the null, 1 below half of Original's evidence, otherwise 2."""
        return int(_groups(np.array(self.value), np.array(self.low)))


def forgetting(readings: Sequence[Reading]) -> Forgetting | None:
    """Return the strongest evidence of the attacks that find Original; ``None`` where none does.

    Raises:
        ValueError: as :func:`shares`.
    """
    return strongest(shares(readings))


def strongest(found: Sequence[Share]) -> Forgetting | None:
    """Return the strongest of what :func:`shares` returned; ``None`` where that is nothing.

    Where no attack finds something or can clear a retrained model, all count: then nobody is cleared.
    """
    if not found:
        return None
    counting = [share for share in found if share.least > 0 or share.clears] or found
    worst, limit = counting[0], max(counting, key=lambda share: share.most)
    return Forgetting(abs(worst.value), worst.least, limit.most, worst.attack, limit.attack, len(found))


@dataclass(frozen=True)
class Share:
    """What one attack finds of an entry, on the scale from its null (0) to Original (1).

    Attributes:
        attack: its title.
        value: negative where an entry lies on the other side of the null than Original, which is evidence, too.
        low, high: 95 % interval, corrected for the number of attacks.
        clears: whether the attack is precise enough to clear a retrained model on this track.
    """

    attack: str
    value: float
    low: float
    high: float
    clears: bool = True

    @property
    def least(self) -> float:
        """Begin of the interval of the evidence, whichever side of the null it is on; 0 where it may be chance."""
        return max(self.low, -self.high, 0.0)

    @property
    def most(self) -> float:
        """End of the interval of the evidence."""
        return max(self.high, -self.low)


def shares(readings: Sequence[Reading]) -> list[Share]:
    """Return what every attack that finds Original finds of an entry, the strongest evidence first.

    Raises:
        ValueError: a value that is not finite, or arrays of different lengths.
    """
    found = []
    for reading in (powerful := telling(readings)):
        ratio, half = (float(each[0]) for each in _ratio(reading, len(powerful), {}))
        found.append(Share(reading.attack, ratio, ratio - half, ratio + half, _clears(reading, len(powerful))))
    return sorted(found, key=lambda share: (-share.least, not share.clears, -abs(share.value)))


def groups(readings: Sequence[Reading], counts: Mapping[str, Counts]) -> NDArray[np.int8]:
    """Return the group in each resample [k] of an entry's units, -1 without an attack; ``counts`` [k, n] by unit."""
    powerful = telling(readings)
    if not powerful:
        return np.full(len(next(iter(counts.values()))), -1, dtype=np.int8)
    ratios, halves = zip(*(_ratio(reading, len(powerful), counts) for reading in powerful), strict=True)
    value = np.abs(ratios)
    low = np.maximum(value - halves, 0.0)
    highest = low.max(axis=0)
    return _groups(np.where(low == highest, value, -np.inf).max(axis=0), highest).astype(np.int8)


def telling(readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings of attacks that find more in Original than in the null, each at the corrected level.

    An attack that cannot tell Original from a retrained model says nothing about an entry either.
    """
    found = []
    for reading in readings:
        arrays = (reading.entry, reading.null, reading.original)
        if len({np.shape(values) for values in arrays}) > 1 or not np.isfinite(arrays).all():
            raise ValueError(f"{reading.attack}: finite values of the same units expected")
        difference = reading.original - reading.null
        n = len(difference)
        if n > 1 and abs(difference.mean()) > _half_width(difference.std(ddof=1), n, len(readings), reading.stretch):
            found.append(reading)
    return found


def _clears(reading: Reading, attacks: int) -> bool:
    """Return whether the attack's interval of a retrained model ends where an entry would beat Original."""
    if reading.retrained is None:
        return True
    ratio, half = _ratio(replace(reading, entry=reading.retrained), attacks, {})
    return bool(abs(ratio[0]) + half[0] < CLEARLY)


def _ratio(reading: Reading, attacks: int, counts: Mapping[str, Counts]) -> tuple[Array, Array]:
    """Return an entry's share of Original's distance from the null and half of its interval, each [resamples].

    Without counts of the reading's unit there is one resample, the units as they are.

    The ratio of two means has the interval of its first-order residuals (the delta method): of Original itself it is 1
    without an error. The residuals' mean is 0, so their variance follows from the resample's means of squares.
    """
    from_null, whole = reading.entry - reading.null, reading.original - reading.null
    n = len(whole)
    terms = np.array([from_null, whole, from_null**2, from_null * whole, whole**2])
    mean, scale, squared, mixed, squared_scale = (counts.get(reading.unit, np.ones((1, n))) @ terms.T).T / n
    ratio = mean / scale
    variance = np.maximum(squared - 2 * ratio * mixed + ratio**2 * squared_scale, 0.0) * n / max(n - 1, 1)
    return ratio, _half_width(np.sqrt(variance) / np.abs(scale), n, attacks, reading.stretch)


def _half_width(deviation: Array, n: int, attacks: int, stretch: float) -> Array:
    """Half of the interval of the mean of ``n`` values, Bonferroni's correction for ``attacks`` included."""
    if n < 2:
        return np.full(np.shape(deviation), np.inf)
    quantile = stdtrit(n - 1, 1 - (1 - LEVEL) / (2 * attacks))
    return np.asarray(stretch * quantile * deviation / np.sqrt(n))


def _groups(value: Array, low: Array) -> NDArray[np.intp]:
    return np.where(low <= 0.0, G1, np.where(value < HALF, G2, G3))
