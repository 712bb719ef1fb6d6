"""What all attacks together found of one entry on one track."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from unlearn_bench.scoring.forgetting import Reading, Share, shares


@dataclass(frozen=True)
class PanelResult:
    """What became of the attacks on an entry on one track.

    Attributes:
        entry, track: names.
        readings: of every attack that ran on it and counts.
        shadows: metrics that read shadow models, with their ``_low`` and ``_high``, where these have run.
        provisional: which reading of U-LiRA or of the probes is missing although baselines of the track have it;
            empty where none is.
    """

    entry: str
    track: str
    readings: tuple[Reading, ...] = ()
    shadows: Mapping[str, float] = field(default_factory=dict)
    provisional: str = ""

    @cached_property
    def shares(self) -> list[Share]:
        """What every attack that finds Original finds of the entry, the strongest evidence first."""
        return shares(self.readings)
