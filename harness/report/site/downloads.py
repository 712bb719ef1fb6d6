"""What readers take with them of a track's board: files, a citation, and what has changed on which day."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version

import pandas as pd

from unlearn_bench.harness.report import board_documents, latex
from unlearn_bench.harness.report.latex import escaped
from unlearn_bench.harness.report.site import board_plots
from unlearn_bench.harness.report.site.page_data import Board, plain
from unlearn_bench.harness.results import board as boards
from unlearn_bench.harness.results.board import Results
from unlearn_bench.harness.tracks.specification import Track

FILES = {"CSV": "csv", "JSON": "json", "Parquet": "parquet", "LaTeX": "tex", "BibTeX of the methods": "bib"}
"""What a link says, and the ending of the file."""


def links(board: Board) -> list[tuple[str, str]]:
    """Return what the page of a track's board offers: a label and the file."""
    named = [(label, f"data/{board.slug}.{ending}") for label, ending in FILES.items()]
    return named + [(f"figure: {name} (SVG)", f"data/{board.slug}-{name}.svg") for name in _figures(board)]


def files(results: Results, board: Board, table: pd.DataFrame) -> dict[str, Callable[[], str | bytes]]:
    """Return what :func:`links` names, as functions that make the content."""
    references = results.references
    floor = boards.floor(references, list(results.entries.values()))
    forms: dict[str, Callable[[], str | bytes]] = {
        "csv": partial(board_documents.csv, table),
        "json": partial(board_documents.as_json, table, references.track, board.null, floor, references.provenance),
        "parquet": partial(board_documents.parquet, table),
        "tex": partial(latex.table, table, references.track),
        "bib": partial(latex.bibliography, table),
    }
    made = {f"data/{board.slug}.{ending}": forms[ending] for ending in FILES.values()}
    figures = {f"data/{board.slug}-{name}.svg": partial(_text, draw) for name, draw in _figures(board).items()}
    return made | figures


def _text(draw: Callable[[], object]) -> str:
    return f"{draw()}\n"


def citation(track: Track, table: pd.DataFrame) -> str:
    """Return a track's board as BibTeX, with the version of the benchmark, the digests and the day of the last unit."""
    date = _last_day(table)
    digests = {
        "reference": track.reference_digest,
        "protocol": track.protocol_digest,
        "analysis": track.analysis_digest,
    }
    parts = [
        f"unlearn-bench {version('unlearn-bench')}",
        f"track {track.name}",
        *(f"{kind} {digest[:12]}" for kind, digest in digests.items()),
        *([f"units up to {date}"] if date else []),
    ]
    fields = {
        "title": f"{{unlearn-bench: {escaped(track.analysis.title or track.name)}}}",
        "author": "{The unlearn-bench contributors}",
        **({"year": date[:4]} if date else {}),
        "note": f"{{{escaped(', '.join(parts))}}}",
    }
    body = ",\n".join(f"  {key} = {{{value}}}" for key, value in fields.items())
    return f"@misc{{unlearn-bench-{track.name},\n{body}\n}}"


def changes(table: pd.DataFrame) -> list[tuple[str, str]]:
    """Return which rows have their newest unit from which day, the last day first; of many, the first and how many."""
    dated = table[table["date"].notna() & (table["date"] != "")]
    days = dated.groupby("date", sort=True)["entry"].agg(lambda names: _named(sorted(map(str, names))))
    return [(plain(day), plain(names)) for day, names in reversed(list(days.items()))]


def _named(names: list[str]) -> str:
    more = len(names) - board_plots.MOST
    return ", ".join(names[: board_plots.MOST]) + (f" and {more} more" if more > 0 else "")


def _last_day(table: pd.DataFrame) -> str:
    return max((str(day) for day in table["date"].dropna() if day), default="")


def _figures(board: Board) -> dict[str, Callable[[], object]]:
    """Return the plots of a board that stand for themselves, by name; those that it has nothing for are left out."""
    plots: dict[str, Callable[[], object]] = {
        "trade-off": partial(board_plots.trade_off, board, True),
        "seeds": partial(board_plots.strips, board, True),
    }
    if board_plots.attacked_rows(board):
        rows = board_plots.attacked_rows(board)
        plots["ulira"] = partial(board_plots.ulira, rows, board.null, f"U-LiRA on {board.title}", True)
    return {name: draw for name, draw in plots.items() if draw() is not None}
