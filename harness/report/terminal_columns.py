"""The columns of the board in a terminal, and those of them that fit into its width."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pandas as pd

from unlearn_bench.harness.report.cells import (
    group,
    left,
    mean,
    mean_with_interval,
    position,
    position_range,
    shortened,
    unconverged,
)
from unlearn_bench.harness.report.text_table import GAP, Look, TextColumn, total
from unlearn_bench.harness.results.badges import DISQUALIFIED, SELF_REPORTED
from unlearn_bench.harness.results.review import NOT_REPRODUCED, VERIFIED
from unlearn_bench.harness.support.text import visible
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import by_weight, leading, ranked
from unlearn_bench.scoring.seed_rows import NO_BETTER

SIGNS = {VERIFIED: "✓", NOT_REPRODUCED: "?"}
"""Signs of marks after a row's name in a table."""
NAME = 14
"""Characters of a row's name with its signs."""
GREEN, YELLOW, RED, DIM = "32", "33", "31", "2"
GROUP_COLOURS = {"G1": GREEN, "G2": YELLOW, "G3": RED, "F": RED}
Cell = Callable[["pd.Series[Any]"], str]


@dataclass(frozen=True)
class Fitted:
    """The columns that fit, in their order, and the headings of those that do not."""

    columns: Sequence[TextColumn]
    left_out: Sequence[str]


def fitted(board: pd.DataFrame, corruption: str, width: int) -> Fitted:
    """Return the columns of a board for a terminal of this width.

    Position, name, the metrics that count for the position and their groups are always there, 60 columns are enough for
    them. The others, and what makes these longer, are added in the order of their importance as long as they fit: what
    the corruption of the track's data leaves (see ``Metric.corruptions``), the name of the worst attack, metrics of the
    table, intervals, seeds, the range of positions, and metrics for wide tables.
    """

    def column(title: str, cell: Cell, right: bool = False) -> TextColumn:
        return TextColumn(title, [cell(row) for _, row in board.iterrows()], right)

    marks = (board["inconsistent"] != "").any()

    def of(metric: Metric) -> TextColumn:
        return column(metric.heading or metric.title, partial(_mean, metric, bool(marks)), right=True)

    def long(metric: Metric) -> TextColumn:
        return column(metric.heading or metric.title, partial(_long, metric))

    brief = {metric.name: of(metric) for metric in leading("table")}
    full = {metric.name: long(metric) for metric in leading("table") if not metric.ratio}
    others = [metric for metric in by_weight() if not metric.ranked and metric.applies(corruption)]
    table = {metric.name: of(metric) for metric in others if "table" in metric.shown}
    wide = {metric.name: of(metric) for metric in others if "wide table" in metric.shown and metric.name not in table}
    groups = column("groups", lambda row: " ".join(group(row, metric.name) for metric in ranked()))
    order = ["pos", "range", "method", *brief, "groups", "seeds", *table, *wide]
    chosen = {"pos": column("pos", position), "method": column("method", _name), **brief, "groups": groups}
    corrective = {metric.name for metric in others if metric.corruptions}
    panel = {metric.name for metric in ranked() if metric.reads == "panel"}
    wishes = {name: each for name, each in table.items() if name in corrective}
    wishes |= {name: each for name, each in full.items() if name in panel}
    wishes |= {name: each for name, each in table.items() if name not in corrective}
    wishes |= {name: each for name, each in full.items() if name not in panel}
    wishes |= {"seeds": column("seeds", _seeds, right=True), "range": column("range", position_range), **wide}
    for name, wish in wishes.items():
        tried = {**chosen, name: wish}
        if total(tried.values()) <= width:
            chosen = tried
    left_out = [wish.title for name, wish in wishes.items() if name not in chosen and name not in wide]
    return Fitted([chosen[name] for name in order if name in chosen], left_out)


def line(columns: Sequence[TextColumn], index: int, row: pd.Series[Any], look: Look) -> str:
    """Return the line of one row: its groups green, yellow and red, references dim, names red that do not unlearn."""
    cells = []
    for column in columns:
        text = column.text(column.cells[index])
        if column.title == "groups":
            text = re.sub("|".join(GROUP_COLOURS), lambda match: look.paint(match[0], GROUP_COLOURS[match[0]]), text)
        if column.title == "method" and row["state"] in (NO_BETTER, DISQUALIFIED, "failed"):
            text = look.paint(text, RED)
        cells.append(text)
    whole = GAP.join(cells).rstrip()
    return look.paint(whole, DIM) if row["state"] == "reference" else whole


def _name(row: pd.Series[Any]) -> str:
    signs = "" if row["trusted"] else "°" if row["badge"] == SELF_REPORTED else "*"
    signs = "×" if row["state"] == DISQUALIFIED else signs
    signs += SIGNS.get(row["verified"], "") + ("=" if row["state"] == NO_BETTER else "")
    signs += ("~" if row["provisional"] else "") + ("^" if unconverged(row) else "")
    return shortened(visible(str(row["entry"])), NAME + 1 - len(signs)) + signs


def _seeds(row: pd.Series[Any]) -> str:
    return "" if row["state"] == "reference" else f"{row['seeds_ok']}/{row['seeds_total']}"


def _mean(metric: Metric, marks: bool, row: pd.Series[Any]) -> str:
    """Return a mean; what reads shadow models has a mark, or room for it, where there are ``marks`` on the board."""
    mark = "!" if row["inconsistent"] else " "
    return mean(metric, row) + (mark if marks and metric.reads == "shadows" else "")


def _long(metric: Metric, row: pd.Series[Any]) -> str:
    """Return what stands of a metric that counts for the position where there is room: interval, or worst attack."""
    if metric.reads == "panel":
        text = shortened(left(row), 21)
        return text if text[0].isdigit() else f" {text}"  # points below one another
    return mean_with_interval(row, metric.name, metric.digits)
