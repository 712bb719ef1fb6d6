"""Tables 1 and 2 and Figure 1 of the paper, from the boards of the site and as published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup

from unlearn_bench.harness.report.cells import NONE
from unlearn_bench.harness.report.overall_text import rank_and_counts
from unlearn_bench.harness.report.paper_sentences import sentences, tau
from unlearn_bench.harness.report.site import board_plots
from unlearn_bench.harness.report.site.contract import Page, Site
from unlearn_bench.harness.report.site.templating import render
from unlearn_bench.harness.report.wording import counted
from unlearn_bench.harness.results.paper_comparison import COLUMNS, METRICS, PaperComparison, compare
from unlearn_bench.harness.results.track_boards import TrackBoard
from unlearn_bench.scoring.board import LETTERS
from unlearn_bench.scoring.metric_table import metric_named

LINK = ("paper.html", "Beside the paper")
EM_SPACE = "\u2003"
FIGURE = (
    "Accuracy of U-LiRA, forgotten against never seen: .5 is chance; shaded: 95 % of perfect unlearners. The "
    "paper prints no numbers beside its figure."
)


@dataclass(frozen=True)
class Table:
    """One table of the page."""

    title: str
    words: str
    heads: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    """The first cell of a row, and the others."""


def pages(site: Site) -> Iterator[Page]:
    """Yield the one page."""
    yield LINK[0], lambda: _page(site)


def _page(site: Site) -> str:
    comparison = compare(_boards(site))
    return render(
        site,
        "paper.html",
        tracks=[each.name for each in comparison.boards],
        sentences=sentences(comparison),
        tables=[_agreement(comparison), _groups(comparison), _speeds(comparison)],
        figures=list(_figures(comparison.boards)),
        entries={name: next(iter(files.values())) for name, files in site.entry_files.items()},
    )


def _boards(site: Site) -> list[TrackBoard]:
    """Return the boards of one access tier, the full one where there is any."""
    tiers = [results.references.track.protocol.tier for results in site.tracks]
    tier = "full" if "full" in tiers else tiers[0]
    nulls = {board.tracks[0]: board.null for board in site.boards if board.single}
    boards = []
    for results in site.tracks:
        track = results.references.track
        if track.protocol.tier == tier:
            boards.append(TrackBoard(results, site.tables[track.name].set_index("entry"), nulls[track.name]))
    return boards


def _agreement(comparison: PaperComparison) -> Table:
    return Table(
        "How far the order of the methods agrees",
        "Kendall’s τ between the order here and as published, with its 95 % interval over resamples of the methods: 1 "
        "is the same order, 0 no relation. Paper: its ranks over nine settings (for Forgetting, which it lacks, by "
        "Indisc), and its Table 2 for RTE. Replication: means of an independent replication on CIFAR-10 with ResNet18.",
        ["Setting", *(f"{metric_named(metric).title}, {source}" for metric, source in COLUMNS)],
        [(setting, [tau(found.get(column)) for column in COLUMNS]) for setting, found in comparison.agreements.items()],
    )


def _groups(comparison: PaperComparison) -> Table:
    heads, tables = [], []
    for metric in METRICS:
        for where, counts in (("", comparison.counts[metric]), (", paper", comparison.published.counts.get(metric))):
            if counts is not None:
                heads.append(f"{metric_named(metric).title}{where}")
                tables.append(counts)
    return Table(
        "Table 1: groups over settings",
        f"Rank, and on how many settings a method is in {' · '.join(LETTERS)}: here of "
        f"{counted(len(comparison.boards), 'track')}, in the paper of nine settings. F: a model that failed or cannot "
        "be used. A method without a group on some track has no rank.",
        ["Method", *heads],
        [
            (method, [rank_and_counts(counts, method).replace("  ", EM_SPACE) for counts in tables])
            for method in comparison.published.methods
        ],
    )


def _speeds(comparison: PaperComparison) -> Table:
    speeds = comparison.speed.join(comparison.published.speed.add_suffix(", paper"))
    return Table(
        "Table 2: RTE on ResNets",
        "How many times faster than retraining, per data set, and the mean over these.",
        ["Method", *map(str, speeds.columns)],
        [
            (str(method), [NONE if pd.isna(value) else f"{value:.1f}×" for value in row])
            for method, row in speeds.iterrows()
        ],
    )


def _figures(boards: Sequence[TrackBoard]) -> Iterator[tuple[str, str, Markup]]:
    for board in boards:
        rows = board_plots.ulira_rows(board.rows.reset_index())
        if rows and "ulira" in board.null:
            title = f"U-LiRA’s accuracy per method on {board.name}"
            yield f"Figure 1 on {board.name}", FIGURE, board_plots.ulira(rows, board.null, title)
