"""What stands in one cell of a board as text: a rank, a group, a mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from unlearn_bench.harness.results.badges import UNRANKED
from unlearn_bench.scoring.metric import Metric

NONE = "–"


def rank(row: pd.Series[Any], which: str = "rank") -> str:
    """Return ``3``, or ``3–5`` with its bootstrap range, or ``–``."""
    if pd.isna(row[which]):
        return NONE
    low, high = int(row[f"{which}_low"]), int(row[f"{which}_high"])
    return str(low) if low == high else f"{low}–{high}"


def group(row: pd.Series[Any] | Mapping[Any, Any], metric: str) -> str:
    """Return G1, G2, G3, F, or a dash where the row has no place (yet)."""
    letter = row.get(f"group_{metric}")
    return NONE if row["state"] in ("incomplete", "reference", *UNRANKED) or pd.isna(letter) else str(letter)


def mean(metric: Metric, row: pd.Series[Any]) -> str:
    """Return the mean of a metric, a ratio as a factor (``12.3×``), or a dash where it is unknown."""
    value = row.get(metric.name, math.nan)
    if metric.ratio:
        return NONE if pd.isna(value) else f"{value:.{metric.digits}f}×"
    return number(value, metric.digits)


def mean_with_interval(row: pd.Series[Any], metric: str, digits: int) -> str:
    """Return the mean of a metric ± half its interval, or a dash where it is unknown."""
    if math.isnan(row.get(metric, math.nan)):
        return NONE
    half = (row[f"{metric}_high"] - row[f"{metric}_low"]) / 2
    return f"{row[metric]:.{digits}f}" + (f" ± {half:.{digits}f}" if half else "")


def number(value: float, digits: int) -> str:
    """Return a number without the zero before the point, or a dash for NaN."""
    text = NONE if math.isnan(value) else f"{value:.{digits}f}"
    return text[1:] if text.startswith("0.") else text


def shortened(text: str, width: int) -> str:
    """Return the text, or its beginning and an ellipsis, with fewer characters than ``width``."""
    return text if len(text) < width else text[: width - 2] + "…"
