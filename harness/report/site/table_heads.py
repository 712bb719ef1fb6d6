"""Columns of the tables on the pages: heading, which end is best, and what stands there."""

from __future__ import annotations

from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import by_weight, leading, ranked, shown, titles

Head = tuple[str, str, str, str]
"""Key, heading, direction of a first click, meaning."""


def board_metrics(single: bool, attacked: bool, corruption: str = "") -> list[Metric]:
    """Metrics whose means are columns of a board: of one track, or of several, which have the ranked ones only."""
    others = [metric for metric in shown("board page", corruption) if single and not metric.ranked]
    return [*leading("board page"), *(metric for metric in others if attacked or metric.reads != "shadows")]


def board_heads(single: bool, attacked: bool, corruption: str = "") -> list[Head]:
    """Columns of a board, in order.

    Args:
        single: whether it is the board of one track.
        attacked: whether any row ran U-LiRA.
        corruption: of the track's training data, see ``Metric.corruptions``.
    """
    over = titles(ranked())
    heads = [
        ("position", "Position", "low", f"The places that a row shares with its equals, by its groups of {over}"),
        ("range", "Range", "low", "Its places in 95 % of the boards when the seeds are drawn again"),
    ]
    heads.append(("method", "Method", "low", "Name of the entry; its page has everything that is known of it"))
    means = [_mean(metric) for metric in board_metrics(single, attacked, corruption)]
    badge = ("badge", "Badge", "low", "Who vouches for the row")
    if not single:
        return [*heads, *_counts(), *means, badge]
    spread = " / ".join(metric.title for metric in by_weight() if metric.spread)
    return [
        *heads,
        *means,
        (
            "spread",
            "Spread",
            "low",
            f"Reliability: standard deviation over the seeds of {spread}; sorted by the larger one",
        ),
        ("seeds", "Seeds", "high", "Seeds that ended ok, of those that the track wants"),
        badge,
        ("hardware", "Hardware", "low", "Class of machine that timed it: RTE is a ratio within one machine"),
        ("date", "Date", "high", "Day of the newest unit"),
    ]


def unit_columns(corruption: str = "") -> list[tuple[str, str, int]]:
    """Columns of the units of an entry: number, heading, digits."""
    models = [_unit(metric) for metric in shown("seeds page", corruption) if metric.reads == "model"]
    runs = [_unit(metric) for metric in shown("seeds page", corruption) if metric.reads == "run"]
    return [*models, ("seconds", "wall s", 2), ("cpu_seconds", "CPU s", 2), *runs, ("peak_mib", "peak MiB", 0)]


def _mean(metric: Metric) -> Head:
    return metric.name, metric.title, metric.better or "high", metric.hint or metric.meaning


def _counts() -> list[Head]:
    first, *others = ranked()
    meaning = f"On how many tracks it is in which group by {first.title}; sorted by G1, then G2, then G3"
    meanings = [meaning, *(f"The same by {metric.title}" for metric in others)]
    return [
        (f"g-{metric.name}", f"{metric.title} G1·G2·G3·F", "high", meaning)
        for metric, meaning in zip(ranked(), meanings, strict=True)
    ]


def _unit(metric: Metric) -> tuple[str, str, int]:
    return metric.name, metric.title, metric.digits if metric.unit_digits is None else metric.unit_digits
