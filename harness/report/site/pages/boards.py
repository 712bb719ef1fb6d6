"""One page per board: of each track, and of several tracks together; the first one is the start page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any

from markupsafe import Markup

from unlearn_bench.harness.report.site import board_plots, table_heads
from unlearn_bench.harness.report.site.contract import Page, Site
from unlearn_bench.harness.report.site.page_data import Board, Number
from unlearn_bench.harness.report.site.templating import render
from unlearn_bench.harness.results.badges import DISQUALIFIED, INCONSISTENT
from unlearn_bench.scoring.metric_table import ranked, titles


@dataclass(frozen=True)
class Link:
    """A board in the list of boards."""

    slug: str
    label: str
    file: str


def pages(site: Site) -> Iterator[Page]:
    """Yield the page of every board."""
    menu = _menu(site)
    for board in site.boards:
        yield site.board_files[board.slug], partial(_page, site, board, menu)


def _page(site: Site, board: Board, menu: object) -> str:
    return render(site, "board.html", **_board(board, menu))


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
        rows = [
            (row.name, row.part == "reference", *_triple(row.values["ulira"]))
            for row in board.rows
            if "ulira" in row.values and row.state not in (DISQUALIFIED, INCONSISTENT)
        ]
        words = (
            "Accuracy of telling forgotten from never seen examples: .5 is chance; shaded: 95 % of perfect unlearners."
        )
        title = "U-LiRA’s accuracy per method"
        drawn.append(("U-LiRA", words, board_plots.ulira(rows, board.null, title) if rows else None))
    drawn += [
        ("Seeds", "Every seed of every method: how far the mean can be relied on.", board_plots.strips(board)),
        ("Groups", "G1 is best, F failed; one column per track and metric.", board_plots.group_map(board)),
    ]
    facets = [("badge", "Badge", board.choices("badge")), ("state", "State", board.choices("state"))]
    if board.single:
        facets.append(("hardware", "Hardware", board.choices("hardware")))
    return {
        "board": board,
        "menu": menu,
        "heads": table_heads.board_heads(board.single, board.attacked, board.corruption),
        "metrics": table_heads.board_metrics(board.single, board.attacked, board.corruption),
        "ranked": ranked(),
        "over": titles(ranked()),
        "facets": facets,
        "plots": [(heading, words, svg) for heading, words, svg in drawn if svg is not None],
    }


def _triple(number: Number) -> tuple[float, float, float]:
    return number.mean, number.low, number.high
