"""The boards of several tracks as they were read at one moment: what is said of several tracks is made from these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from unlearn_bench.harness.results import board
from unlearn_bench.harness.results.board import Results
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.metric_table import metric_named
from unlearn_bench.scoring.seed_rows import NO_BETTER, OK

FAILED = frozenset({"failed", "unusable"})
"""States of rows that are F by every metric."""
JUDGED = frozenset({OK, NO_BETTER, *FAILED})
"""States of rows whose groups and means count."""


@dataclass(frozen=True)
class TrackBoard:
    """The board of one track."""

    results: Results
    rows: pd.DataFrame
    """See :func:`harness.results.board.board`; the index is the name of the entry."""
    null: Mapping[str, float]
    """Every metric between two retrained models."""

    @property
    def track(self) -> Track:
        """The track."""
        return self.results.references.track

    @property
    def name(self) -> str:
        """The track's name."""
        return self.track.name

    def letters(self, metric: str) -> pd.Series[str]:
        """Return the group of every row by a metric: G1, G2, G3, F, or a missing value."""
        return self.rows[f"group_{metric}"].where(self.rows["state"].isin(JUDGED))

    def order(self, metric: str) -> pd.Series[float]:
        """Return the means of a metric, the best one lowest, of rows that have one; infinite for those that are F."""
        judged = self.rows[self.rows["state"].isin(JUDGED)]
        means = judged[metric].astype(float) * (-1 if metric_named(metric).better == "high" else 1)
        return means.mask(judged["state"].isin(FAILED), np.inf).dropna()

    def inside_band(self) -> pd.Series[bool]:
        """Return of every row that U-LiRA has attacked whether its interval reaches into the null band."""
        attacked = self.rows[
            self.rows["ulira"].notna() & (self.rows["inconsistent"] == "") & self.rows["state"].isin(JUDGED)
        ]
        low, high = self.null.get("ulira_low", np.nan), self.null.get("ulira_high", np.nan)
        return (attacked["ulira_low"] <= high) & (attacked["ulira_high"] >= low)


def track_board(results: Results, public: bool = False) -> TrackBoard:
    """Return the board of a track that has been read."""
    rows = board.board(results.references, public, results)
    null = board.null(results.references, list(results.entries.values()))
    return TrackBoard(results, rows.set_index("entry"), null)


def architecture(track: Track) -> str:
    """Return the name of the network; of a network in a file, the name of the file."""
    return str(track.model.get("name") or track.model["file"])


def data_set(track: Track) -> str:
    """Return the name of the data set; for an array file, the name of the file."""
    return track.data.name if track.data.path is None else Path(track.data.path).stem
