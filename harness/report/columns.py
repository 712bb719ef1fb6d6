"""The columns of a track's board in CSV, JSON and Parquet: order, type and meaning."""

from __future__ import annotations

from functools import cache

import pandas as pd

from unlearn_bench.scoring import metric_table
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.metric import Metric

Column = tuple[str, str]
"""pandas dtype, and meaning as plain text; values of cells stand in backquotes."""

_ENTRY: dict[str, Column] = {
    "entry": ("string", "name of the method"),
    "kind": (
        "string",
        "`baseline`, `variant` (a baseline that was tuned without retrained models), `entry` or `reference`",
    ),
    "state": (
        "string",
        "`ok`, `no better`, `failed`, `not applicable` (to the track's network), `incomplete`, `unusable`, "
        "`reference`, `disqualified`, `inconsistent`; on a public board `untrusted sandbox`, `self-reported` (from "
        "checkpoints), `no baselines` (of a container, without which there are no groups)",
    ),
    "reason": ("string", "why the state is not `ok`"),
    "badge": (
        "string",
        "`baseline`, `verified`, `not reproduced`, `self-reported`, `untrusted sandbox` or `reference`",
    ),
    "verified": ("string", "what running published units again gave: `verified`, `not reproduced`, or empty"),
    "trusted": ("boolean", "every unit that needs one came from a trusted sandbox"),
    "inconsistent": (
        "string",
        "by which number its shadow, swapped or untimed seed units are unlike its timed ones; empty when all is well",
    ),
    "disturbed": ("Int64", "units whose time does not count, because other work ran beside them: RTE is then unknown"),
    "late_gain": (
        "Float64",
        "by how much the last third of the trials of its search lowered the loss; above .01 it has not converged",
    ),
    "hardware": ("string", "classes of machine that the timed units ran on"),
    "date": ("string", "day of the newest unit"),
    "provisional": (
        "string",
        "U-LiRA or the probes, where they count for baselines and not for it; empty when all is well",
    ),
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
    for section in (_of_metrics(), _of_groups(), _of_positions()):
        if twice := sorted(documented.keys() & section.keys()):
            raise ValueError(f"a metric may not have the name of another column: {', '.join(twice)}")
        documented |= section
    return documented


def dtypes() -> dict[str, str]:
    """Types by name, for ``pandas.read_csv(path, dtype=dtypes())``."""
    return {name: dtype for name, (dtype, _) in columns().items()}


def ordered(board: pd.DataFrame) -> pd.DataFrame:
    """Return a board with all documented columns, ordered and typed.

    Raises:
        ValueError: the board has a column that is not documented, or a documented one is missing.
    """
    if odd := sorted(set(columns()) ^ set(board.columns)):
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
        if metric.reads == "panel":
            section |= _mean(metric, "lower end of its 95 % interval, 0 where the evidence may be chance")
            section[f"{metric.name}_attack"] = ("string", "the attack that finds it")
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
        section[letter] = ("Int64", f"in how many of the metrics that count for its position the row is {letter}")
    return section


def _of_positions() -> dict[str, Column]:
    metrics = metric_table.titles(metric_table.ranked())
    section: dict[str, Column] = {
        "position": ("Int64", f"first of the places that the row shares, by the groups of {metrics}"),
        "position_last": ("Int64", "last of them"),
        "position_low": ("Int64", "best place of its 95 % range over resampled seeds"),
        "position_high": ("Int64", "worst"),
        "ahead": ("Float64", "share of resamples in which the row stands ahead of the next one"),
    }
    for metric in metric_table.paper_ranked():
        section[f"paper_rank_{metric.name}"] = ("Int64", f"the paper's rank by the group of `{metric.name}`")
    return section
