"""The board over several tracks and the paper's tables beside it, as JSON."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pandas as pd

from unlearn_bench.harness.report.paper_sentences import sentences
from unlearn_bench.harness.results.paper_comparison import PaperComparison


def as_json(board: pd.DataFrame, comparison: PaperComparison) -> str:
    """Return the ranked rows, the counts and speeds here and as published, U-LiRA, and Kendall's τ of every setting."""
    published = comparison.published
    content = {
        "tracks": [each.name for each in comparison.boards],
        "rows": _rows(board),
        "groups": {
            metric: {
                "here": _rows(counts),
                "paper": _rows(published.counts[metric]) if metric in published.counts else None,
            }
            for metric, counts in comparison.counts.items()
        },
        "rte": {"here": _rows(comparison.speed), "paper": _rows(published.speed)},
        "ulira": {
            each.name: _rows(
                each.rows[["ulira", "ulira_low", "ulira_high"]].join(each.inside_band().rename("inside"), how="right")
            )
            for each in comparison.boards
        },
        "agreement": [
            {"setting": setting, "metric": metric, "published": source, **dataclasses.asdict(found)}
            for setting, row in comparison.agreements.items()
            for (metric, source), found in row.items()
        ],
        "sentences": sentences(comparison),
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def _rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    named = table if "entry" in table else table.rename_axis("entry").reset_index()
    rows: list[dict[str, Any]] = json.loads(named.to_json(orient="records", double_precision=6))
    return rows
