"""The board for a terminal, at most 100 columns wide, and the verdict on one entry in a line."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from unlearn_bench.harness.report.cells import NONE, group, mean, mean_with_interval, rank, shortened
from unlearn_bench.harness.results.badges import DISQUALIFIED, UNTRUSTED
from unlearn_bench.harness.results.review import NOT_REPRODUCED, VERIFIED
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import by_weight, grouped, leading, ranked, shown

WIDTH = 100
"""Columns of the terminal's table."""
SIGNS = {VERIFIED: "✓", NOT_REPRODUCED: "?"}
"""Signs of marks after a row's name in a table."""
Cell = Callable[["pd.Series[Any]"], str]


def table(board: pd.DataFrame, track: Track, null: Mapping[str, float], floor: float | None = None) -> str:
    """Return the board for a terminal, its reference rows set apart; ``floor``: seconds of the identity entry."""
    attacked = bool(board["ulira"].notna().any())
    columns = _columns(attacked)
    head = "".join(format(name, width) for name, width, _ in columns).rstrip()
    lines = [f"{track.name} — {track.analysis.title}", head, "─" * len(head)]
    references = board["state"] == "reference"
    rows = [
        "".join(format(cell(row), width) for _, width, cell in columns).rstrip() for _, row in board.iterrows()
    ]  # reference rows stand last
    lines += [*rows[: -references.sum()], "─" * len(head), *rows[-references.sum() :]]
    band = f", U-LiRA {null['ulira_low']:.3f} to {null['ulira_high']:.3f}" if "ulira" in null else ""
    models = [metric for metric in by_weight() if metric.reads == "model" and metric.name in null]
    numbers = (f"{metric.title} {null[metric.name]:.{metric.digits}f}" for metric in models)
    lines.append(f"zero line (a second retrained model): {', '.join(numbers)}{band}")
    titles = ", ".join(metric.title for metric in _grouped(attacked))
    lines.append(f"groups: {titles}; G1 best, F failed. rank: by G1, G2, G3 counts; bootstrap range")
    lines.append("MIA: accuracy of U-MIA; above .5 F still looks seen, below .5 it looks less seen than the test set")
    if attacked:
        lines.append(
            "LiRA: accuracy of U-LiRA, forgotten against never seen. +LiRA: the rank with it as a fourth metric"
        )
    if not ((board["kind"] == "baseline") & (board["state"] == "ok")).any():
        lines.append(f"no baseline has run here: groups mean nothing yet (bench baselines --track {track.name})")
    if floor is not None:
        lines.append(f"overhead floor (the identity entry, median of its seeds): {floor:.2f} s of every run time")
    if (board["state"] == UNTRUSTED).any():
        lines.append(f"* {UNTRUSTED}: timed units of a public board come from containers; listed without a rank")
    elif not board.loc[~references, "trusted"].all():
        lines.append("* ran without a container: not for a public board")
    for word, sign in SIGNS.items():
        if (board["verified"] == word).any():
            lines.append(f"{sign} {word}: published units were run again (bench verify)")
    for _, row in board[board["state"] == DISQUALIFIED].iterrows():
        lines.append(shortened(f"× {shortened(str(row['entry']), 18)} disqualified: {row['reason']}", 100))
    for _, row in board[board["inconsistent"] != ""].iterrows():
        lines.append(f"! {shortened(str(row['entry']), 18)} inconsistent: {row['inconsistent']}")
    return "\n".join(lines)


def verdict(board: pd.DataFrame, entry: str) -> str:
    """Return the last line of ``bench submit``."""
    row = board[board["entry"] == entry].iloc[0]
    ranked_count = int(board["rank"].notna().sum())
    seeds = f"{row['seeds_ok']}/{row['seeds_total']} seeds ok"
    if pd.isna(row["rank"]):
        places = {"reference": "reference row", UNTRUSTED: UNTRUSTED, DISQUALIFIED: f"disqualified: {row['reason']}"}
        place = places.get(row["state"], "not ranked yet")
    else:
        place = f"rank {rank(row)} of {ranked_count}"
    if row["seeds_ok"] == 0:
        return f"{place} · {seeds}"
    parts = []
    for metric in grouped():
        group_name = group(row, metric.name)
        if metric.reads == "shadows" and math.isnan(row[metric.name]) and group_name == NONE:
            continue
        if metric.name == "indisc":
            number = f"{row['indisc']:.2f}"  # no interval, to keep to one line
        elif metric.ratio or metric.reads == "shadows":
            number = mean(metric, row)
        else:
            number = mean_with_interval(row, metric.name, metric.digits)
        parts.append(f"{metric.title} {number}" + ("" if group_name == NONE else f" ({group_name})"))
    return " · ".join([place, *parts, seeds, *([row["verified"]] if row["verified"] else [])])


def _columns(attacked: bool) -> list[tuple[str, str, Cell]]:
    """Heading, format and content of the table's columns, at most 100 characters where metrics do not claim more."""

    def name(width: int) -> Cell:
        def cell(row: pd.Series[Any]) -> str:
            signs = "×" if row["state"] == DISQUALIFIED else "" if row["trusted"] else "*"
            signs += SIGNS.get(row["verified"], "")
            return shortened(str(row["entry"]), width - len(signs)) + signs

        return cell

    def groups(row: pd.Series[Any]) -> str:
        return "  " + " ".join(group(row, metric.name) for metric in _grouped(attacked))

    def seeds(row: pd.Series[Any]) -> str:
        return "" if row["state"] == "reference" else f"{row['seeds_ok']}/{row['seeds_total']}"

    columns: list[tuple[str, str, Cell]] = [("rank", "<6", rank)]
    if attacked:
        columns.append(("+LiRA", "<6", lambda row: rank(row, "rank_with_ulira")))
    columns.append(("method", "<15", name(15)) if attacked else ("method", "<18", name(18)))
    leading_metrics = [metric for metric in leading("table") if attacked or metric.reads != "shadows"]
    columns += [_leading(metric, attacked) for metric in leading_metrics]
    columns += [("  groups", f"<{3 * len(_grouped(attacked)) + 2}", groups), ("seeds", ">6", seeds)]
    columns_left = WIDTH - sum(int(width[1:]) for _, width, _ in columns)
    columns_left -= sum(_width(metric) for metric in shown("table") if not metric.ranked)
    for metric in by_weight():
        if metric.ranked or not metric.shown & {"table", "wide table"}:
            continue
        if "table" not in metric.shown:
            if _width(metric) > columns_left:
                continue
            columns_left -= _width(metric)
        columns.append((metric.heading or metric.title, f">{_width(metric)}", partial(mean, metric)))
    return columns


def _grouped(attacked: bool) -> tuple[Metric, ...]:
    return grouped() if attacked else ranked()


def _width(metric: Metric) -> int:
    return max(6, len(metric.heading or metric.title) + 2)


def _leading(metric: Metric, attacked: bool) -> tuple[str, str, Cell]:
    """Return the column of a metric that entries are grouped by, with its interval where there is room."""
    title = metric.heading or metric.title
    if metric.ratio:
        return title, ">8" if attacked else ">7", partial(mean, metric)
    if metric.reads == "shadows":
        return title, ">5", lambda row: mean(metric, row) + ("!" if row["inconsistent"] else "")
    return title, "<14", lambda row: mean_with_interval(row, metric.name, metric.digits)
