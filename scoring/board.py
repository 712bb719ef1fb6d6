"""The ranked board of one track, and the board over several (evaluation rules in scoring/README.md)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unlearn_bench.scoring.group_membership import F, GroupMembership, membership
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.intervals import mean_intervals
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import per_seed, ranked
from unlearn_bench.scoring.ranks import dense_ranks
from unlearn_bench.scoring.seed_rows import ULIRA, ULiRAResult, checked
from unlearn_bench.scoring.umia import indiscernibility

RESAMPLES = 500
LETTERS = (*GROUPS, "F")


def track_board(
    rows: pd.DataFrame,
    track: str,
    seeds: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
    shadows: Sequence[ULiRAResult] = (),
    groups: GroupMembership | None = None,
) -> pd.DataFrame:
    """Return the board of one track that wants ``seeds`` seeds, from rows as ``scoring.seed_rows`` describes.

    Ranked rows come first, by rank; those tied by RetDev + Disc, then by name. Incomplete rows follow, then references.

    * ``entry``, ``kind``, ``state``, ``reason`` (string), ``seeds_ok``, ``seeds_total`` (int): see
      ``scoring.seed_rows.standings``
    * for each metric ``<m>`` that seeds have a value of: ``<m>``, ``<m>_low``, ``<m>_high`` (float): mean over the ok
      seeds and its 95 % t interval (one seed: low = high = mean), geometric for ratios. NaN without an ok seed, and
      where the metric is unknown for one of them
    * ``<m>_sd`` (float) where the metric declares a spread: standard deviation over the ok seeds, NaN below two
    * ``indisc_of_mean`` (float): Indisc of the mean MIA accuracy; it hides swings between seeds
    * for each ranked metric ``<m>``: ``group_<m>`` (string): G1, G2, G3, F; NA for references and where the metric is
      unknown, which then counts in no group. ``keep_<m>`` (float): the share of resamples in which the row keeps its
      group; NaN unless that is one of G1 to G3
    * ``G1``, ``G2``, ``G3``, ``F`` (int): memberships over the metrics
    * ``rank``, ``rank_<m>`` (Int64): dense ranks over all metrics and on one; NA for references and incomplete rows.
      ``rank_low``, ``rank_high`` (Int64): 95 % range of ``rank`` in bootstrap resamples of the seeds
    * from ``shadows``, the entries' shadow units: ``ulira``, ``ulira_low``, ``ulira_high`` (float): U-LiRA's accuracy
      with its interval over pairs of splits, ``ulira_indisc`` (float), ``group_ulira``, ``keep_ulira`` as above, and
      ``rank_with_ulira``, ``rank_with_ulira_low``, ``rank_with_ulira_high`` (Int64): the rank over four metrics among
      the rows that ran it

    An entry is F unless all seeds are ok and it is usable. Cut points come from the usable baselines; without
    any, there are no cuts and every usable row is G1. ``groups``: the membership of these rows, where it is known.
    """
    checked_rows = checked(rows, {track: seeds})
    track_shadows = [shadow for shadow in shadows if shadow.track == track]
    groups = groups or membership(checked_rows, track, seeds, resamples, seed, track_shadows)
    names = groups.standings.index
    board = pd.concat([groups.standings, _means(checked_rows, names), _shadow_columns(track_shadows, names)], axis=1)
    for metric, codes in groups.codes.items():
        letters = np.array([*LETTERS, None], dtype=object)[codes[0]]
        board[f"group_{metric}"] = pd.array(letters, dtype="string")
        board[f"keep_{metric}"] = np.where(codes[0] < F, (codes[1:] == codes[0]).mean(axis=0), np.nan)
    placed = ~board["state"].isin(["incomplete", "reference"])
    return _ordered(pd.concat([board, _rankings([groups], names, placed)], axis=1))


def overall_board(
    rows: pd.DataFrame,
    seeds: Mapping[str, int],
    resamples: int = RESAMPLES,
    seed: int = 0,
    shadows: Sequence[ULiRAResult] = (),
    groups: Sequence[GroupMembership] | None = None,
) -> pd.DataFrame:
    """Return the board over all tracks of ``seeds`` (track → seeds it wants), of entries that ran every one of them.

    An entry that has not run every track, or is incomplete on one, is on the boards of its tracks only.
    The order is that of ``track_board``.
    ``groups``: the memberships of these rows on each track, where they are known.

    * ``entry``, ``kind``, ``state`` (string; ``ranked`` or ``reference``), ``tracks`` (int)
    * for each ranked metric ``<m>``: ``<m>`` (float): mean over tracks of the tracks' means (geometric for ratios), NaN
      if it is unknown on any track
    * for each ranked metric ``<m>``: ``G1_<m>``, ``G2_<m>``, ``G3_<m>``, ``F_<m>`` (int): in how many tracks, as in
      Table 1 of the paper; ``rank_<m>`` (Int64)
    * ``G1``, ``G2``, ``G3``, ``F``, ``rank``, ``rank_low``, ``rank_high``: as ``track_board``, over metrics and tracks
    * ``rank_with_ulira``, ``rank_with_ulira_low``, ``rank_with_ulira_high``: among the entries that ran U-LiRA on every
      track where any entry did
    """
    if not seeds:
        raise ValueError("a board needs at least one track")
    checked_rows = checked(rows, seeds)
    track_rows = {track: checked_rows[checked_rows["track"] == track] for track in seeds}
    groups = groups or [
        membership(
            rows_of_track, track, seeds[track], resamples, seed, [shadow for shadow in shadows if shadow.track == track]
        )
        for track, rows_of_track in track_rows.items()
    ]
    standings = [groups_on_track.standings for groups_on_track in groups]
    complete = [set(states.index[states["state"] != "incomplete"]) for states in standings]
    names = pd.Index(sorted(set.intersection(*complete)), name="entry", dtype="string")

    kinds = groups[0].standings["kind"].reindex(names)
    board = pd.DataFrame({"kind": kinds, "state": kinds.where(kinds == "reference", "ranked"), "tracks": len(seeds)})
    for metric in ranked():
        values = np.array([_averages(rows_of_track, metric, names) for rows_of_track in track_rows.values()])
        board[metric.name] = np.exp(np.log(values).mean(axis=0)) if metric.ratio else values.mean(axis=0)
    tallies = _tallies(groups, names, [metric.name for metric in ranked()])
    for column, tally in tallies.items():
        for place, letter in enumerate(LETTERS):
            board[f"{letter}_{column}"] = tally[0, :, place]
    return _ordered(pd.concat([board, _rankings(groups, names, board["state"] == "ranked")], axis=1))


def _means(rows: pd.DataFrame, names: pd.Index) -> pd.DataFrame:
    """Means, intervals and spreads over the ok seeds of one track, one row per entry."""
    metrics = per_seed()
    ok_rows = rows[rows["status"] == "ok"]
    values_by_row = ok_rows[[metric.name for metric in metrics]].to_numpy(np.float64, copy=True)
    logs = [column for column, metric in enumerate(metrics) if metric.ratio]
    values_by_row[:, logs] = np.log(values_by_row[:, logs])
    means: dict[str, dict[str, float]] = {}
    for entry, positions in ok_rows.groupby("entry").indices.items():
        entry_values = np.ascontiguousarray(values_by_row[positions].T)
        ends = np.array(mean_intervals(entry_values))
        ends[:, logs] = np.exp(ends[:, logs])
        columns = means[str(entry)] = {}
        for metric, values, (mean, low, high) in zip(metrics, entry_values, ends.T.tolist(), strict=True):
            columns |= {metric.name: mean, f"{metric.name}_low": low, f"{metric.name}_high": high}
            if metric.spread:
                columns[f"{metric.name}_sd"] = float(values.std(ddof=1)) if values.size > 1 else np.nan
        columns["indisc_of_mean"] = indiscernibility(columns["umia"])
    return pd.DataFrame.from_dict(means, orient="index", columns=seed_columns(), dtype=float).reindex(names)


def seed_columns() -> list[str]:
    """Columns of a track's board that come from the values of single seeds."""
    columns = [f"{metric.name}{end}" for metric in per_seed() for end in ("", "_low", "_high")]
    return [*columns, *(f"{metric.name}_sd" for metric in per_seed() if metric.spread), "indisc_of_mean"]


def _averages(rows: pd.DataFrame, metric: Metric, names: pd.Index) -> NDArray[np.float64]:
    """Means [entries] of a metric over the ok seeds of one track; NaN where it is unknown for one of them."""
    ok_rows = rows[rows["status"] == "ok"]
    numbers = ok_rows[metric.name].to_numpy(np.float64)
    table = pd.DataFrame({"entry": ok_rows["entry"], "number": np.log(numbers) if metric.ratio else numbers})
    grouped = table.groupby("entry")["number"]
    mean = (grouped.sum(min_count=1) / grouped.size()).where(grouped.count() == grouped.size())
    means = mean.reindex(names).to_numpy(np.float64)
    return np.asarray(np.exp(means) if metric.ratio else means, dtype=np.float64)


def _shadow_columns(shadows: Sequence[ULiRAResult], names: pd.Index) -> pd.DataFrame:
    """U-LiRA's accuracy, interval and Indisc [entries, 4]; NaN where it did not run."""
    columns = [ULIRA, f"{ULIRA}_low", f"{ULIRA}_high", f"{ULIRA}_indisc"]
    numbers = {}
    for shadow in shadows:
        if shadow.status == "ok":
            accuracy = float(np.mean(shadow.pair_accuracies))
            numbers[shadow.entry] = [accuracy, shadow.low, shadow.high, indiscernibility(accuracy)]
    return pd.DataFrame.from_dict(numbers, orient="index", columns=columns, dtype=float).reindex(names)


def _tallies(
    groups: Sequence[GroupMembership], names: pd.Index, metrics: Sequence[str]
) -> dict[str, NDArray[np.int64]]:
    """Metric → memberships [1 + resamples, entries, 4] in G1, G2, G3, F, summed over the tracks that have it."""
    tallies = {}
    for metric in metrics:
        tracks_with_metric = [groups_on_track for groups_on_track in groups if metric in groups_on_track.codes]
        codes = np.array(
            [each.codes[metric][:, each.standings.index.get_indexer(names)] for each in tracks_with_metric]
        )
        tallies[metric] = (codes[..., None] == np.arange(len(LETTERS))).sum(axis=0)
    return tallies


def _rankings(groups: Sequence[GroupMembership], names: pd.Index, placed: pd.Series[bool]) -> pd.DataFrame:
    """Return the group counts over all metrics, both overall ranks with their ranges, and a rank on each metric.

    NA where ``placed`` is false; for the rank with U-LiRA also where a row did not run it.
    """
    tallies = _tallies(groups, names, [metric.name for metric in ranked()])
    total = np.sum(list(tallies.values()), axis=0)
    board = pd.DataFrame(total[0], columns=list(LETTERS), index=placed.index)
    chosen = placed.to_numpy(bool)
    _add_rank(board, "rank", total, chosen)
    for metric, tally in tallies.items():
        board[f"rank_{metric}"] = _column(dense_ranks(tally[0][chosen, : len(GROUPS)]), placed.index, chosen)
    tracks_with_ulira = [groups_on_track for groups_on_track in groups if ULIRA in groups_on_track.codes]
    if tracks_with_ulira:
        tally = _tallies(tracks_with_ulira, names, [ULIRA])[ULIRA]
        _add_rank(board, "rank_with_ulira", total + tally, chosen & (tally[0].sum(axis=1) == len(tracks_with_ulira)))
    else:
        _add_rank(board, "rank_with_ulira", total, np.zeros_like(chosen))
    return board


def _add_rank(board: pd.DataFrame, name: str, counts: NDArray[np.int64], chosen: NDArray[np.bool_]) -> None:
    """Add the observed rank (resample 0) and its range from memberships [1 + resamples, entries, 4]."""
    drawn = dense_ranks(counts[:, chosen, : len(GROUPS)])
    low, high = (np.quantile(drawn[1:], q, axis=0, method="inverted_cdf").astype(int) for q in (0.025, 0.975))
    board[name] = _column(drawn[0], board.index, chosen)
    board[f"{name}_low"] = _column(np.minimum(low, drawn[0]), board.index, chosen)
    board[f"{name}_high"] = _column(np.maximum(high, drawn[0]), board.index, chosen)


def _column(ranks: NDArray[np.int64], index: pd.Index, chosen: NDArray[np.bool_]) -> pd.Series[int]:
    return pd.Series(ranks, index=index[chosen], dtype="Int64").reindex(index)


def _ordered(board: pd.DataFrame) -> pd.DataFrame:
    keys = pd.DataFrame(
        {
            "reference": board["state"] == "reference",
            "rank": board["rank"].fillna(len(board) + 1),
            "tie": board["retdev"] + 1.0 - board["indisc"],
        }
    )
    return board.loc[
        keys.sort_index().sort_values(["reference", "rank", "tie"], na_position="last").index
    ].reset_index()
