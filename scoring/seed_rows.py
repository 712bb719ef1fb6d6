"""The table that boards are made of: one row per entry, track and seed.

Columns (others are ignored):

* ``entry``, ``track``: names; ``seed``: any label, the same for all entries of a track (comparisons are paired on it)
* ``kind``: ``baseline`` (shipped, sets the cut points), ``entry`` (a submission) or ``reference`` (Retrain, Original:
  shown, never ranked)
* ``status``: ``ok``, ``infra`` (the benchmark's fault, counts as not run yet), or any other for the entry's own failure
* every metric that has a value per seed (``scoring.metric_table.per_seed``): finite where the status is ``ok``, ignored
  elsewhere. Those that are not ``required``, such as ``rte``, may be NaN where they are unknown
* ``ra_retrain``: RA of the same seed's retrained model; ``classes``: number of classes of the track
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unlearn_bench.scoring import metric_table

KINDS = ("baseline", "entry", "reference")
ULIRA = "ulira"
"""The metric of the second overall rank: entries are grouped by the Indisc of their U-LiRA accuracy."""


def columns() -> list[str]:
    """Columns of the table, in order."""
    values = (metric.name for metric in metric_table.per_seed())
    return ["entry", "kind", "track", "seed", "status", *values, "ra_retrain", "classes"]


@dataclass(frozen=True)
class ULiRAResult:
    """What became of an entry's shadow units on one track."""

    entry: str
    track: str
    status: str
    """``ok``, or the entry's own failure."""
    pair_accuracies: tuple[float, ...] = ()
    """U-LiRA's accuracy on each held-out pair of splits; empty unless ``ok``."""
    low: float = np.nan
    high: float = np.nan
    """95 % interval of the accuracy."""
    inconsistent: bool = False
    """Shown, but in no group and no rank: the entry worked differently in these units than in its seed units."""


def checked(rows: pd.DataFrame, seeds: Mapping[str, int]) -> pd.DataFrame:
    """Return the rows of the tracks in ``seeds`` (track → number of seeds), ordered; ``ValueError`` for bad rows."""
    missing = [column for column in columns() if column not in rows.columns]
    if missing:
        raise ValueError(f"columns missing: {', '.join(missing)}")
    track_rows = rows.loc[rows["track"].isin(list(seeds)), columns()]
    track_rows = track_rows.sort_values(["track", "entry", "seed"], ignore_index=True)
    if track_rows.duplicated(["track", "entry", "seed"]).any():
        twice = track_rows[track_rows.duplicated(["track", "entry", "seed"])].iloc[0]
        raise ValueError(f"{twice['entry']} has seed {twice['seed']} of {twice['track']} twice")
    if not track_rows["kind"].isin(KINDS).all():
        raise ValueError(f"unknown kind; known are {', '.join(KINDS)}")
    if (track_rows.groupby("entry")["kind"].nunique() > 1).any() or (
        track_rows.groupby("track")["classes"].nunique() != 1
    ).any():
        raise ValueError("an entry has one kind, a track one number of classes")
    for track, group in track_rows.groupby("track"):
        if group["seed"].nunique() > seeds[str(track)]:
            raise ValueError(f"{group['seed'].nunique()} seeds on {track}, which wants {seeds[str(track)]}")
    _check_values(track_rows[track_rows["status"] == "ok"])
    return track_rows


def _check_values(finished: pd.DataFrame) -> None:
    required = [metric.name for metric in metric_table.per_seed() if metric.required]
    finite = np.isfinite(finished[[*required, "ra_retrain"]].to_numpy(np.float64)).all(axis=1)
    if not finite.all():
        worst = finished[~finite].iloc[0]
        raise ValueError(
            f"{worst['entry']}, seed {worst['seed']} of {worst['track']}: status ok with values not finite"
        )
    for metric in metric_table.per_seed():
        values = finished[metric.name].to_numpy(np.float64)
        if np.isinf(values).any() or (metric.ratio and (values <= 0).any()):
            sign = "positive and finite" if metric.ratio else "finite"
            raise ValueError(f"{metric.name} must be {sign}, or NaN where it is unknown")


def standings(rows: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """Say what became of each entry on one track; ``rows`` are checked rows of that track, ``seeds`` what it wants.

    Index ``entry``; columns ``kind``, ``state``, ``reason`` (for people, empty when all is well), ``seeds_ok``,
    ``seeds_total``. States:

    * ``ok``: all seeds ok, and usable
    * ``failed``: a seed failed through the entry's fault
    * ``incomplete``: seeds not run yet or lost to ``infra``, none failed
    * ``unusable``: mean RA below 1.5 / classes, or below half of the retrained models' mean RA
    * ``reference``: a reference row, whatever its seeds
    """
    entry_rows = []
    kinds, statuses = rows["kind"].to_numpy(object), rows["status"].to_numpy(object)
    accuracies, classes = rows[["ra", "ra_retrain"]].to_numpy(np.float64), rows["classes"].to_numpy()
    for entry, places in rows.groupby("entry").indices.items():
        kind, ok_places = kinds[places[0]], places[statuses[places] == "ok"]
        state, reason = _state(list(statuses[places]), accuracies[ok_places].T, 1.5 / classes[places[0]], seeds)
        if kind == "reference":
            state = "reference"
        entry_rows.append((str(entry), kind, state, reason, len(ok_places), seeds))
    table = pd.DataFrame(entry_rows, columns=["entry", "kind", "state", "reason", "seeds_ok", "seeds_total"])
    return table.astype(
        {
            "entry": "string",
            "kind": "string",
            "state": "string",
            "reason": "string",
            "seeds_ok": int,
            "seeds_total": int,
        }
    ).set_index("entry")


def _state(statuses: list[str], ok_accuracies: NDArray[np.float64], floor: float, seeds: int) -> tuple[str, str]:
    """Return state and reason; ``ok_accuracies``: RA of the entry and of Retrain [2, seeds that are ok]."""
    failures = Counter(status for status in statuses if status not in ("ok", "infra"))
    if failures:
        return "failed", ", ".join(
            f"{count} {status}" for status, count in sorted(failures.items())
        ) + f" of {seeds} seeds"
    if ok_accuracies.shape[1] < seeds:
        return "incomplete", f"{ok_accuracies.shape[1]} of {seeds} seeds done"
    ra, retrained = ok_accuracies.mean(axis=1)
    if ra < floor:
        return "unusable", f"mean RA {ra:.3f} is below 1.5 / classes = {floor:.3f}"
    if ra < retrained / 2:
        return "unusable", f"mean RA {ra:.3f} is below half of Retrain's {retrained:.3f}"
    return "ok", ""
