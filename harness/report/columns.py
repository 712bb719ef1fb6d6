"""The columns of a track's board in CSV, JSON and Parquet: order, type and meaning."""

from __future__ import annotations

from functools import cache

import pandas as pd

from unlearn_bench.scoring import metric_table
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.seed_rows import ULIRA

Column = tuple[str, str]
"""pandas dtype, and meaning as plain text; values of cells stand in backquotes."""

_ENTRY: dict[str, Column] = {
    "entry": ("string", "name of the method"),
    "kind": ("string", "`baseline`, `entry` or `reference`"),
    "state": (
        "string",
        "`ok`, `failed`, `incomplete`, `unusable`, `reference`, `disqualified`, `untrusted sandbox`",
    ),
    "reason": ("string", "why the state is not `ok`"),
    "badge": (
        "string",
        "`baseline`, `verified`, `not reproduced`, `self-reported`, `untrusted sandbox` or `reference`",
    ),
    "verified": ("string", "what running published units again gave: `verified`, `not reproduced`, or empty"),
    "trusted": ("boolean", "every unit that needs one came from a trusted sandbox"),
    "inconsistent": ("string", "why U-LiRA has no group here; empty when all is well"),
    "hardware": ("string", "classes of machine that the timed units ran on"),
    "date": ("string", "day of the newest unit"),
    "seeds_ok": ("Int64", "seeds that ended `ok`"),
    "seeds_total": ("Int64", "seeds that the track wants"),
}


@cache
def columns() -> dict[str, Column]:
    """Name → type and meaning, in their order.

    Raises:
        ValueError: a metric has the name of another column.
    """
    documented = dict(_ENTRY)
    for section in (_of_metrics(), _of_groups(), _of_ranks()):
        if twice := sorted(documented.keys() & section.keys()):
            raise ValueError(f"a metric may not have the name of another column: {', '.join(twice)}")
        documented |= section
    return documented


def dtypes() -> dict[str, str]:
    """Types by name, for ``pandas.read_csv(path, dtype=dtypes())``."""
    return {name: dtype for name, (dtype, _) in columns().items()}


def ordered(board: pd.DataFrame) -> pd.DataFrame:
    """Return a board with all documented columns, ordered and typed; groups by U-LiRA even if no entry ran it.

    Raises:
        ValueError: the board has a column that is not documented, or a documented one is missing.
    """
    missing = set(columns()) - set(board.columns) - {f"group_{ULIRA}", f"keep_{ULIRA}"}
    if odd := sorted(missing | set(board.columns) - set(columns())):
        raise ValueError(f"columns of the board and of its documentation differ: {', '.join(odd)}")
    return board.reindex(columns=list(columns())).astype(dtypes())


def documentation() -> str:
    """Return the columns as a Markdown table."""
    lines = []
    for name, (dtype, meaning) in columns().items():
        escaped = meaning.replace("|", "\\|")
        lines.append(f"| `{name}` | `{dtype}` | {escaped} |")
    return "\n".join(["| column | pandas dtype | |", "|---|---|---|", *lines])


def _of_metrics() -> dict[str, Column]:
    section: dict[str, Column] = {}
    for metric in metric_table.per_seed():
        section |= _mean(metric, "lower end of its 95 % interval")
        if metric.spread:
            section[f"{metric.name}_sd"] = (
                "Float64",
                "its standard deviation over the seeds: how reliable the method is",
            )
    section["indisc_of_mean"] = ("Float64", "Indisc of the mean U-MIA accuracy: hides swings between seeds")
    for metric in metric_table.metrics():
        if metric.reads == "shadows":
            section |= _mean(metric, "lower end of its 95 % interval over pairs of splits")
    section[f"{ULIRA}_indisc"] = ("Float64", "1 − |2·accuracy − 1|")
    return section


def _mean(metric: Metric, low: str) -> dict[str, Column]:
    return {
        metric.name: ("Float64", f"{metric.meaning}, {metric.averaging}"),
        f"{metric.name}_low": ("Float64", low),
        f"{metric.name}_high": ("Float64", "upper end"),
    }


def _of_groups() -> dict[str, Column]:
    section: dict[str, Column] = {}
    for metric in metric_table.grouped():
        section[f"group_{metric.name}"] = ("string", "`G1`, `G2`, `G3` or `F`")
        section[f"keep_{metric.name}"] = ("Float64", "share of resamples in which the row keeps that group")
    for letter in (*GROUPS, "F"):
        section[letter] = ("Int64", f"in how many of the metrics of `rank` the row is {letter}")
    return section


def _of_ranks() -> dict[str, Column]:
    section: dict[str, Column] = {}
    metrics = ", ".join(metric.title for metric in metric_table.ranked())
    for rank, meaning in (("rank", f"rank over {metrics}"), ("rank_with_ulira", "rank over these and U-LiRA")):
        section[rank] = ("Int64", meaning)
        section[f"{rank}_low"] = ("Int64", "best rank of its 95 % range over resampled seeds")
        section[f"{rank}_high"] = ("Int64", "worst")
    for metric in metric_table.ranked():
        section[f"rank_{metric.name}"] = ("Int64", f"rank by the group of `{metric.name}` only")
    return section
