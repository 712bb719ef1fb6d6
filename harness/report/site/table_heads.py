"""Columns of the tables on the pages: heading, which end is best, and what stands there."""

from __future__ import annotations

from dataclasses import dataclass

from unlearn_bench.harness.report.site.page_data import Board, Row
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import by_weight, leading, ranked, shown, titles


@dataclass(frozen=True)
class BoardColumn:
    """A column of a board."""

    key: str
    label: str
    best: str
    """``low`` or ``high``: which end the first click on its heading puts first."""
    meaning: str
    leading: bool = False
    """Whether it is there before a reader chooses columns."""
    sort: str = "number"
    """What a cell is sorted by: its first ``number``, its ``largest``, all as ``digits`` of one, or its ``text``."""
    headline: bool = True
    """Whether a phone has room for it, if it is leading."""
    metric: Metric | None = None
    """The metric whose means it has."""
    counts: str = ""
    """The metric whose groups it counts."""


def board_columns(board: Board) -> list[BoardColumn]:
    """Return the columns of a board in order, with those that say the same of every row."""
    over = titles(ranked())
    places = f"The places that a row shares with its equals, by its groups of {over}"
    columns = [
        BoardColumn("position", "Position", "low", places, leading=True),
        BoardColumn("method", "Method", "low", _METHOD, leading=True, sort="text"),
    ]
    metrics = _metrics(board)
    if not board.single:
        return [*columns, *_counts(), *(_mean(metric, leading=True) for metric in metrics), _BADGE]
    spread = " / ".join(metric.title for metric in by_weight() if metric.spread)
    drawn = "Its places in 95 % of the boards when the seeds are drawn again"
    deviations = f"Reliability: standard deviation over the seeds of {spread}; sorted by the larger one"
    first = {metric.name for metric in metrics if metric.ranked or metric.name == "ulira"}
    return [
        *columns,
        BoardColumn("verdict", "Verdict", "low", _VERDICT, leading=True, sort="text", headline=False),
        *(_mean(metric, metric.name in first) for metric in sorted(metrics, key=lambda each: each.name not in first)),
        BoardColumn("range", "Range", "low", drawn),
        BoardColumn("spread", "Spread", "low", deviations, sort="largest"),
        BoardColumn("seeds", "Seeds", "high", "Seeds that ended ok, of those that the track wants"),
        _BADGE,
        BoardColumn("hardware", "Hardware", "low", _HARDWARE, sort="text"),
        BoardColumn("date", "Date", "high", "Day of the newest unit", sort="text"),
    ]


_METHOD = "Name, code and year; its page has everything that is known of it"
_VERDICT = "What the numbers of the row say in words"
_HARDWARE = "Class of machine that timed it: RTE is a ratio within one machine"
_BADGE = BoardColumn("badge", "Badge", "low", "Who vouches for the row", leading=True, sort="text", headline=False)
FOLDED = {"seeds", "badge", "hardware", "date"}
"""Columns that leave the table where they say the same of every row that is no reference row."""


def folded(board: Board, columns: list[BoardColumn]) -> dict[str, str]:
    """Return what the folded columns say of every row, by key; nothing of a board with one row."""
    rows = [row for row in board.rows if row.part != "reference"]
    constant = {}
    for column in columns:
        if column.key in FOLDED and len(rows) > 1:
            values = {_said(row, column.key) for row in rows}
            if len(values) == 1:
                constant[column.key] = values.pop()
    return constant


def _said(row: Row, key: str) -> str:
    return f"{row.seeds_ok}/{row.seeds_total}" if key == "seeds" else str(getattr(row, key))


def _metrics(board: Board) -> list[Metric]:
    if not board.single:
        return list(leading("board page"))
    others = [metric for metric in shown("board page", board.corruption) if not metric.ranked]
    on_pages = [*leading("board page"), *others]
    wide = [metric for metric in shown("wide table", board.corruption) if metric not in on_pages]
    known = {name for row in board.rows for name in row.values}
    return [metric for metric in (*on_pages, *wide) if metric.ranked or metric.name in known]


def unit_columns(corruption: str = "") -> list[tuple[str, str, int]]:
    """Columns of the units of an entry: number, heading, digits."""
    models = [_unit(metric) for metric in shown("seeds page", corruption) if metric.reads == "model"]
    runs = [_unit(metric) for metric in shown("seeds page", corruption) if metric.reads == "run"]
    return [*models, ("seconds", "wall s", 2), ("cpu_seconds", "CPU s", 2), *runs, ("peak_mib", "peak MiB", 0)]


def _mean(metric: Metric, leading: bool) -> BoardColumn:
    meaning = metric.hint or metric.meaning
    narrow = metric.name != "ulira"
    return BoardColumn(
        metric.name, metric.title, metric.better or "high", meaning, leading, headline=narrow, metric=metric
    )


def _counts() -> list[BoardColumn]:
    first, *others = ranked()
    meaning = f"On how many tracks it is in which group by {first.title}; sorted by G1, then G2, then G3"
    meanings = [meaning, *(f"The same by {metric.title}" for metric in others)]
    return [
        BoardColumn(
            f"g-{metric.name}", f"{metric.title} G1·G2·G3·F", "high", meaning, True, sort="digits", counts=metric.name
        )
        for metric, meaning in zip(ranked(), meanings, strict=True)
    ]


def _unit(metric: Metric) -> tuple[str, str, int]:
    return metric.name, metric.title, metric.digits if metric.unit_digits is None else metric.unit_digits
