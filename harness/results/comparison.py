"""Two entries of a track side by side, paired seed by seed; and any number of them on any number of tracks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import panel_results, scores
from unlearn_bench.harness.results.board_entries import BoardEntry
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.scoring import metric_table
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.paired import PairedDifference, holm, paired_difference, paired_p

Values = Mapping[str, Mapping[int, float]]
"""Metric → seed, or pair of shadow splits, → value."""
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class PairedTest:
    """One metric of two entries on one track: their difference, with the p-value of a paired t-test."""

    track: str
    metric: str
    a: str
    b: str
    difference: PairedDifference
    """With an interval that holds by itself in 95 % of cases."""
    p: float
    """NaN where the two share a single seed."""
    p_holm: float
    """Adjusted for all tests that were made together (Holm)."""
    better: str
    """The entry that is better after the adjustment; empty where there is none, or no end of the metric is best."""


def comparison(references: References, a: BoardEntry, b: BoardEntry) -> list[PairedDifference]:
    """Return the differences of every metric for the seeds, or pairs of shadow splits, where both entries have it.

    Their intervals hold together in 95 % of cases (Bonferroni's correction).

    Raises:
        BenchError: the two have no finished seed in common.
    """
    left, right = (_values(references, entry) for entry in (a, b))
    shared = _shared(left, right, a.name, b.name)
    level = 1 - 0.05 / len(shared)
    return [paired_difference(each.name, left[each.name], right[each.name], each.ratio, level) for each in shared]


def paired_tests(boards: Sequence[tuple[References, Sequence[BoardEntry]]]) -> list[PairedTest]:
    """Return a test of every metric, pair of entries and track, whose p-values are adjusted for their number.

    They are ordered by metric, then by track, then by pair.

    Args:
        boards: each track with the entries to compare there.

    Raises:
        BenchError: two of the entries have no finished seed in common on a track.
    """
    values = [(references, entries, [_values(references, each) for each in entries]) for references, entries in boards]
    made: list[tuple[Metric, str, str, str, PairedDifference, float]] = []
    for references, entries, by_entry in values:
        for (a, left), (b, right) in combinations(zip(entries, by_entry, strict=True), 2):
            for metric in _shared(left, right, a.name, b.name):
                sides = left[metric.name], right[metric.name]
                difference = paired_difference(metric.name, *sides, metric.ratio)
                p = paired_p(*sides, metric.ratio)
                made.append((metric, references.track.name, a.name, b.name, difference, p))
    order = [metric.name for metric in _compared()]
    made.sort(key=lambda test: order.index(test[0].name))  # stable: tracks and pairs stay in their order
    adjusted = holm([test[-1] for test in made])
    return [
        PairedTest(track, metric.name, a, b, difference, p, p_holm, _better(metric, difference, p_holm, a, b))
        for (metric, track, a, b, difference, p), p_holm in zip(made, adjusted, strict=True)
    ]


def _better(metric: Metric, difference: PairedDifference, p: float, a: str, b: str) -> str:
    if metric.better is None or not p < SIGNIFICANT:
        return ""
    return a if (difference.a < difference.b) == (metric.better == "low") else b


def _compared() -> list[Metric]:
    """Return the metrics that are compared on any track; on one that has none of them, their values are missing."""
    return [metric for metric in metric_table.by_weight() if "compare" in metric.shown]


def _shared(left: Values, right: Values, a: str, b: str) -> list[Metric]:
    shared = [metric for metric in _compared() if left[metric.name].keys() & right[metric.name].keys()]
    if not any(metric.reads == "model" for metric in shared):
        remedy = f"compare entries that have run the same seeds; `bench show {a}` lists them"
        raise BenchError(f"{a} and {b} have no finished seed in common", "your command", remedy, USAGE)
    return shared


def _values(references: References, entry: BoardEntry) -> Values:
    seeds = {seed: (scores.record_scores(references, record), record) for seed, record in entry.records.items()}
    result = panel_results.shadow_results(references, [entry]).get(entry.name)
    shadows = None if result is None else result.scores
    pairs = {} if shadows is None else dict(enumerate(shadows.pair_accuracies))
    values = {}
    for metric in _compared():
        by_seed = {seed: scores.value(metric, *scored) for seed, scored in seeds.items()}
        finished = {seed: value for seed, value in by_seed.items() if value is not None}
        values[metric.name] = pairs if metric.reads == "shadows" else finished
    return values
