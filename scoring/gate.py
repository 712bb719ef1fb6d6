"""The cheap gate before U-LiRA: is there anything left for a costly attack to find?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unlearn_bench.scoring.intervals import Interval, mean_interval

ATTACKS = {"rmia": "auc", "umia_two_sided": "accuracy"}
"""Attacks of the gate, which run on the seed units alone, and the number that counts."""


@dataclass(frozen=True)
class GateResult:
    """One attack on one entry. ``difference``: to the zero line of the same seed, mean with its 95 % interval."""

    attack: str
    value: float
    null: float
    difference: Interval

    @property
    def caught(self) -> bool:
        """The interval excludes no difference: above, F looks seen; below, it looks less seen than unseen data."""
        return self.difference.n > 1 and not self.difference.low <= 0.0 <= self.difference.high


def gate(entry: Mapping[str, Sequence[float]], null: Mapping[str, Sequence[float]]) -> list[GateResult]:
    """Return the results of the gate's attacks from their values per seed, of an entry and of a second retrained model.

    ``ValueError`` where the two do not have the same seeds.
    """
    found = []
    for attack in ATTACKS:
        own, zero = np.asarray(entry[attack]), np.asarray(null[attack])
        if own.shape != zero.shape:
            raise ValueError(f"{attack}: {own.size} seeds of the entry, {zero.size} of the zero line")
        found.append(GateResult(attack, float(own.mean()), float(zero.mean()), mean_interval(own - zero)))
    return found
