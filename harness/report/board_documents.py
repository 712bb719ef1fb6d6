"""The board as Markdown for people, and as CSV, JSON and Parquet for other programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import pandas as pd

from unlearn_bench.harness.report.cells import (
    group,
    left,
    mean,
    mean_with_interval,
    position,
    position_range,
    unconverged,
)
from unlearn_bench.harness.report.columns import ordered
from unlearn_bench.harness.results.badges import SELF_REPORTED, UNRANKED
from unlearn_bench.harness.support import text
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import by_weight, leading, ranked, shown
from unlearn_bench.scoring.seed_rows import NO_BETTER


def markdown(board: pd.DataFrame, name: Callable[[str], str] = text.markdown) -> str:
    """Return the board as a Markdown table; reference rows last.

    ``name``: what is written for the name of an entry.
    """
    leading_metrics = leading("markdown")
    others = [metric for metric in shown("markdown") if not metric.ranked]
    others += [each for each in by_weight() if each.corruptions and "markdown" in each.shown and _has(board, each)]
    titles = [metric.title for metric in leading_metrics]
    heads = ["position", "range", "method", *titles, "groups", "seeds", *(metric.title for metric in others)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for _, row in board.iterrows():
        badges = [
            *([row["state"]] if row["state"] in (NO_BETTER, *UNRANKED - {SELF_REPORTED}) else []),
            *(["from checkpoints"] if row["badge"] == SELF_REPORTED and not row["trusted"] else []),
            *(["provisional"] if row["provisional"] else []),
            *([row["verified"]] if row["verified"] else []),
            *(["search not converged"] if unconverged(row) else []),
        ]
        badge = f" ({', '.join(badges)})" if badges else ""
        cells = [position(row), position_range(row), f"{name(str(row['entry']))}{badge}"]
        for metric in leading_metrics:
            if metric.reads == "panel":
                cells.append(left(row))
            else:
                cells.append(mean(metric, row) if metric.ratio else mean_with_interval(row, metric.name, metric.digits))
        cells.append(" ".join(group(row, metric.name) for metric in ranked()))
        cells.append(f"{row['seeds_ok']}/{row['seeds_total']}")
        marks = {"shadows": "!"} if row["inconsistent"] else {}
        cells += [mean(metric, row) + marks.get(metric.reads, "") for metric in others]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _has(board: pd.DataFrame, metric: Metric) -> bool:
    """Return whether any row has the metric, which only some tracks have."""
    return metric.name in board and bool(board[metric.name].notna().any())


def csv(board: pd.DataFrame) -> str:
    """Return all columns of ``harness.report.columns`` with six significant digits; no text acts as a formula."""
    return as_csv(ordered(board))


def as_csv(table: pd.DataFrame) -> str:
    """Return a table as CSV in which no text acts as a formula."""
    texts = [column for column in table.columns if pd.api.types.is_string_dtype(table[column])]
    neutral = {column: table[column].map(text.spreadsheet, na_action="ignore") for column in texts}
    return str(table.assign(**neutral).to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def parquet(board: pd.DataFrame) -> bytes:
    """Return all columns with all digits, as Parquet."""
    content: bytes = ordered(board).to_parquet(index=False, engine="pyarrow")
    return content


def as_json(
    board: pd.DataFrame, track: Track, null: Mapping[str, float], floor: float | None, provenance: str = ""
) -> str:
    """Return track, access tier, digests, who trained imported models, nulls, overhead floor in seconds, and rows."""
    content = {
        "track": track.name,
        "title": track.analysis.title,
        "access": track.protocol.tier,
        "reference_digest": track.reference_digest,
        "protocol_digest": track.protocol_digest,
        "analysis_digest": track.analysis_digest,
        "reference_models": provenance or "trained by the benchmark",
        "null": dict(null),
        "floor_seconds": floor,
        "rows": json.loads(ordered(board).to_json(orient="records", double_precision=6)),
    }
    return json.dumps(content, indent=1)
