"""Two entries of a track side by side, paired seed by seed."""

from __future__ import annotations

from collections.abc import Mapping

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import panel_results, scores
from unlearn_bench.harness.results.board_entries import BoardEntry
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.scoring import metric_table
from unlearn_bench.scoring.paired import PairedDifference, paired_difference

Values = Mapping[str, Mapping[int, float]]
"""Metric → seed, or pair of shadow splits, → value."""


def comparison(references: References, a: BoardEntry, b: BoardEntry) -> list[PairedDifference]:
    """Return the differences of every metric for the seeds, or pairs of shadow splits, where both entries have it.

    Their intervals hold together in 95 % of cases (Bonferroni's correction).

    Raises:
        BenchError: the two have no finished seed in common.
    """
    left, right = (_values(references, entry) for entry in (a, b))
    shared = [
        metric for metric in metric_table.shown("compare") if left[metric.name].keys() & right[metric.name].keys()
    ]
    if not any(metric.reads == "model" for metric in shared):
        remedy = "compare entries that have run the same seeds; bench show NAME lists them"
        raise BenchError(f"{a.name} and {b.name} have no finished seed in common", "your command", remedy, USAGE)
    level = 1 - 0.05 / len(shared)
    return [paired_difference(each.name, left[each.name], right[each.name], each.ratio, level) for each in shared]


def _values(references: References, entry: BoardEntry) -> Values:
    seeds = {seed: (scores.record_scores(references, record), record) for seed, record in entry.records.items()}
    result = panel_results.shadow_results(references).get(entry.name)
    shadows = None if result is None else result.scores
    pairs = {} if shadows is None else dict(enumerate(shadows.pair_accuracies))
    values = {}
    for metric in metric_table.shown("compare"):
        by_seed = {seed: scores.value(metric, *scored) for seed, scored in seeds.items()}
        finished = {seed: value for seed, value in by_seed.items() if value is not None}
        values[metric.name] = pairs if metric.reads == "shadows" else finished
    return values
