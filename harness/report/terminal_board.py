"""The board for a terminal, at most 100 columns wide, and the verdict on one entry in a line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pandas as pd

from unlearn_bench.harness.report.cells import (
    NONE,
    group,
    left,
    mean,
    mean_with_interval,
    ordinal,
    position,
    position_range,
    shortened,
    unconverged,
)
from unlearn_bench.harness.report.neighbours import told_apart
from unlearn_bench.harness.report.track_notes import access, pretraining
from unlearn_bench.harness.results.badges import DISQUALIFIED, SELF_REPORTED, UNTRUSTED
from unlearn_bench.harness.results.review import NOT_REPRODUCED, VERIFIED
from unlearn_bench.harness.support.text import visible
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import by_weight, leading, ranked, shown, titles
from unlearn_bench.scoring.seed_rows import NO_BETTER, NOT_APPLICABLE, OK

WIDTH = 100
"""Columns of the terminal's table."""
SIGNS = {VERIFIED: "✓", NOT_REPRODUCED: "?"}
"""Signs of marks after a row's name in a table."""
Cell = Callable[["pd.Series[Any]"], str]


def table(
    board: pd.DataFrame,
    track: Track,
    null: Mapping[str, float],
    floor: float | None = None,
    provenance: str = "",
) -> str:
    """Return the board for a terminal, its reference rows set apart.

    ``floor``: seconds of the identity entry. ``provenance``: who trained imported reference models.
    """
    columns = _columns(track.corruption)
    head = "".join(format(name, width) for name, width, _ in columns).rstrip()
    lines = [f"{track.name} — {track.analysis.title}"]
    if tier := access(track):
        lines.append(f"access: {tier}")
    lines += [head, "─" * len(head)]
    references = board["state"] == "reference"
    rows = [
        "".join(format(cell(row), width) for _, width, cell in columns).rstrip() for _, row in board.iterrows()
    ]  # reference rows stand last
    lines += [*rows[: -references.sum()], "─" * len(head), *rows[-references.sum() :]]
    if provenance:
        lines.append(f"reference models: {provenance}")
    lines.append(_zero_line(null))
    lines.append(f"groups: {titles(ranked())}; G1 best, F failed. pos: by their counts; range: 95 %")
    lines.append("left: what the worst attack finds, from 0 (a retrained model) to 1 (Original), and which it is")
    if board["ulira"].notna().any():
        lines.append("LiRA: accuracy of U-LiRA, forgotten against never seen; .5 is chance")
    if track.corruption:
        lines.append("healed: accuracy on affected test examples, their true labels counting; other: on the rest")
    if track.corruption == "backdoor":
        lines.append("ASR: share of test images with the trigger that are taken for its class")
    lines += [*told_apart(board), *pretraining(track)]
    if (board["state"] == NO_BETTER).any():
        lines.append("= no better than Original: no position")
    if (board["provisional"] != "").any():
        lines.append("~ provisional: U-LiRA or the probes, which have looked at baselines, have not looked at it")
    if any(unconverged(row) for _, row in board.iterrows()):
        lines.append("^ its search for parameters has not converged: the last third of the trials still found better")
    if not ((board["kind"] == "baseline") & board["state"].isin([OK, NO_BETTER])).any():
        lines.append(f"no baseline has run here: groups mean nothing yet (bench baselines --track {track.name})")
    if floor is not None:
        lines.append(f"overhead floor (the identity entry, median of its seeds): {floor:.2f} s of every run time")
    if (board["state"] == UNTRUSTED).any():
        lines.append(f"* {UNTRUSTED}: timed units of a public board come from containers; listed without a position")
    elif not (board["trusted"] | references | _from_checkpoints(board)).all():
        lines.append("* ran without a container: not for a public board")
    if (checkpoints := _from_checkpoints(board)).any():
        declared = ", RTE is what its author declared" if board.loc[checkpoints, "rte"].notna().any() else ""
        lines.append(f"° self-reported: scored from checkpoints, nothing was run{declared}")
    for _, row in board[board["disturbed"] > 0].iterrows():
        what = f"{row['disturbed']} of its timed units were disturbed by other work"
        lines.append(f"RTE – {shortened(str(row['entry']), 18)}: {what}; run them again (--again)")
    for word, sign in SIGNS.items():
        if (board["verified"] == word).any():
            lines.append(f"{sign} {word}: published units were run again (bench verify)")
    for _, row in board[board["state"] == DISQUALIFIED].iterrows():
        lines.append(shortened(f"× {shortened(str(row['entry']), 18)} disqualified: {row['reason']}", 100))
    for _, row in board[board["state"] == NOT_APPLICABLE].iterrows():
        lines.append(shortened(f"– {shortened(str(row['entry']), 18)} not applicable: {row['reason']}", 100))
    for _, row in board[board["inconsistent"] != ""].iterrows():
        lines.append(f"! {shortened(str(row['entry']), 18)} inconsistent: {row['inconsistent']}")
    return visible("\n".join(lines))


def _from_checkpoints(board: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows have no sandbox and no badge that says so: nothing was run."""
    return (board["badge"] == SELF_REPORTED) & ~board["trusted"]


def _zero_line(null: Mapping[str, float]) -> str:
    shown_models = [each for each in by_weight() if each.reads == "model" and each.shown & {"table", "wide table"}]
    models = [metric for metric in shown_models if metric.name in null]
    numbers = [f"{metric.title} {null[metric.name]:.{metric.digits}f}" for metric in models]
    if "ulira" in null:
        numbers.append(f"U-LiRA {null['ulira_low']:.3f} to {null['ulira_high']:.3f}")
    if not models:
        return "no second retrained model: no zero line" + (f", except {numbers[0]}" if numbers else "")
    return f"zero line (a second retrained model): {', '.join(numbers)}"


def verdict(board: pd.DataFrame, entry: str) -> str:
    """Return the last line of ``bench submit``."""
    row = board[board["entry"] == entry].iloc[0]
    seeds = f"{row['seeds_ok']}/{row['seeds_total']} seeds ok"
    place = _place(row, int(board["position"].notna().sum()))
    if row["seeds_ok"] == 0:
        return visible(f"{place} · {seeds}")
    parts = []
    for metric in ranked():
        if metric.reads == "panel":
            number = left(row)
            if number == NONE:
                continue
        else:
            number = mean(metric, row) if metric.ratio else mean_with_interval(row, metric.name, metric.digits)
        letter = group(row, metric.name)
        words = f", {metric.in_words[GROUPS.index(letter)]}" if letter in GROUPS else ""
        parts.append(f"{metric.title} {number}" + ("" if letter == NONE else f" ({letter}{words})"))
    return visible(" · ".join([place, *parts, seeds, *([row["verified"]] if row["verified"] else [])]))


def _place(row: pd.Series[Any], placed: int) -> str:
    if pd.isna(row["position"]):
        places = {
            "reference": "reference row",
            "incomplete": "not ranked yet",
            UNTRUSTED: UNTRUSTED,
            NOT_APPLICABLE: f"not applicable: {row['reason']}",
            SELF_REPORTED: f"{SELF_REPORTED}: no position on a public board",
            DISQUALIFIED: f"disqualified: {row['reason']}",
        }
        return places.get(row["state"], f"no position: {row['reason']}")
    first, last = int(row["position"]), int(row["position_last"])
    place = ordinal(first) if first == last else f"tied {ordinal(first)}–{ordinal(last)}"
    provisional = f", provisional: {row['provisional']}" if row["provisional"] else ""
    return f"{place} of {placed}{provisional}"


def _columns(corruption: str) -> list[tuple[str, str, Cell]]:
    """Heading, format and content of the table's columns, at most 100 characters where metrics do not claim more.

    ``corruption``: of the track's training data, see ``Metric.corruptions``.
    """

    def name(row: pd.Series[Any]) -> str:
        signs = "" if row["trusted"] else "°" if row["badge"] == SELF_REPORTED else "*"
        signs = "×" if row["state"] == DISQUALIFIED else signs
        signs += SIGNS.get(row["verified"], "") + ("=" if row["state"] == NO_BETTER else "")
        signs += ("~" if row["provisional"] else "") + ("^" if unconverged(row) else "")
        return shortened(str(row["entry"]), 15 - len(signs)) + signs

    def groups(row: pd.Series[Any]) -> str:
        return "  " + " ".join(group(row, metric.name) for metric in ranked())

    def seeds(row: pd.Series[Any]) -> str:
        return "" if row["state"] == "reference" else f"{row['seeds_ok']}/{row['seeds_total']}"

    columns: list[tuple[str, str, Cell]] = [("pos", "<6", position), ("range", "<6", position_range)]
    columns += [("method", "<15", name), *(_leading(metric) for metric in leading("table"))]
    columns += [("  groups", f"<{3 * len(ranked()) + 2}", groups), ("seeds", ">6", seeds)]
    columns_left = WIDTH - sum(int(width[1:]) for _, width, _ in columns)
    columns_left -= sum(_width(metric) for metric in shown("table", corruption) if not metric.ranked)
    for metric in by_weight():
        if metric.ranked or not metric.applies(corruption) or not metric.shown & {"table", "wide table"}:
            continue
        if "table" not in metric.shown:
            if _width(metric) > columns_left:
                continue
            columns_left -= _width(metric)
        columns.append((metric.heading or metric.title, f">{_width(metric)}", partial(_mean, metric)))
    return columns


def _width(metric: Metric) -> int:
    return max(6, len(metric.heading or metric.title) + 2)


def _mean(metric: Metric, row: pd.Series[Any]) -> str:
    return mean(metric, row) + ("!" if metric.reads == "shadows" and row["inconsistent"] else "")


def _leading(metric: Metric) -> tuple[str, str, Cell]:
    """Return the column of a metric that counts for the position, with its interval where there is room."""
    title = metric.heading or metric.title
    if metric.ratio:
        return title, ">7", partial(mean, metric)
    if metric.reads == "panel":
        return title, "<21", lambda row: shortened(left(row), 21)
    return title, "<14", lambda row: mean_with_interval(row, metric.name, metric.digits)
