"""The boards of several tracks beside what the paper and an independent replication have published.

The paper publishes counts of groups and ranks over its nine settings (Table 1) and speeds per data set (Table 2), but
no number of a single method on a single setting. So what is compared per setting is the order of the methods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from unlearn_bench.harness.results.published import SETTINGS, Published, published
from unlearn_bench.harness.results.track_boards import TrackBoard, architecture, data_set
from unlearn_bench.scoring.agreement import Agreement, agreement
from unlearn_bench.scoring.paper_table import group_counts

Source = Literal["paper", "replication"]
METRICS = ("retdev", "indisc", "forgetting")
"""Metrics by which groups are counted: those of Table 1, and the worst of all attacks."""
COLUMNS: tuple[tuple[str, Source], ...] = (
    ("retdev", "paper"),
    ("retdev", "replication"),
    ("indisc", "paper"),
    ("indisc", "replication"),
    ("forgetting", "paper"),
    ("rte", "paper"),
)
"""What is compared with what. Forgetting, which the paper does not have, is compared with its ranks by Indisc."""
OVERALL, REPLICATION = "overall", "replication"
"""Rows of the table of agreements that are no track: ranks over all tracks, and the replication beside the paper."""
MEAN = "mean"
"""The column of speeds that is the mean over the data sets."""


@dataclass(frozen=True)
class PaperComparison:
    """Table 1, Table 2 and Figure 1 of the paper, measured here and as published."""

    boards: tuple[TrackBoard, ...]
    published: Published

    @property
    def settings(self) -> list[str]:
        """Those of the paper's nine settings that have a board here."""
        names = {board.name for board in self.boards}
        return [name for name in SETTINGS if name in names]

    @cached_property
    def counts(self) -> Mapping[str, pd.DataFrame]:
        """By metric, see ``scoring.paper_table``, a row per method of the paper's Table 1."""
        return {
            metric: group_counts(
                pd.DataFrame(
                    {board.name: board.letters(metric).reindex(self.published.methods) for board in self.boards}
                )
            )
            for metric in METRICS
        }

    @property
    def missing(self) -> dict[str, list[str]]:
        """The tracks on which a method has no group, by method, of those that lack any."""
        lacking = {
            method: [board.name for board in self.boards if pd.isna(board.letters("retdev").get(method))]
            for method in self.published.methods
        }
        return {method: tracks for method, tracks in lacking.items() if tracks}

    @cached_property
    def speed(self) -> pd.DataFrame:
        """RTE of every method on ResNets, a column per data set, and their mean as in the paper's Table 2.

        Several tracks of one data set count with their geometric mean.
        """
        logs: dict[str, list[pd.Series[float]]] = {}
        for board in self.boards:
            if "resnet" in architecture(board.track):
                own = -board.order("rte").replace(np.inf, np.nan).reindex(self.published.methods)
                logs.setdefault(data_set(board.track), []).append(pd.Series(np.log(own), own.index))
        columns = {name: np.exp(pd.concat(each, axis=1).mean(axis=1, skipna=False)) for name, each in logs.items()}
        speeds = pd.DataFrame(columns, index=self.published.methods)
        return speeds.assign(**{MEAN: speeds.mean(axis=1, skipna=False)})

    @cached_property
    def agreements(self) -> Mapping[str, Mapping[tuple[str, Source], Agreement]]:
        """Kendall's τ by setting and by what is compared with what, where there are enough methods.

        The settings are the tracks, :data:`OVERALL`, and :data:`REPLICATION`: the published replication beside the
        paper.
        """
        overall = {metric: self.counts[metric]["rank"].dropna().astype(float) for metric in METRICS}
        rows = {board.name: {metric: board.order(metric) for metric, _ in COLUMNS} for board in self.boards}
        rows[OVERALL] = overall | {"rte": -self.speed[MEAN].dropna()}
        rows[REPLICATION] = {metric: self._published(metric, "replication") for metric in ("retdev", "indisc")}
        found: dict[str, dict[tuple[str, Source], Agreement]] = {}
        for setting, orders in rows.items():
            found[setting] = {}
            for metric, source in COLUMNS:
                if metric in orders and (setting, source) != (REPLICATION, REPLICATION):
                    theirs = self._published(metric, source, setting)
                    both = orders[metric].index.intersection(theirs.index)
                    if (tau := agreement(orders[metric][both], theirs[both])) is not None:
                        found[setting][metric, source] = tau
        return found

    def _published(self, metric: str, source: Source, setting: str = OVERALL) -> pd.Series[float]:
        """Return a published order of the methods, the best one lowest."""
        if metric == "rte":
            own = setting.partition("-")[0] if setting in SETTINGS else ""
            speed = self.published.speed
            return -speed[own if own in speed else "average"]
        if source == "replication":
            values = self.published.replication[metric] * (1 if metric == "retdev" else -1)
            return values.fillna(np.inf)
        return self.published.counts["retdev" if metric == "retdev" else "indisc"]["rank"].astype(float)


def compare(boards: Sequence[TrackBoard]) -> PaperComparison:
    """Return the comparison of these boards with what is published."""
    return PaperComparison(tuple(boards), published())
