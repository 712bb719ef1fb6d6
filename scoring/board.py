"""Boards: who stands where, on one track or on several (evaluation rules in scoring/README.md)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scoring.groups import GROUPS
from scoring.intervals import Interval, geometric_interval, mean_interval
from scoring.membership import F, Membership, membership
from scoring.ranks import dense_ranks
from scoring.rows import RANKED, VALUES, checked
from scoring.umia import indiscernibility

RESAMPLES = 500
LETTERS = (*GROUPS, "F")


def track_board(rows: pd.DataFrame, track: str, seeds: int, resamples: int = RESAMPLES, seed: int = 0) -> pd.DataFrame:
    """The board of one track that wants ``seeds`` seeds, from rows as ``scoring.rows`` describes.

    Ranked rows come first, by rank; those tied by RetDev + Disc, then by name. Incomplete rows follow, then references.

    * ``entry``, ``kind``, ``state``, ``reason`` (string), ``seeds_ok``, ``seeds_total`` (int): see
      ``scoring.rows.standings``
    * for each of ``VALUES``: ``<v>``, ``<v>_low``, ``<v>_high`` (float): mean over the ok seeds and its 95 % t interval
      (one seed: low = high = mean), for ``rte`` geometric. NaN without an ok seed; ``rte`` also if an ok seed lacks it
    * ``indisc_of_mean`` (float): Indisc of the mean MIA accuracy; it hides swings between seeds
    * for each ranked metric ``<m>``: ``group_<m>`` (string): G1, G2, G3, F; NA for references and where the metric is
      unknown, which then counts as nothing. ``keep_<m>`` (float): the share of resamples in which the row keeps its
      group; NaN unless that is one of G1 to G3
    * ``G1``, ``G2``, ``G3``, ``F`` (int): memberships over the metrics
    * ``rank``, ``rank_<m>`` (Int64): dense ranks over all metrics and on one; NA for references and incomplete rows.
      ``rank_low``, ``rank_high`` (Int64): 95 % range of ``rank`` in bootstrap resamples of the seeds

    An entry is F unless all seeds are ok and it is usable. Cut points come from the usable baselines; without
    any, there are no cuts and every usable row is G1.
    """
    table = checked(rows, {track: seeds})
    groups = membership(table, track, seeds, resamples, seed)
    names = groups.standings.index
    board = pd.concat([groups.standings, _means(table, names)], axis=1)
    for metric, codes in groups.codes.items():
        letters = np.array([*LETTERS, None], dtype=object)[codes[0]]
        board[f"group_{metric}"] = pd.array(letters, dtype="string")
        board[f"keep_{metric}"] = np.where(codes[0] < F, (codes[1:] == codes[0]).mean(axis=0), np.nan)
    board = pd.concat(
        [board, _ranking(_tallies([groups], names), ~board["state"].isin(["incomplete", "reference"]))], axis=1
    )
    return _ordered(board)


def overall_board(
    rows: pd.DataFrame, seeds: Mapping[str, int], resamples: int = RESAMPLES, seed: int = 0
) -> pd.DataFrame:
    """The board over all tracks of ``seeds`` (track → seeds it wants): the entries that ran every one of them.

    An entry that lacks a track, or is incomplete on one, stands on its tracks' boards only. Order as ``track_board``.

    * ``entry``, ``kind``, ``state`` (string; ``ranked`` or ``reference``), ``tracks`` (int)
    * ``retdev``, ``indisc``, ``rte`` (float): mean over tracks of the tracks' means (``rte``: geometric), NaN if any
      track lacks it
    * for each ranked metric ``<m>``: ``G1_<m>``, ``G2_<m>``, ``G3_<m>``, ``F_<m>`` (int): in how many tracks, as in
      Table 1 of the paper; ``rank_<m>`` (Int64)
    * ``G1``, ``G2``, ``G3``, ``F``, ``rank``, ``rank_low``, ``rank_high``: as ``track_board``, over metrics and tracks
    """
    if not seeds:
        raise ValueError("a board needs at least one track")
    table = checked(rows, seeds)
    parts = {track: table[table["track"] == track] for track in seeds}
    groups = [membership(part, track, seeds[track], resamples, seed) for track, part in parts.items()]
    complete = [set(one.standings.index[one.standings["state"] != "incomplete"]) for one in groups]
    names = pd.Index(sorted(set.intersection(*complete)), name="entry", dtype="string")

    kinds = groups[0].standings["kind"].reindex(names)
    board = pd.DataFrame({"kind": kinds, "state": kinds.where(kinds == "reference", "ranked"), "tracks": len(seeds)})
    means = [_means(part, names) for part in parts.values()]
    for metric in RANKED:
        values = np.array([mean[metric.column].to_numpy() for mean in means])
        board[metric.column] = np.exp(np.log(values).mean(axis=0)) if metric.log else values.mean(axis=0)
    tallies = _tallies(groups, names)
    for column, tally in tallies.items():
        for place, letter in enumerate(LETTERS):
            board[f"{letter}_{column}"] = tally[0, :, place]
    return _ordered(pd.concat([board, _ranking(tallies, board["state"] == "ranked")], axis=1))


def _means(rows: pd.DataFrame, names: pd.Index) -> pd.DataFrame:
    """Means and intervals [entries, 3 × values + 1] over the ok seeds of one track."""
    logarithmic = {metric.column for metric in RANKED if metric.log}
    good = rows[rows["status"] == "ok"]
    nothing = Interval(np.nan, np.nan, np.nan, 0)
    found: dict[str, dict[str, float]] = {}
    for entry, group in good.groupby("entry"):
        line = found[str(entry)] = {}
        for column in VALUES:
            values = group[column].to_numpy(np.float64)
            interval = geometric_interval if column in logarithmic else mean_interval
            stated = nothing if np.isnan(values).any() else interval(values)
            line |= {column: stated.mean, f"{column}_low": stated.low, f"{column}_high": stated.high}
        line["indisc_of_mean"] = indiscernibility(line["umia"])
    columns = [f"{column}{end}" for column in VALUES for end in ("", "_low", "_high")]
    return pd.DataFrame.from_dict(found, orient="index", columns=[*columns, "indisc_of_mean"], dtype=float).reindex(
        names
    )


def _tallies(groups: list[Membership], names: pd.Index) -> dict[str, NDArray[np.int64]]:
    """Metric → memberships [1 + resamples, entries, 4] in G1, G2, G3, F, summed over the tracks."""
    found = {}
    for metric in RANKED:
        codes = np.array([one.codes[metric.column][:, one.standings.index.get_indexer(names)] for one in groups])
        found[metric.column] = (codes[..., None] == np.arange(len(LETTERS))).sum(axis=0)
    return found


def _ranking(tallies: dict[str, NDArray[np.int64]], ranked: pd.Series[bool]) -> pd.DataFrame:
    """Membership counts over all metrics, ranks and rank ranges; NA where ``ranked`` is false."""
    chosen = ranked.to_numpy(bool)
    total = np.sum(list(tallies.values()), axis=0)
    board = pd.DataFrame(total[0], columns=list(LETTERS), index=ranked.index)

    def column(ranks: NDArray[np.int64]) -> pd.Series[int]:
        return pd.Series(ranks, index=ranked.index[chosen], dtype="Int64").reindex(ranked.index)

    drawn = dense_ranks(total[:, chosen, : len(GROUPS)])
    low, high = (np.quantile(drawn[1:], q, axis=0, method="inverted_cdf").astype(int) for q in (0.025, 0.975))
    board["rank"] = column(drawn[0])
    board["rank_low"] = column(np.minimum(low, drawn[0]))
    board["rank_high"] = column(np.maximum(high, drawn[0]))
    for metric, tally in tallies.items():
        board[f"rank_{metric}"] = column(dense_ranks(tally[0][chosen, : len(GROUPS)]))
    return board


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
