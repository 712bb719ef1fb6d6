"""The board for a terminal, and the verdict on one entry in a line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from unlearn_bench.harness.report.board_notes import missing_baselines, separated_neighbours
from unlearn_bench.harness.report.cells import (
    NONE,
    group,
    left,
    mean,
    mean_with_interval,
    ordinal,
    shortened,
    unconverged,
)
from unlearn_bench.harness.report.terminal_columns import SIGNS, fitted, line
from unlearn_bench.harness.report.text_table import PLAIN, Look, heading, wrapped
from unlearn_bench.harness.report.track_notes import access, pretraining
from unlearn_bench.harness.results.badges import DISQUALIFIED, SELF_REPORTED, UNTRUSTED
from unlearn_bench.harness.support.text import visible
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.metric_table import by_weight, ranked, titles
from unlearn_bench.scoring.seed_rows import NO_BETTER, NOT_APPLICABLE


def table(
    board: pd.DataFrame,
    track: Track,
    null: Mapping[str, float],
    floor: float | None = None,
    provenance: str = "",
    look: Look = PLAIN,
) -> str:
    """Return the board for a terminal, its reference rows set apart.

    ``floor``: seconds of the identity entry. ``provenance``: who trained imported reference models.
    """
    fit = fitted(board, track.corruption, look.width)
    head = heading(fit.columns)
    lines = wrapped(f"{track.name} — {track.analysis.title}", look)
    if tier := access(track):
        lines += wrapped(f"access: {tier}", look)
    lines += [head, "─" * len(head)]
    rows = [line(fit.columns, index, row, look) for index, (_, row) in enumerate(board.iterrows())]
    references = int((board["state"] == "reference").sum())  # they stand last
    lines += [*rows[: len(rows) - references], "─" * len(head), *rows[len(rows) - references :]]
    notes = [*_legend(board, track, null, provenance), *_remarks(board, track, floor), *_remarks_on_rows(board)]
    if fit.left_out:
        notes.append(f"not shown at {look.width} columns: {', '.join(fit.left_out)}")
    return "\n".join([*lines, *(part for note in notes for part in wrapped(note, look))])


def _legend(board: pd.DataFrame, track: Track, null: Mapping[str, float], provenance: str) -> Iterator[str]:
    """Yield what the columns mean."""
    if provenance:
        yield f"reference models: {provenance}"
    yield _null_line(null)
    yield f"groups: {titles(ranked())}; G1 best, F failed. pos: by their counts; range: 95 %"
    yield "left: what the worst attack finds, from 0 (a retrained model) to 1 (Original), and which it is"
    if board["ulira"].notna().any():
        yield "LiRA: accuracy of U-LiRA, forgotten against never seen; .5 is chance"
    if track.corruption:
        yield "healed: accuracy on affected test examples, their true labels counting; other: on the rest"
    if track.corruption == "backdoor":
        yield "ASR: share of test images with the trigger that are taken for its class"
    yield from separated_neighbours(board)
    yield from pretraining(track)


def _remarks(board: pd.DataFrame, track: Track, floor: float | None) -> Iterator[str]:
    """Yield what the signs mean, and what is missing on the whole board."""
    references, checkpoints = board["state"] == "reference", _from_checkpoints(board)
    if (board["state"] == NO_BETTER).any():
        yield "= no better than Original: no position"
    if (board["provisional"] != "").any():
        yield "~ provisional: U-LiRA or the probes, which count for baselines, have not run on it or do not count"
    if any(unconverged(row) for _, row in board.iterrows()):
        yield "^ its search for parameters has not converged: the last third of the trials still improved"
    yield from missing_baselines(board, track.name)
    if floor is not None:
        yield f"overhead floor (the identity entry, median of its seeds): {floor:.2f} s of every run time"
    if (board["state"] == UNTRUSTED).any():
        yield f"* {UNTRUSTED}: timed units of a public board come from containers; listed without a position"
    elif not (board["trusted"] | references | checkpoints).all():
        yield "* ran without a container: not for a public board"
    if checkpoints.any():
        declared = ", RTE is what its author declared" if board.loc[checkpoints, "rte"].notna().any() else ""
        yield f"° self-reported: scored from checkpoints, nothing was run{declared}"
    for word, sign in SIGNS.items():
        if (board["verified"] == word).any():
            yield f"{sign} {word}: published units were run again (bench verify)"


def _remarks_on_rows(board: pd.DataFrame) -> Iterator[str]:
    """Yield remarks on single rows."""
    for _, row in board.iterrows():
        name = shortened(str(row["entry"]), 18)
        if pd.notna(row["disturbed"]) and row["disturbed"] > 0:
            what = f"{row['disturbed']} of its timed units were disturbed by other work"
            yield f"RTE – {name}: {what}; run them again (--again)"
        if row["state"] == DISQUALIFIED:
            yield shortened(f"× {name} disqualified: {row['reason']}", 100)
        if row["state"] == NOT_APPLICABLE:
            yield shortened(f"– {name} not applicable: {row['reason']}", 100)
        if row["inconsistent"] != "":
            yield f"! {name} inconsistent: {row['inconsistent']}"


def _from_checkpoints(board: pd.DataFrame) -> pd.Series[bool]:
    """Return which rows have no sandbox and no badge that says so: nothing was run."""
    return (board["badge"] == SELF_REPORTED) & ~board["trusted"]


def _null_line(null: Mapping[str, float]) -> str:
    shown_models = [each for each in by_weight() if each.reads == "model" and each.shown & {"table", "wide table"}]
    models = [metric for metric in shown_models if metric.name in null]
    numbers = [f"{metric.title} {null[metric.name]:.{metric.digits}f}" for metric in models]
    if "ulira" in null:
        numbers.append(f"U-LiRA {null['ulira_low']:.3f} to {null['ulira_high']:.3f}")
    if not models:
        return "no second retrained model: no null" + (f", except {numbers[0]}" if numbers else "")
    return f"null (a second retrained model): {', '.join(numbers)}"


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
