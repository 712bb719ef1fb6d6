"""The cheap gate before U-LiRA: is there anything left for a costly attack to find?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from unlearn_bench.scoring.intervals import Interval, mean_interval

LEVEL = 0.95
"""Of the intervals of all attacks together."""


@dataclass(frozen=True)
class GateResult:
    """One attack on one entry. ``difference``: from the null of the same seed, mean with its corrected interval."""

    attack: str
    value: float
    null: float
    difference: Interval

    @property
    def caught(self) -> bool:
        """Whether the interval excludes 0: above it, F looks seen; below it, F looks less seen than unseen data."""
        return self.difference.n > 1 and not self.difference.low <= 0.0 <= self.difference.high


def gate(entry: Mapping[str, Sequence[float]], null: Mapping[str, Sequence[float]]) -> list[GateResult]:
    """Return the results of attacks from their values per seed, of an entry and of a second retrained model.

    Bonferroni's correction makes a perfect unlearner pass all of them in 95 % of cases. ``ValueError`` where the two do
    not have the same seeds.
    """
    results = []
    level = 1 - (1 - LEVEL) / max(len(entry), 1)
    for attack, values in entry.items():
        entry_values, null_values = np.asarray(values), np.asarray(null[attack])
        if entry_values.shape != null_values.shape:
            raise ValueError(f"{attack}: {entry_values.size} seeds of the entry, {null_values.size} of the null")
        difference = mean_interval(entry_values - null_values, level)
        results.append(GateResult(attack, float(entry_values.mean()), float(null_values.mean()), difference))
    return results
