"""A board in each of the forms of ``bench leaderboard``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pandas as pd

from unlearn_bench.harness.report import board_documents, latex, overall_document, overall_text, terminal_board
from unlearn_bench.harness.report.site import board_plots
from unlearn_bench.harness.report.text_table import PLAIN, Look
from unlearn_bench.harness.results.paper_comparison import PaperComparison
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks.specification import Track


class RankedBoard(Protocol):
    """What the forms show of a board."""

    @property
    def track(self) -> Track:
        """The track of the board."""

    @property
    def rows(self) -> pd.DataFrame:
        """The ranked board."""

    @property
    def null(self) -> Mapping[str, float]:
        """What a second retrained model scores."""

    @property
    def floor(self) -> float | None:
        """Seconds of a unit that changes nothing, where they are known."""

    @property
    def provenance(self) -> str:
        """Who trained imported reference models; empty where the benchmark did."""


def board_file(board: RankedBoard, form: str, look: Look = PLAIN) -> bytes:
    """Return a board in one of the forms of ``bench leaderboard`` that are a single file; a table has this ``look``.

    Raises:
        BenchError: a plot of U-LiRA where no entry has run it.
    """
    if form == "parquet":
        return board_documents.parquet(board.rows)
    if form == "csv":
        return board_documents.csv(board.rows).encode()
    if form == "ulira":
        return f"{_plot(board)}\n".encode()
    if form == "json":
        text = board_documents.as_json(board.rows, board.track, board.null, board.floor, board.provenance)
    elif form == "markdown":
        text = board_documents.markdown(board.rows)
    elif form == "latex":
        text = latex.table(board.rows, board.track)
    elif form == "bibtex":
        text = latex.bibliography(board.rows)
    else:
        text = terminal_board.table(board.rows, board.track, board.null, board.floor, board.provenance, look)
    return f"{text}\n".encode()


class BoardOverTracks(Protocol):
    """What the forms show of a board over several tracks."""

    @property
    def rows(self) -> pd.DataFrame:
        """The ranked board."""

    @property
    def comparison(self) -> PaperComparison:
        """The paper's tables beside ours."""


def overall_file(board: BoardOverTracks, form: str) -> bytes:
    """Return a board over several tracks as ``table`` or ``json``."""
    make = overall_document.as_json if form == "json" else overall_text.table
    return f"{make(board.rows, board.comparison)}\n".encode()


def _plot(board: RankedBoard) -> str:
    if board.rows["ulira"].isna().all():
        what = f"no entry has run U-LiRA on {board.track.name}"
        remedy = f"run `bench baselines --lira --track {board.track.name}`, or submit with --lira"
        raise BenchError(what, "your command", remedy, USAGE)
    title = f"U-LiRA on {board.track.analysis.title}"
    return str(board_plots.ulira(board_plots.ulira_rows(board.rows), board.null, title, standalone=True))
