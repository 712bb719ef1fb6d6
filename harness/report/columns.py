"""The columns of a track's board in CSV, JSON and Parquet: order, type and meaning."""

from __future__ import annotations

import pandas as pd

from unlearn_bench.scoring.board import SPREAD
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.rows import RANKED, ULIRA, VALUES

_MEANINGS = {
    "ra": "accuracy on R",
    "fa": "accuracy on F",
    "va": "accuracy on V",
    "ta": "accuracy on T",
    "rr": "RA over Retrain's",
    "fr": "FA over Retrain's",
    "tr": "TA over Retrain's",
    "retdev": "\\|RR−1\\| + \\|FR−1\\| + \\|TR−1\\|",
    "umia": "accuracy of U-MIA",
    "indisc": "1 − \\|2·U-MIA − 1\\|",
    "rte": "Retrain's time over the entry's (geometric mean)",
}
_METRICS = (*(metric.column for metric in RANKED), ULIRA)


def _columns() -> dict[str, tuple[str, str]]:
    found = {
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
    for value in VALUES:
        found[value] = ("Float64", f"{_MEANINGS[value]}, mean over the seeds")
        found[f"{value}_low"] = ("Float64", "lower end of its 95 % interval")
        found[f"{value}_high"] = ("Float64", "upper end")
        if value in SPREAD:
            found[f"{value}_sd"] = ("Float64", "its standard deviation over the seeds: how reliable the method is")
    found["indisc_of_mean"] = ("Float64", "Indisc of the mean U-MIA accuracy: hides swings between seeds")
    found[ULIRA] = ("Float64", "accuracy of U-LiRA")
    found[f"{ULIRA}_low"] = ("Float64", "lower end of its 95 % interval over pairs of splits")
    found[f"{ULIRA}_high"] = ("Float64", "upper end")
    found[f"{ULIRA}_indisc"] = ("Float64", "1 − \\|2·accuracy − 1\\|")
    for metric in _METRICS:
        found[f"group_{metric}"] = ("string", "`G1`, `G2`, `G3` or `F`")
        found[f"keep_{metric}"] = ("Float64", "share of resamples in which the row keeps that group")
    for letter in (*GROUPS, "F"):
        found[letter] = ("Int64", f"in how many of the metrics of `rank` the row is {letter}")
    for rank, meaning in (("rank", "rank over RetDev, Indisc, RTE"), ("rank_with_ulira", "rank with U-LiRA, too")):
        found[rank] = ("Int64", meaning)
        found[f"{rank}_low"] = ("Int64", "best rank of its 95 % range over resampled seeds")
        found[f"{rank}_high"] = ("Int64", "worst")
    for one in RANKED:
        found[f"rank_{one.column}"] = ("Int64", f"rank by the group of `{one.column}` alone")
    return found


COLUMNS = _columns()
"""Name → (pandas dtype, meaning as Markdown)."""
DTYPES = {name: dtype for name, (dtype, _) in COLUMNS.items()}
"""For ``pandas.read_csv(path, dtype=DTYPES)``."""


def ordered(board: pd.DataFrame) -> pd.DataFrame:
    """A board with all documented columns in their order and with their types; groups by U-LiRA even if nobody ran it.

    Raises:
        ValueError: the board has a column that is not documented, or lacks one.
    """
    missing = set(COLUMNS) - set(board.columns) - {f"group_{ULIRA}", f"keep_{ULIRA}"}
    if odd := sorted(missing | set(board.columns) - set(COLUMNS)):
        raise ValueError(f"columns of the board and of its documentation differ: {', '.join(odd)}")
    return board.reindex(columns=list(COLUMNS)).astype(DTYPES)


def documentation() -> str:
    """The columns as a Markdown table."""
    rows = [f"| `{name}` | `{dtype}` | {meaning} |" for name, (dtype, meaning) in COLUMNS.items()]
    return "\n".join(["| column | pandas dtype | |", "|---|---|---|", *rows])
