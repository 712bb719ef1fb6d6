"""The ranked board of one track, and the board over several (the rules: docs/ranks.md)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unlearn_bench.scoring.group_membership import FORGETTING, F, GroupMembership, membership
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.intervals import mean_intervals
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import metrics, paper_ranked, per_seed, ranked
from unlearn_bench.scoring.panel_result import PanelResult
from unlearn_bench.scoring.ranks import dense_ranks, keys, positions
from unlearn_bench.scoring.seed_rows import NO_BETTER, NOT_APPLICABLE, OK, checked
from unlearn_bench.scoring.umia import indiscernibility

RESAMPLES = 5000
LETTERS = (*GROUPS, "F")
ENDS = ("", "_low", "_high")
APART = 0.95
"""Share of resamples in which a row stands ahead of the next one if the two can be told apart."""


def track_board(
    rows: pd.DataFrame,
    track: str,
    seeds: int,
    resamples: int = RESAMPLES,
    seed: int = 0,
    panel: Sequence[PanelResult] = (),
    groups: GroupMembership | None = None,
) -> pd.DataFrame:
    """Return the board of one track that wants ``seeds`` seeds, from rows as ``scoring.seed_rows`` describes.

    Rows with a position come first; those tied by what is left and RetDev, then by name. The others follow, references
    last.

    * ``entry``, ``kind``, ``state``, ``reason`` (string), ``seeds_ok``, ``seeds_total`` (int): see
      ``scoring.seed_rows.standings``; ``no better``: the entry forgets no better than Original
    * for each metric ``<m>`` that seeds have a value of: ``<m>``, ``<m>_low``, ``<m>_high`` (float): mean over the ok
      seeds and its 95 % t interval (one seed: low = high = mean), geometric for ratios. NaN without an ok seed, and
      where the metric is unknown for one of them
    * ``<m>_sd`` (float) where the metric declares a spread: standard deviation over the ok seeds, NaN below two
    * ``indisc_of_mean`` (float): Indisc of the mean MIA accuracy; it hides swings between seeds
    * for each metric of shadow models ``<m>``, ``<m>_low``, ``<m>_high`` (float) from ``panel``
    * ``forgetting``, ``forgetting_low``, ``forgetting_high`` (float), ``forgetting_attack`` (string): the strongest
      evidence of all attacks, see ``scoring.forgetting``; ``provisional`` (string): what is not among them
    * for each grouped metric ``<m>``: ``group_<m>`` (string): G1, G2, G3, F; NA for references, for methods that
      do not apply, and where the metric is unknown, which then counts in no group. ``keep_<m>`` (float): the share of
      resamples in which the row keeps its group; NaN unless that is one of G1 to G3
    * ``G1``, ``G2``, ``G3``, ``F`` (int): memberships that count for the position
    * ``position``, ``position_last`` (Int64): the places that the row shares, as in a competition; NA for references,
      and for rows that are F, incomplete, not applicable or no better than Original. ``position_low``,
      ``position_high`` (Int64): 95 % range of the first and of the last one in bootstrap resamples of the seeds.
      ``ahead`` (float): the share of resamples in which the row stands ahead of the next one; NaN for the last
    * ``paper_rank_<m>`` (Int64): dense rank by the group of a metric that the paper ranks by, among usable rows

    An entry is F unless all seeds are ok and it is usable, or its method does not apply to the network. Cut points come
    from the usable baselines; without any, there are no cuts and every usable row is G1. ``groups``: the membership of
    these rows, where it is known.
    """
    checked_rows = checked(rows, {track: seeds})
    of_track = {result.entry: result for result in panel if result.track == track}
    groups = groups or membership(checked_rows, track, seeds, resamples, seed, list(of_track.values()))
    names = groups.standings.index
    parts = [groups.standings, _means(checked_rows, names), _panel_columns(of_track, groups, names)]
    board = pd.concat(parts, axis=1)
    for metric, codes in groups.codes.items():
        letters = np.array([*LETTERS, None], dtype=object)[codes[0]]
        board[f"group_{metric}"] = pd.array(letters, dtype="string")
        board[f"keep_{metric}"] = np.where(codes[0] < F, (codes[1:] == codes[0]).mean(axis=0), np.nan)
    usable = ~board["state"].isin(["incomplete", "reference", NOT_APPLICABLE])
    for paper_metric in paper_ranked():
        codes_of_rows = groups.codes[paper_metric.name][0][usable.to_numpy()]
        counts = codes_of_rows[:, None] == np.arange(len(GROUPS))
        board[f"paper_rank_{paper_metric.name}"] = _column(dense_ranks(counts), names, usable.to_numpy())
    return _ordered(board, _standing([groups], names, board["state"] == OK, [board["provisional"]]))


def overall_board(
    rows: pd.DataFrame,
    seeds: Mapping[str, int],
    resamples: int = RESAMPLES,
    seed: int = 0,
    panel: Sequence[PanelResult] = (),
    groups: Sequence[GroupMembership] | None = None,
) -> pd.DataFrame:
    """Return the board over all tracks of ``seeds`` (track → seeds it wants), of entries that ran every one of them.

    An entry that has not run every track, or is incomplete or not applicable on one, is on the boards of its tracks
    only. One that is no better than Original on a track, or F, is counted as F there; one that is so everywhere has no
    position. ``groups``: the memberships of these rows on each track, where they are known.

    * ``entry``, ``kind``, ``state`` (string; ``ranked``, ``no better`` or ``reference``), ``tracks`` (int)
    * for each metric of the position ``<m>``: ``<m>`` (float): mean over tracks of the tracks' means (geometric for
      ratios), NaN if it is unknown on any track
    * for each of them and each metric that the paper ranks by: ``G1_<m>``, ``G2_<m>``, ``G3_<m>``, ``F_<m>`` (int): in
      how many tracks, as in Table 1 of the paper; for the latter ``paper_rank_<m>`` (Int64)
    * ``G1``, ``G2``, ``G3``, ``F``, ``position``, ``position_last``, ``position_low``, ``position_high``, ``ahead``: as
      ``track_board``, over metrics and tracks
    * ``provisional`` (string): what is missing on a track where baselines have it
    """
    if not seeds:
        raise ValueError("a board needs at least one track")
    checked_rows = checked(rows, seeds)
    track_rows = {track: checked_rows[checked_rows["track"] == track] for track in seeds}
    by_track = {track: {result.entry: result for result in panel if result.track == track} for track in seeds}
    groups = groups or [
        membership(rows_of_track, track, seeds[track], resamples, seed, list(by_track[track].values()))
        for track, rows_of_track in track_rows.items()
    ]
    standings = [groups_on_track.standings for groups_on_track in groups]
    complete = [set(states.index[~states["state"].isin(["incomplete", NOT_APPLICABLE])]) for states in standings]
    names = pd.Index(sorted(set.intersection(*complete)), name="entry", dtype="string")

    states = pd.concat([table["state"].reindex(names) for table in standings], axis=1)
    kinds = groups[0].standings["kind"].reindex(names)
    placed = (states == OK).any(axis=1)
    state = pd.Series(np.where(kinds == "reference", "reference", np.where(placed, "ranked", NO_BETTER)), names)
    board = pd.DataFrame({"kind": kinds, "state": state.astype("string"), "tracks": len(seeds)})
    for metric in ranked():
        values = np.array(
            [
                _evidence(each, names) if metric.reads == "panel" else _averages(rows_of_track, metric, names)
                for each, rows_of_track in zip(groups, track_rows.values(), strict=True)
            ]
        )
        board[metric.name] = np.exp(np.log(values).mean(axis=0)) if metric.ratio else values.mean(axis=0)
    provisional = [_provisional(by_track[track], names) for track in seeds]
    board["provisional"] = pd.concat(provisional, axis=1).apply(lambda row: next(filter(None, row), ""), axis=1)
    board["provisional"] = board["provisional"].astype("string")
    for metric in {metric.name: metric for metric in (*ranked(), *paper_ranked())}.values():
        tally = _counted(_codes(each, names, metric.name, 1) for each in groups)[:, 0].T.astype(np.int64)
        for place, letter in enumerate(LETTERS):
            board[f"{letter}_{metric.name}"] = tally[:, place]
        if metric.paper_ranked:
            rows_ranked = (state != "reference").to_numpy()
            column = dense_ranks(tally[rows_ranked, : len(GROUPS)])
            board[f"paper_rank_{metric.name}"] = _column(column, names, rows_ranked)
    return _ordered(board, _standing(groups, names, state == "ranked", provisional))


def _means(rows: pd.DataFrame, names: pd.Index) -> pd.DataFrame:
    """Means, intervals and spreads over the ok seeds of one track, one row per entry."""
    metrics = per_seed()
    ok_rows = rows[rows["status"] == "ok"]
    values_by_row = ok_rows[[metric.name for metric in metrics]].to_numpy(np.float64, copy=True)
    logs = [column for column, metric in enumerate(metrics) if metric.ratio]
    values_by_row[:, logs] = np.log(values_by_row[:, logs])
    means: dict[str, dict[str, float]] = {}
    for entry, places in ok_rows.groupby("entry").indices.items():
        entry_values = np.ascontiguousarray(values_by_row[places].T)
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


def _panel_columns(of_track: Mapping[str, PanelResult], groups: GroupMembership, names: pd.Index) -> pd.DataFrame:
    """Return what attacks found, a row per entry; NaN where they did not run, or none finds Original."""
    shadow_metrics = [f"{metric.name}{end}" for metric in metrics() if metric.reads == "shadows" for end in ENDS]
    results = [of_track.get(str(name), PanelResult(str(name), "")) for name in names]
    evidence = [groups.forgetting.get(str(name)) for name in names]
    columns = {name: [result.shadows.get(name, np.nan) for result in results] for name in shadow_metrics}
    for end, value in zip(ENDS, ("value", "low", "high"), strict=True):
        columns[f"{FORGETTING}{end}"] = [np.nan if each is None else getattr(each, value) for each in evidence]
    frame = pd.DataFrame(columns, index=names, dtype=float)
    attacks = [None if each is None else each.attack for each in evidence]
    frame[f"{FORGETTING}_attack"] = pd.Series(attacks, index=names, dtype="string")
    frame["provisional"] = _provisional(of_track, names)
    return frame


def _provisional(of_track: Mapping[str, PanelResult], names: pd.Index) -> pd.Series[str]:
    reasons = [of_track[str(name)].provisional if str(name) in of_track else "" for name in names]
    return pd.Series(reasons, index=names, dtype="string")


def _evidence(groups: GroupMembership, names: pd.Index) -> NDArray[np.float64]:
    found = [groups.forgetting.get(str(name)) for name in names]
    return np.array([np.nan if each is None else each.value for each in found])


def _codes(groups: GroupMembership, names: pd.Index, metric: str, draws: int | None = None) -> NDArray[np.int8]:
    """Return group codes [1 + resamples, entries] that count: those of entries without a position are F.

    ``draws``: only so many, the observed seeds first.
    """
    columns = groups.standings.index.get_indexer(names)
    codes = groups.codes[metric][:draws, columns]
    return np.where(groups.standings["state"].to_numpy()[columns] == NO_BETTER, np.int8(F), codes)


def _counted(codes: Iterable[NDArray[np.int8]]) -> NDArray[np.int16]:
    """Return how many of the arrays [draws, entries] say G1, G2, G3, F; small numbers, since there are many."""
    total: NDArray[np.int16] | None = None
    for each in codes:
        if total is None:
            total = np.zeros((len(LETTERS), *each.shape), np.int16)
        for place, count in enumerate(total):
            count += each == place
    assert total is not None
    return total


def _standing(
    groups: Sequence[GroupMembership], names: pd.Index, placed: pd.Series[bool], provisional: Sequence[pd.Series[str]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the group counts and positions with their ranges, and the keys of the rows with a position by resample.

    Speed counts only where retention and forgetting are G1 on the same track. Of rows that are equal without it, one on
    which fewer attacks have run stands behind.
    """
    of_quality = [metric.name for metric in ranked() if metric.reads != "run"]
    of_speed = [metric.name for metric in ranked() if metric.reads == "run"]
    by_track = [{metric.name: _codes(each, names, metric.name) for metric in ranked()} for each in groups]
    quality = _counted(codes[metric] for codes in by_track for metric in of_quality)
    speed = _counted(_passing(codes, metric, of_quality) for codes in by_track for metric in of_speed)
    total = (quality[:, 0] + speed[:, 0]).T.astype(np.int64)
    board = pd.DataFrame(total, columns=list(LETTERS), index=names)
    chosen = placed.to_numpy(bool)
    whole = np.sum([reasons.to_numpy() == "" for reasons in provisional], axis=0)
    attacked = np.broadcast_to(whole, (1, *quality.shape[1:]))
    ordering = (quality[: len(GROUPS)], attacked, speed[: len(GROUPS)])
    order = keys(*(np.moveaxis(part[..., chosen], 0, -1) for part in ordering))
    first, last = positions(order)
    lowest = np.quantile(first[1:], 0.025, axis=0, method="inverted_cdf").astype(int)
    highest = np.quantile(last[1:], 0.975, axis=0, method="inverted_cdf").astype(int)
    columns = {
        "position": first[0],
        "position_last": last[0],
        "position_low": np.minimum(lowest, first[0]),
        "position_high": np.maximum(highest, last[0]),
    }
    for name, values in columns.items():
        board[name] = _column(values, names, chosen)
    return board, pd.DataFrame(order.T, index=names[chosen])


def _passing(codes: Mapping[str, NDArray[np.int8]], metric: str, others: Sequence[str]) -> NDArray[np.int8]:
    """Return the codes of a metric that count where all the others are G1; elsewhere it counts for no group."""
    passed = np.all([codes[other] == 0 for other in others], axis=0)
    return np.where(passed, codes[metric], np.int8(len(LETTERS)))


def _column(values: NDArray[np.int64], index: pd.Index, chosen: NDArray[np.bool_]) -> pd.Series[int]:
    return pd.Series(values, index=index[chosen], dtype="Int64").reindex(index)


def _ordered(board: pd.DataFrame, standing: tuple[pd.DataFrame, pd.DataFrame]) -> pd.DataFrame:
    """Return the rows in the order of the board, with how often each stands ahead of the next one."""
    counts, order = standing
    board = pd.concat([board, counts], axis=1)
    listing = pd.DataFrame(
        {
            "reference": board["state"] == "reference",
            "position": board["position"].fillna(len(board) + 1),
            "tie": board[FORGETTING].fillna(1.0) + board["retdev"],
        }
    )
    board = board.loc[listing.sort_index().sort_values(["reference", "position", "tie"], na_position="last").index]
    drawn = order.loc[board.index[: len(order)]].to_numpy()[:, 1:]
    ahead = pd.Series(np.nan, index=board.index)
    ahead.iloc[: max(len(order) - 1, 0)] = (drawn[:-1] > drawn[1:]).mean(axis=1)
    return board.assign(ahead=ahead).reset_index()
