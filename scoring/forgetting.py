"""How much is left of what was to be forgotten: the worst of all attacks that ran.

Each attack is read against its own null, a second retrained model, and in units of what it finds in Original: 0 is the
null, 1 is Original. Both directions count: an example that looks less seen than unseen ones was in the forget set, too.
One attack that finds something is enough, so an entry's forgetting is the strongest evidence against it, with an
interval that is corrected for the number of attacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

Array = NDArray[np.float64]
Draws = NDArray[np.intp]

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
    """

    attack: str
    unit: Literal["seed", "pair"]
    entry: Array
    null: Array
    original: Array
    stretch: float = 1.0


@dataclass(frozen=True)
class Forgetting:
    """The strongest evidence against an entry: 0 is the null, 1 what the attack finds in Original.

    Attributes:
        value: of the attack whose interval begins highest.
        low, high: 95 % interval of the worst of all attacks; 0 where the evidence may be chance.
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
        ValueError: a value that is not finite, or arrays of different lengths.
    """
    powerful = telling(readings)
    if not powerful:
        return None
    value, low, high = (ends[:, 0] for ends in _ends(powerful, {}))
    worst, limit = int(np.lexsort((value, low))[-1]), int(high.argmax())
    return Forgetting(
        float(value[worst]),
        float(low[worst]),
        float(high[limit]),
        powerful[worst].attack,
        powerful[limit].attack,
        len(powerful),
    )


@dataclass(frozen=True)
class Share:
    """What one attack finds of an entry, on the scale from its null (0) to Original (1).

    Attributes:
        attack: its title.
        value: negative where an entry lies on the other side of the null than Original, which is evidence, too.
        low, high: 95 % interval, corrected for the number of attacks.
    """

    attack: str
    value: float
    low: float
    high: float


def shares(readings: Sequence[Reading]) -> list[Share]:
    """Return what every attack that finds Original finds of an entry, the strongest evidence first.

    Raises:
        ValueError: as :func:`forgetting`.
    """
    found = []
    for reading in (powerful := telling(readings)):
        ratio, half = (float(each[0]) for each in _ratio(reading, len(powerful), {}))
        found.append(Share(reading.attack, ratio, ratio - half, ratio + half))
    return sorted(found, key=lambda share: (-max(share.low, -share.high, 0.0), -abs(share.value)))


def groups(readings: Sequence[Reading], draws: Mapping[str, Draws]) -> NDArray[np.int8]:
    """Return the group in each resample [k] of an entry's units, -1 without an attack; ``draws`` [n, k] by unit."""
    powerful = telling(readings)
    if not powerful:
        return np.full(next(iter(draws.values())).shape[1], -1, dtype=np.int8)
    value, low, _ = _ends(powerful, draws)
    worst = np.lexsort((value, low), axis=0)[-1]
    resamples = np.arange(value.shape[1])
    return _groups(value[worst, resamples], low[worst, resamples]).astype(np.int8)


def telling(readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings of attacks that find more in Original than in the null, each at the corrected level.

    An attack that cannot tell Original from a retrained model says nothing about an entry either.
    """
    found = []
    for reading in readings:
        arrays = [np.asarray(values, np.float64) for values in (reading.entry, reading.null, reading.original)]
        if len({values.shape for values in arrays}) > 1 or not all(np.isfinite(values).all() for values in arrays):
            raise ValueError(f"{reading.attack}: finite values of the same units expected")
        difference = arrays[2] - arrays[1]
        half = _half_width(difference, len(readings), reading.stretch)
        if len(difference) > 1 and abs(difference.mean()) > half:
            found.append(reading)
    return found


def _ends(readings: Sequence[Reading], draws: Mapping[str, Draws]) -> tuple[Array, Array, Array]:
    """Return evidence and both ends [attacks, resamples]; without draws of the units as they are, one column."""
    rows = []
    for reading in readings:
        ratio, half = _ratio(reading, len(readings), draws)
        size = np.abs(ratio)
        rows.append((size, np.maximum(size - half, 0.0), size + half))
    value, low, high = (np.stack(part) for part in zip(*rows, strict=True))
    return value, low, high


def _ratio(reading: Reading, attacks: int, draws: Mapping[str, Draws]) -> tuple[Array, Array]:
    """Return an entry's share of Original's distance from the null and half of its interval, each [resamples].

    The ratio of two means has the interval of its first-order residuals (the delta method): of Original itself it is 1
    without an error.
    """
    from_null, whole = reading.entry - reading.null, reading.original - reading.null
    drawn = draws.get(reading.unit, np.arange(len(whole))[:, None])
    from_null, whole = from_null[drawn], whole[drawn]  # [n, resamples]: sums over few units are fast along this axis
    scale = whole.mean(axis=0)
    ratio = from_null.mean(axis=0) / scale
    whole *= ratio
    from_null -= whole
    from_null /= scale
    return ratio, _half_width(from_null, attacks, reading.stretch)


def _half_width(values: Array, attacks: int, stretch: float) -> Array:
    """Half of the interval of the mean of ``values`` [n, ...], Bonferroni's correction for ``attacks`` included."""
    n = values.shape[0]
    if n < 2:
        return np.full(values.shape[1:], np.inf)
    quantile = stdtrit(n - 1, 1 - (1 - LEVEL) / (2 * attacks))
    return np.asarray(stretch * quantile * values.std(axis=0, ddof=1) / np.sqrt(n))


def _groups(value: Array, low: Array) -> NDArray[np.intp]:
    return np.where(low <= 0.0, G1, np.where(value < HALF, G2, G3))
