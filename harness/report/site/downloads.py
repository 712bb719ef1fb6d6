"""What readers take with them of a track's board: files, a citation, and what has changed on which day."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import pandas as pd

from unlearn_bench.harness.report.board_files import board_file
from unlearn_bench.harness.report.latex import escaped
from unlearn_bench.harness.report.site import board_plots
from unlearn_bench.harness.report.site.page_data import Board, plain
from unlearn_bench.harness.results import board as boards
from unlearn_bench.harness.results.board import Results
from unlearn_bench.harness.tracks.specification import Track

FORMS = (("CSV", "csv", "csv"), ("JSON", "json", "json"), ("Parquet", "parquet", "parquet"), ("LaTeX", "latex", "tex"))
"""What a link says, the form of ``bench leaderboard``, and the ending of the file."""


@dataclass(frozen=True)
class _TrackBoard:
    """A board as ``board_file`` wants it."""

    track: Track
    rows: pd.DataFrame
    null: Mapping[str, float]
    floor: float | None
    provenance: str


def links(board: Board) -> list[tuple[str, str]]:
    """Return what the page of a track's board offers: a label and the file."""
    named = [(label, f"data/{board.slug}.{ending}") for label, _, ending in FORMS]
    named.append(("BibTeX of the methods", f"data/{board.slug}.bib"))
    return named + [(f"figure: {name} (SVG)", f"data/{board.slug}-{name}.svg") for name in _figures(board)]


def files(results: Results, board: Board, table: pd.DataFrame) -> dict[str, Callable[[], str | bytes]]:
    """Return what :func:`links` names, as functions that make the content."""
    entries = list(results.entries.values())
    floor = boards.floor(results.references, entries)
    whole = _TrackBoard(results.references.track, table, board.null, floor, results.references.provenance)
    made: dict[str, Callable[[], str | bytes]] = {}
    for _, form, ending in (*FORMS, ("", "bibtex", "bib")):
        made[f"data/{board.slug}.{ending}"] = partial(board_file, whole, form)
    for name, draw in _figures(board).items():
        made[f"data/{board.slug}-{name}.svg"] = partial(lambda picture: f"{picture()}\n", draw)
    return made


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
    """Return which rows have their newest unit from which day, the last day first."""
    dated = table[table["date"].notna() & (table["date"] != "")]
    days = dated.groupby("date", sort=True)["entry"].agg(lambda names: ", ".join(sorted(map(str, names))))
    return [(plain(day), plain(names)) for day, names in reversed(list(days.items()))]


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
