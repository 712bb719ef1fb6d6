"""The units of an entry as text: one line per seed with its metrics, times and memory."""

from __future__ import annotations

from unlearn_bench.harness.results.scores import Scores, value
from unlearn_bench.harness.units.records import Record
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import shown

NONE = "–"


def head(distances: bool, corruption: str = "") -> str:
    """Return the line of headings.

    Args:
        distances: whether weights are kept on this track.
        corruption: of the track's training data, see ``Metric.corruptions``.
    """
    models, runs = _metrics(corruption)
    titles = [f"{metric.title:>{_width(metric)}}" for metric in models]
    titles += [f"{'wall s':>7}", f"{'CPU s':>7}", *(f"{metric.title:>{_width(metric)}}" for metric in runs)]
    return f"{'seed':>4} {'status':<8}{' '.join(titles)} {'peak MiB':>9}{'  ‖ΔW‖' if distances else ''}"


def line(record: Record, scores: Scores | None, distances: bool, corruption: str = "") -> str:
    """Return the line of one unit; ``scores`` is ``None`` where it did not finish."""
    models, runs = _metrics(corruption)
    if scores is None:
        cells = [" " * (sum(map(_width, models)) + len(models) - 2)]  # one column to the left of the other rows
    else:
        cells = [_number(value(metric, scores, record), _width(metric), _digits(metric)) for metric in models]
    cells += [_number(record.seconds, 7, 2), _number(record.cpu_seconds, 7, 2)]
    cells += [_number(value(metric, scores, record), _width(metric), _digits(metric)) for metric in runs]
    cells.append(_number(None if record.peak_memory is None else record.peak_memory / 2**20, 9, 0))
    return f"{record.seed:>4} {record.status:<8}{' '.join(cells)}" + (
        _number(record.weight_distance, 6, 3) if distances else ""
    )


def _metrics(corruption: str) -> tuple[list[Metric], list[Metric]]:
    """Return the metrics of models, which stand before the seconds, and those of runs, which stand after them."""
    metrics = shown("show", corruption)
    return [each for each in metrics if each.reads == "model"], [each for each in metrics if each.reads == "run"]


def _width(metric: Metric) -> int:
    return max(6, len(metric.title) + 1)


def _digits(metric: Metric) -> int:
    return metric.digits if metric.unit_digits is None else metric.unit_digits


def _number(number: float | None, width: int, digits: int) -> str:
    return f"{NONE:>{width}}" if number is None else f"{number:>{width}.{digits}f}"
