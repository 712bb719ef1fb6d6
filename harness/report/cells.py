"""What stands in one cell of a board as text: a position, a group, a mean."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from unlearn_bench.harness.results.badges import UNRANKED
from unlearn_bench.harness.units.tuning import LATE_GAIN, SearchChoice
from unlearn_bench.scoring.metric import Metric

NONE = "–"
if TYPE_CHECKING:
    Row: TypeAlias = pd.Series[Any] | Mapping[Any, Any]


def position(row: Row) -> str:
    """Return ``3``, or ``3–5`` where several rows share these places, or ``–``."""
    return _span(row, "position", "position_last")


def position_range(row: Row) -> str:
    """Return the places of a row in 95 % of the resamples: ``2–6``, or ``–``."""
    return _span(row, "position_low", "position_high")


def _span(row: Row, first: str, last: str) -> str:
    if pd.isna(row[first]) or pd.isna(row[last]):
        return NONE
    low, high = int(row[first]), int(row[last])
    return str(low) if low == high else f"{low}–{high}"


def ordinal(number: int) -> str:
    """Return ``1st``, ``2nd``, ``13th`` and so on."""
    ending = "th" if number % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def left(row: Row) -> str:
    """Return what the worst attack finds, and its name, or a dash where none tells."""
    if math.isnan(row.get("forgetting", math.nan)):
        return NONE
    if row["state"] == "reference":
        return number(row["forgetting"], 2)
    return f"{number(row['forgetting'], 2)} {row['forgetting_attack']}"


def unconverged(row: Row) -> bool:
    """Return whether the search for the row's hyper-parameters has not converged."""
    gain = row.get("late_gain")
    return not pd.isna(gain) and float(gain) > LATE_GAIN


def late_gain(choice: SearchChoice) -> str:
    """Return what the last third of a search's trials still gained; empty where that was not measured."""
    if choice.late_gain is None:
        return ""
    verdict = "" if choice.converged else ": not converged"
    return f"the last third of the trials gained {choice.late_gain:.4f}{verdict}"


def group(row: Row, metric: str) -> str:
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
