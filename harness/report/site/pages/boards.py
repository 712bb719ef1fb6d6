"""One page per board: of each track, and of several tracks together; the first one is the start page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from markupsafe import Markup

from unlearn_bench.harness.report.site import board_plots, downloads, table_heads
from unlearn_bench.harness.report.site.contract import Page, Site
from unlearn_bench.harness.report.site.page_data import Board
from unlearn_bench.harness.report.site.templating import render
from unlearn_bench.harness.report.verdicts import REACHES_ORIGINAL
from unlearn_bench.scoring.metric_table import ranked, titles


@dataclass(frozen=True)
class Link:
    """A board in the list of boards."""

    slug: str
    label: str
    file: str


@dataclass(frozen=True)
class Facet:
    """A field by which rows can be filtered."""

    name: str
    values: Sequence[str]
    """Of every row."""

    @property
    def label(self) -> str:
        """What people call it."""
        return self.name.capitalize()

    @property
    def choices(self) -> list[str]:
        """Its different values."""
        return sorted(set(self.values) - {""})

    @property
    def usual(self) -> str:
        """The value of most rows, which do not have to state it."""
        return Counter(self.values).most_common(1)[0][0] if self.values else ""


def pages(site: Site) -> Iterator[Page]:
    """Yield the page of every board."""
    menu = _menu(site)
    for board in site.boards:
        yield site.board_files[board.slug], partial(_page, site, board, menu)


def _page(site: Site, board: Board, menu: object) -> str:
    content = _board(board, menu)
    if board.single:
        results = next(each for each in site.tracks if each.references.track.name == board.tracks[0])
        table = site.tables[board.tracks[0]]
        content |= {
            "downloads": downloads.links(board),
            "citation": downloads.citation(results.references.track, table),
            "changes": downloads.changes(table),
        }
    return render(site, "board.html", **content)


def _menu(site: Site) -> list[tuple[str, list[Link]]]:
    def label(board: Board) -> str:
        return board.tracks[0] if board.single else board.title

    families = groupby(site.boards, key=lambda board: board.family)
    return [
        (family, [Link(b.slug, label(b), site.board_files[b.slug]) for b in members]) for family, members in families
    ]


def _board(board: Board, menu: object) -> dict[str, Any]:
    drawn: list[tuple[str, str, Markup | None]] = [
        (
            "Retention against forgetting",
            "Lower left is best. The area of a point is the speed-up over retraining; dashed: the Pareto front of the "
            "methods with a position; red: reference rows.",
            board_plots.trade_off(board),
        )
    ]
    if board.attacked and "ulira" in board.null:
        rows = board_plots.attacked_rows(board)
        words = (
            "Accuracy of telling forgotten from never seen examples: .5 is chance; shaded: 95 % of perfect unlearners."
        )
        title = "U-LiRA’s accuracy per method"
        drawn.append(("U-LiRA", words, board_plots.ulira(rows, board.null, title) if rows else None))
    drawn += [
        ("Seeds", "Every seed of every method: how far the mean can be relied on.", board_plots.strips(board)),
        ("Groups", "G1 is best, F failed; one column per track and metric.", board_plots.group_map(board)),
    ]
    facets = [Facet(name, board.values(name)) for name in ("badge", "state", *(("hardware",) if board.single else ()))]
    columns = table_heads.board_columns(board)
    constant = table_heads.folded(board, columns)
    return {
        "board": board,
        "menu": menu,
        "downloads": (),
        "citation": "",
        "changes": (),
        "columns": [column for column in columns if column.key not in constant],
        "constant": [(column.label, constant[column.key]) for column in columns if column.key in constant],
        "over": titles(ranked()),
        "reaches": REACHES_ORIGINAL,
        "facets": [facet for facet in facets if len(facet.choices) > 1],
        "plots": [(heading, words, svg) for heading, words, svg in drawn if svg is not None],
    }
