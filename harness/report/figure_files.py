"""``bench leaderboard --figures``: every plot as PDF and SVG, with the same bytes for the same store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unlearn_bench.harness.report import figures
from unlearn_bench.harness.report.site import entry_data
from unlearn_bench.harness.report.site.page_data import slug
from unlearn_bench.harness.results import board, curves, relearning
from unlearn_bench.harness.results.board import Results
from unlearn_bench.harness.results.board_entries import REFERENCES
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.scoring.metric_table import by_weight

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

Figure = tuple[str, Callable[[], "Axes"]]
"""Its path without the ending, and what draws it."""
STYLE: dict[Any, Any] = {
    "svg.hashsalt": "unlearn-bench",
    "svg.fonttype": "none",
    "pdf.fonttype": 42,
    "savefig.dpi": 100,
}
"""Text stays text, which a paper's editor can change."""


def write(planned: Sequence[Figure], folder: Path, step: Callable[[], None]) -> None:
    """Write figures as PATH.pdf and PATH.svg.

    Args:
        planned: what :func:`plan` returned.
        folder: where the files go.
        step: called after every figure.

    Raises:
        BenchError: matplotlib is not installed.
    """
    try:
        import matplotlib
    except ModuleNotFoundError:
        remedy = "pip install 'unlearn-bench[plot]'"
        raise BenchError("--figures needs matplotlib", "this machine", remedy, EXIT_CODES["infra"]) from None
    from matplotlib import pyplot

    with matplotlib.rc_context(STYLE):
        pyplot.switch_backend("agg")
        for name, draw in planned:
            figure = draw().get_figure(root=True)
            assert figure is not None
            for ending, date in (("pdf", "CreationDate"), ("svg", "Date")):
                path = folder / f"{name}.{ending}"
                path.parent.mkdir(parents=True, exist_ok=True)
                figure.savefig(path, metadata={date: None})
            pyplot.close(figure)
            step()


def plan(tracks: Sequence[Results], public: bool) -> list[Figure]:
    """Return the figures of tracks: TRACK/PLOT, TRACK/entries/ENTRY-PLOT, and of several tracks all/groups.

    Plots for which nothing is stored are left out.

    Args:
        tracks: what their stores hold.
        public: rank only rows whose units come from trusted back ends.
    """
    return list(_planned(tracks, public))


def _planned(tracks: Sequence[Results], public: bool) -> Iterator[Figure]:
    boards = {results.references.track.name: board.board(results.references, public, results) for results in tracks}
    for results in tracks:
        track = results.references.track
        yield from _of_board(results, f"{slug(track.name)}/", boards[track.name])
        if not track.sealed:  # a sealed track shows nothing of a single unit
            yield from _of_entries(results, f"{slug(track.name)}/entries/")
    if len(tracks) > 1 and any(_grouped(table) for table in boards.values()):
        yield "all/groups", partial(figures.groups, boards)


def _of_board(results: Results, place: str, table: pd.DataFrame) -> Iterator[Figure]:
    track = results.references.track
    if (table["position"].notna() & table["retdev"].notna() & table["forgetting"].notna()).any():
        yield f"{place}trade-off", partial(figures.trade_off, table)
    if figures.ulira_rows(table):
        null = board.null(results.references, list(results.entries.values()))
        yield f"{place}ulira", partial(figures.ulira, table, null)
    if not track.sealed:
        for metric in by_weight():
            if metric.spread and results.rows[metric.name].notna().any():
                yield f"{place}seeds-{metric.name}", partial(figures.seeds, results.rows, metric.name)
    regained = relearning.curves(results.references, results.entries)
    if regained.keys() - REFERENCES.keys():
        yield f"{place}relearning", partial(figures.relearning, regained)
    if _grouped(table):
        yield f"{place}groups", partial(figures.groups, table)


def _of_entries(results: Results, place: str) -> Iterator[Figure]:
    reference_curves = entry_data.references(results)
    for name, entry in results.entries.items():
        records = [record for _, record in sorted(entry.records.items())]
        own = None if entry.kind == "reference" else curves.entry_curves(results.references, records)
        if own is not None:
            if found_shares := results.shares(name):
                yield f"{place}{slug(name)}-panel", partial(figures.panel, found_shares)
            yield f"{place}{slug(name)}-losses", partial(figures.losses, own)
            yield f"{place}{slug(name)}-roc", partial(figures.roc, {"own": own, **reference_curves})


def _grouped(table: pd.DataFrame) -> bool:
    columns = [column for column in table.columns if column.startswith("group_")]
    return bool(table[columns].notna().any().any())
