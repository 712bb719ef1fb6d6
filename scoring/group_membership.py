"""Groups of the entries of one track, on the observed seeds and on bootstrap resamples of them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unlearn_bench.scoring.groups import GROUPS, cut_points, places
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import ranked
from unlearn_bench.scoring.seed_rows import ULIRA, ULiRAResult, standings
from unlearn_bench.scoring.umia import indiscernibility

F = len(GROUPS)
"""Code of group F, after 0, 1, 2 for G1, G2, G3."""
NONE = F + 1
"""Code of no group: reference rows, and a metric that is unknown for the row."""


@dataclass(frozen=True)
class GroupMembership:
    """Groups on one track. Entries are ordered by name; resample 0 is the observed seeds."""

    standings: pd.DataFrame
    """See ``scoring.seed_rows.standings``."""
    codes: dict[str, NDArray[np.int8]]
    """Metric → group codes [1 + resamples, entries]."""
    cuts: dict[str, NDArray[np.float64]]
    """Metric → ascending cut points between the groups in the metric's own unit, from the observed seeds."""


def membership(
    rows: pd.DataFrame,
    track: str,
    seeds: int,
    resamples: int,
    generator_seed: int,
    shadows: Sequence[ULiRAResult] = (),
) -> GroupMembership:
    """Return groups from checked ``rows`` of ``track``, which wants ``seeds`` seeds; for U-LiRA from its ``shadows``.

    Resamples are paired: each draws the same seeds for all entries, and the same pairs of shadow splits for all entries
    with equally many, and clusters the baselines' means again. Group F is not resampled. The draws of a track do not
    depend on which other tracks there are.
    """
    if resamples < 1:
        raise ValueError(f"{resamples} resamples: at least one is needed")
    entry_standings = standings(rows, seeds)
    usable = entry_standings["state"] == "ok"
    baselines = (entry_standings["kind"] == "baseline")[usable].to_numpy()
    rng = np.random.default_rng([generator_seed, zlib.crc32(track.encode())])
    draws = np.vstack([np.arange(seeds), rng.integers(0, seeds, size=(resamples, seeds))])

    codes, cuts = {}, {}

    def group(name: str, means: NDArray[np.float64], lower_is_better: bool) -> NDArray[np.float64]:
        measured = np.isfinite(means[0])
        limits = [cut_points(sample[baselines & measured]) for sample in means]
        usable_codes = np.full(means.shape, NONE, dtype=np.int8)
        for sample, values, limit in zip(usable_codes, means, limits, strict=True):
            sample[measured] = places(values[measured], limit, lower_is_better)
        entry_codes = np.full((len(draws), len(entry_standings)), F, dtype=np.int8)
        entry_codes[:, usable.to_numpy()] = usable_codes
        entry_codes[:, (entry_standings["state"] == "reference").to_numpy()] = NONE
        codes[name] = entry_codes
        return limits[0]

    for metric in ranked():
        limits = group(metric.name, _means(rows, entry_standings.index[usable], metric, draws), metric.better == "low")
        cuts[metric.name] = np.exp(limits) if metric.ratio else limits
    if shadows:
        cuts[ULIRA] = group(ULIRA, _ulira(shadows, entry_standings.index[usable], resamples, rng), False)
        for shadow in shadows:
            if shadow.entry in entry_standings.index and (shadow.status != "ok" or shadow.inconsistent):
                codes[ULIRA][:, entry_standings.index.get_loc(shadow.entry)] = F if shadow.status != "ok" else NONE
    return GroupMembership(entry_standings, codes, cuts)


def _ulira(
    shadows: Sequence[ULiRAResult], entries: pd.Index, resamples: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Indisc [1 + resamples, entries] of U-LiRA's accuracy; NaN for entries that did not run it."""
    indisc = np.full((1 + resamples, len(entries)), np.nan)
    judged = [shadow for shadow in shadows if shadow.status == "ok" and not shadow.inconsistent]
    accuracies = {shadow.entry: np.array(shadow.pair_accuracies) for shadow in judged}
    uniform = rng.random((resamples, max(map(len, accuracies.values()), default=0)))
    for column, entry in enumerate(entries):
        if entry in accuracies:
            by_pair = accuracies[entry]
            resampled_means = by_pair[(uniform[:, : len(by_pair)] * len(by_pair)).astype(np.intp)].mean(axis=1)
            indisc[:, column] = [indiscernibility(float(mean)) for mean in (by_pair.mean(), *resampled_means)]
    return indisc


def _means(rows: pd.DataFrame, entries: pd.Index, metric: Metric, draws: NDArray[np.intp]) -> NDArray[np.float64]:
    """Means [draws, entries] on the metric's scale; NaN in row 0 where a seed of an entry has no value."""
    values = rows.pivot(index="entry", columns="seed", values=metric.name).reindex(entries).to_numpy(np.float64)
    if metric.ratio:
        values = np.log(values)
    if not values.size:
        return np.empty((len(draws), len(entries)))
    return values.T[draws].mean(axis=1)
