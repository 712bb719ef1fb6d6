"""The start page: every track as a card, and what all methods reach on all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from unlearn_bench.harness.entries.entry import baseline_names
from unlearn_bench.harness.report.site.contract import INDEX, Page, Site
from unlearn_bench.harness.report.site.page_data import Board, Row
from unlearn_bench.harness.report.site.templating import render
from unlearn_bench.scoring.group_membership import FORGETTING

MOST = 200
"""Methods in the table of all tracks; baselines that come later are in it as well."""


@dataclass(frozen=True)
class MatrixCell:
    """What a method reaches on a track."""

    file: str
    position: str
    letter: str
    """Its group of Forgetting; empty where it has none."""
    words: str


@dataclass(frozen=True)
class MatrixRow:
    """A method and its cells by track; a cell is ``None`` where it has not run."""

    row: Row
    cells: tuple[MatrixCell | None, ...]

    @property
    def baseline(self) -> bool:
        """Whether it ships with the benchmark."""
        return self.row.name in baseline_names()


def pages(site: Site) -> Iterator[Page]:
    """Yield the one start page."""
    yield INDEX, lambda: _page(site)


def _page(site: Site) -> str:
    cards = [board for board in site.boards if board.single]
    matrix = _matrix(cards)
    return render(
        site,
        "landing.html",
        cards=[(board, site.board_files[board.slug], dict(board.facts)) for board in cards],
        several=[(board, site.board_files[board.slug]) for board in site.boards if not board.single],
        matrix=matrix[:MOST] + [each for each in matrix[MOST:] if each.baseline],
        left_out=sum(not each.baseline for each in matrix[MOST:]),
        methods=len({row.name for board in cards for row in board.rows if row.part != "reference"}),
    )


def _matrix(cards: list[Board]) -> list[MatrixRow]:
    """Return the methods with a place on most tracks first, then by their mean place."""
    by_track = [{row.name: row for row in board.rows if row.part != "reference"} for board in cards]
    names = {name: row for rows in reversed(by_track) for name, row in rows.items()}
    made = [MatrixRow(row, tuple(_cell(rows.get(name)) for rows in by_track)) for name, row in names.items()]
    return sorted(made, key=lambda each: _order(each.row.name, by_track))


def _order(name: str, by_track: Sequence[Mapping[str, Row]]) -> tuple[int, float, str]:
    places = [(p.first + p.last) / 2 for rows in by_track if name in rows and (p := rows[name].position) is not None]
    return (-len(places), sum(places) / len(places) if places else 0.0, name)


def _cell(row: Row | None) -> MatrixCell | None:
    if row is None:
        return None
    letter = "F" if row.leaks else row.groups.get(FORGETTING, "")
    return MatrixCell(row.link, str(row.position) if row.position else "–", letter, row.verdict)
