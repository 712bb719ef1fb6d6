"""Groups of the entries of one track, on the observed seeds and on bootstrap resamples of them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from unlearn_bench.scoring.forgetting import Counts, Forgetting, Reading, strongest
from unlearn_bench.scoring.forgetting import groups as forgetting_groups
from unlearn_bench.scoring.groups import GROUPS, all_cut_points, places
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import grouped
from unlearn_bench.scoring.panel_result import PanelResult
from unlearn_bench.scoring.seed_rows import NO_BETTER, NOT_APPLICABLE, OK, standings

FORGETTING = "forgetting"
"""The metric that is the worst of all attacks, see ``scoring.forgetting``."""
F = len(GROUPS)
"""Code of group F, after 0, 1, 2 for G1, G2, G3."""
NONE = F + 1
"""Code of no group: reference rows, methods that do not apply, and a metric that is unknown for the row."""
SLOW = 0.0
"""Logarithm of the speed-up up to which an entry is in G3, whatever the others do: retraining is as fast."""


@dataclass(frozen=True)
class GroupMembership:
    """Groups on one track. Entries are ordered by name; resample 0 is the observed seeds."""

    standings: pd.DataFrame
    """See ``scoring.seed_rows.standings``; here ``no better`` is a state, too: of entries that forget no better than
    Original."""
    codes: dict[str, NDArray[np.int8]]
    """Metric → group codes [1 + resamples, entries]."""
    cuts: dict[str, NDArray[np.float64]]
    """Metric → ascending cut points between the groups in the metric's own unit, from the observed seeds."""
    forgetting: Mapping[str, Forgetting]
    """By entry, where an attack that finds Original has read it."""


def membership(
    rows: pd.DataFrame,
    track: str,
    seeds: int,
    resamples: int,
    generator_seed: int,
    panel: Sequence[PanelResult] = (),
) -> GroupMembership:
    """Return groups from checked ``rows`` of ``track``, which wants ``seeds`` seeds, and from what attacks found.

    Resamples are paired: each draws the same seeds for all entries, and the same pairs of shadow splits for all entries
    with equally many, and clusters the baselines' means again. Group F is not resampled. The draws of a track do not
    depend on which other tracks there are.
    """
    if resamples < 1:
        raise ValueError(f"{resamples} resamples: at least one is needed")
    states = standings(rows, seeds)
    readings = {result.entry: result.readings for result in panel}
    found = {result.entry: strongest(result.shares) for result in panel if result.entry in states.index}
    evidence = {entry: each for entry, each in found.items() if each is not None}
    reasons = {entry: _reason(each) for entry, each in evidence.items() if not each.beats_original}
    no_better = states.index.isin(reasons) & (states["state"] == OK)
    states.loc[no_better, "reason"] = [reasons[entry] for entry in states.index[no_better]]
    states.loc[no_better, "state"] = NO_BETTER
    rng = np.random.default_rng([generator_seed, zlib.crc32(track.encode())])
    draws = np.vstack([np.arange(seeds), rng.integers(0, seeds, size=(resamples, seeds))])
    usable = states["state"].isin([OK, NO_BETTER]).to_numpy()
    baselines = (states["kind"] == "baseline").to_numpy()[usable]

    codes, cuts = {}, {}
    for metric in grouped():
        if metric.reads == "panel":
            drawn = _forgetting_codes([readings.get(entry, ()) for entry in states.index[usable]], draws, rng)
        else:
            means = _means(rows, states.index[usable], metric, draws)
            drawn, limits = _codes(means, baselines, metric)
            cuts[metric.name] = np.exp(limits) if metric.ratio else limits
        of_metric = np.full((len(draws), len(states)), F, dtype=np.int8)
        of_metric[:, usable] = drawn
        of_metric[:, states["state"].isin(["reference", NOT_APPLICABLE]).to_numpy()] = NONE
        codes[metric.name] = of_metric
    return GroupMembership(states, codes, cuts, evidence)


def _reason(evidence: Forgetting) -> str:
    return f"no better than Original: {evidence.limit} may find {evidence.high:.2f} of what it finds there"


def _codes(
    means: NDArray[np.float64], baselines: NDArray[np.bool_], metric: Metric
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return codes of the usable entries [draws, entries] from their means, and the observed cut points."""
    measured = np.isfinite(means[0])
    limits = all_cut_points(means[:, baselines & measured])
    codes = np.full(means.shape, NONE, dtype=np.int8)
    codes[:, measured] = places(means[:, measured], limits, metric.better == "low")
    if metric.ratio:
        codes[:, measured] = np.where(means[:, measured] <= SLOW, len(GROUPS) - 1, codes[:, measured])
    return codes, limits[0][np.isfinite(limits[0])]


def _forgetting_codes(
    readings: Sequence[Sequence[Reading]], seed_draws: NDArray[np.intp], rng: np.random.Generator
) -> NDArray[np.int8]:
    """Return codes of the usable entries [draws, entries] from what attacks read of them."""
    pairs = [next((len(each.entry) for each in of_entry if each.unit == "pair"), 0) for of_entry in readings]
    uniform = rng.random((len(seed_draws) - 1, max(pairs, default=0)))
    by_seed = _counts(seed_draws, seed_draws.shape[1])
    by_pair = {n: np.vstack([np.ones(n), _counts((uniform[:, :n] * n).astype(np.intp), n)]) for n in set(pairs)}
    codes = np.full((len(readings), len(seed_draws)), NONE, dtype=np.int8)
    for entry_codes, of_entry, n in zip(codes, readings, pairs, strict=True):
        of_draws = forgetting_groups(of_entry, {"seed": by_seed, "pair": by_pair[n]})
        entry_codes[:] = np.where(of_draws < 0, NONE, of_draws)
    return np.ascontiguousarray(codes.T)


def _counts(draws: NDArray[np.intp], n: int) -> Counts:
    """Return how often each of ``n`` units is among the ``draws`` of a resample, [resamples, n]."""
    cells = draws + n * np.arange(len(draws))[:, None]
    return np.bincount(cells.ravel(), minlength=n * len(draws)).reshape(len(draws), n).astype(np.float64)


def _means(rows: pd.DataFrame, entries: pd.Index, metric: Metric, draws: NDArray[np.intp]) -> NDArray[np.float64]:
    """Means [draws, entries] on the metric's scale; NaN in row 0 where a seed of an entry has no value."""
    values = rows.pivot(index="entry", columns="seed", values=metric.name).reindex(entries).to_numpy(np.float64)
    if metric.ratio:
        values = np.log(values)
    if not values.size:
        return np.empty((len(draws), len(entries)))
    total, by_seed = np.zeros((len(draws), len(entries))), np.ascontiguousarray(values.T)
    for drawn in draws.T:  # one after the other: all values at once would take much more memory
        total += by_seed[drawn]
    return total / draws.shape[1]
