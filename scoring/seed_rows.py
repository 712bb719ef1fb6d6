"""The table that boards are made of: one row per entry, track and seed.

Columns (others are ignored):

* ``entry``, ``track``: names; ``seed``: any label, the same for all entries of a track (comparisons are paired on it)
* ``kind``: ``baseline`` (shipped, sets the cut points), ``entry`` (a submission) or ``reference`` (Retrain, Original:
  shown, never ranked)
* ``status``: ``ok``, ``infra`` (the benchmark's fault, counts as not run yet), ``not-applicable`` (the method
  cannot work on the track's network), or any other for the entry's own failure
* every metric that has a value per seed (``scoring.metric_table.per_seed``): finite where the status is ``ok``, ignored
  elsewhere. Those that are not ``required``, such as ``rte``, may be NaN or absent where they are unknown
* ``ra_retrain``: RA of the same seed's retrained model; ``classes``: number of classes of the track
* ``collapse``: why no attack could read the model's outputs (``scoring.temperature.collapse``); empty where they could
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pandas as pd

from unlearn_bench.scoring import metric_table

KINDS = ("baseline", "variant", "entry", "reference")
"""``variant``: a baseline with other hyper-parameters; like an entry, it does not decide where groups are cut."""
OK, NO_BETTER = "ok", "no better"
"""States of usable entries: those that have a position, and those that forget no better than Original."""
NOT_APPLICABLE = "not applicable"
"""State of entries whose method cannot work on the track's network: they have no numbers, no group and no position."""
DOES_NOT_APPLY = "the method cannot work on the track's network"


def columns() -> list[str]:
    """Columns of the table, in order."""
    values = (metric.name for metric in metric_table.per_seed())
    return ["entry", "kind", "track", "seed", "status", *values, "ra_retrain", "classes", "collapse"]


def checked(rows: pd.DataFrame, seeds: Mapping[str, int]) -> pd.DataFrame:
    """Return the rows of the tracks in ``seeds`` (track → number of seeds), ordered; ``ValueError`` for bad rows."""
    optional = {metric.name for metric in metric_table.per_seed() if not metric.required}
    missing = [column for column in columns() if column not in rows.columns and column not in optional]
    if missing:
        raise ValueError(f"columns missing: {', '.join(missing)}")
    track_rows = rows.loc[rows["track"].isin(list(seeds))].reindex(columns=columns())
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
    * ``not applicable``: no seed ended otherwise than ``not-applicable`` or ``infra``. Beside any other end it is a
      failure: all seeds have the same network
    * ``incomplete``: seeds not run yet or lost to ``infra``, none failed
    * ``unusable``: a seed whose RA is below 1.5 / classes or half of its retrained model's, or whose outputs have
      collapsed
    * ``reference``: a reference row, whatever its seeds
    """
    entry_rows = []
    kinds, statuses = rows["kind"].to_numpy(object), rows["status"].to_numpy(object)
    faults = np.array(_faults(rows), dtype=object)
    for entry, places in rows.groupby("entry").indices.items():
        kind, ok_places = kinds[places[0]], places[statuses[places] == "ok"]
        state, reason = _state(list(statuses[places]), list(faults[ok_places]), seeds)
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


def _faults(rows: pd.DataFrame) -> list[str]:
    """Return of every row why its model is unusable, for people; empty where it is not."""
    columns = (rows[name] for name in ("ra", "ra_retrain", "classes", "collapse", "seed"))
    faults = []
    for ra, retrained, classes, collapse, seed in zip(*columns, strict=True):
        fault = str(collapse)
        if ra < 1.5 / classes:
            fault = f"RA {ra:.3f} is below 1.5 / classes = {1.5 / classes:.3f}"
        elif ra < retrained / 2:
            fault = f"RA {ra:.3f} is below half of Retrain's {retrained:.3f}"
        faults.append(f"seed {seed}: {fault}" if fault else "")
    return faults


def _state(statuses: list[str], faults: list[str], seeds: int) -> tuple[str, str]:
    """Return state and reason; ``faults``: of the seeds that are ok, see :func:`_faults`."""
    failures = Counter(status for status in statuses if status not in ("ok", "infra"))
    if set(statuses) - {"infra"} == {"not-applicable"}:
        return NOT_APPLICABLE, DOES_NOT_APPLY
    if failures:
        return "failed", ", ".join(
            f"{count} {status}" for status, count in sorted(failures.items())
        ) + f" of {seeds} seeds"
    if len(faults) < seeds:
        return "incomplete", f"{len(faults)} of {seeds} seeds done"
    if unusable := [fault for fault in faults if fault]:
        more = len(unusable) - 1
        return "unusable", unusable[0] + (f", and {more} more seed{'s' if more > 1 else ''}" if more else "")
    return "ok", ""
