"""Builds the pages: static files that open from a disk, the same bytes for the same store."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from unlearn_bench.harness.report.site import entry_pages, entry_plots, gather, headings, plots
from unlearn_bench.harness.report.site.model import Board, Number, Page, slug
from unlearn_bench.harness.results.badges import DISQUALIFIED
from unlearn_bench.harness.results.board import Results
from unlearn_bench.harness.support.parallel import side_by_side
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.metric_table import ranked, titles

HERE = Path(__file__).parent
RULES = HERE.parents[2] / "submissions" / "RULES.md"
INDEX = "index.html"
CHUNK = 64
"""Entry pages that a worker makes at a time."""


@dataclass(frozen=True)
class Link:
    """A board in the list of boards."""

    slug: str
    label: str
    file: str


@dataclass(frozen=True)
class Site:
    """What all pages are made from."""

    tracks: Sequence[Results]
    boards: Sequence[Board]
    rows: Mapping[str, entry_pages.Rows]
    """Rows of each track's own board."""
    where: Mapping[str, str]
    """Slug of a board → its file."""
    homes: Mapping[str, Mapping[str, str]]
    """Entry → track → file of its page."""


def build(
    tracks: Sequence[Results], out: Path, public: bool = False, step: Callable[[int], None] = lambda done: None
) -> int:
    """Write the site of these tracks into a folder; returns the number of pages.

    Pages are made side by side. Files of an earlier build that are not written again stay. ``step`` is told how many
    entry pages are done.
    """
    site = _site(tracks, public)
    count = _write(out, _static_files())
    menu = _menu(site.boards, site.where)
    count += sum(side_by_side(lambda board: _write(out, _board_files(site, board, menu)), site.boards))
    work = [
        (track, list(site.rows[one.references.track.name])[start : start + CHUNK])
        for track, one in enumerate(tracks)
        for start in range(0, len(site.rows[one.references.track.name]), CHUNK)
    ]
    done = 0
    for pages in side_by_side(lambda part: _write(out, _entry_files(site, *part)), work):
        done += pages
        step(done)
    return count + done


def files(tracks: Sequence[Results], public: bool = False) -> Iterator[tuple[str, str]]:
    """Name and content of every file of the site."""
    site = _site(tracks, public)
    yield from _static_files()
    for board in site.boards:
        yield from _board_files(site, board, _menu(site.boards, site.where))
    for track, one in enumerate(tracks):
        yield from _entry_files(site, track, list(site.rows[one.references.track.name]))


def _write(out: Path, content: Iterable[tuple[str, str]]) -> int:
    """Write files; returns how many of them are pages."""
    count = 0
    for name, text in content:
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", newline="\n")
        count += path.suffix == ".html"
    return count


def _site(tracks: Sequence[Results], public: bool) -> Site:
    boards, tables = gather.boards(tracks, public)
    own = {board.tracks[0]: board for board in boards if board.single}
    rows: dict[str, entry_pages.Rows] = {}
    homes: dict[str, dict[str, str]] = {}
    for one in tracks:
        track = one.references.track.name
        values = tables[track].to_dict("records")
        pairs = zip(own[track].rows, values, strict=True)
        rows[track] = {name: pair for pair in pairs if (name := str(pair[1]["entry"])) in one.candidates}
        for name in rows[track]:
            homes.setdefault(name, {})[track] = f"entries/{slug(track)}/{slug(name)}.html"
    where = {board.slug: INDEX if board is boards[0] else f"{board.slug}.html" for board in boards}
    return Site(tracks, boards, rows, where, homes)


def _static_files() -> Iterator[tuple[str, str]]:
    for path in sorted((HERE / "static").iterdir()):
        yield f"static/{path.name}", path.read_text(encoding="utf-8")
    yield "rules.html", _environment().get_template("rules.html").render(root="", ranking=_ranking(), **_rules())


def _board_files(site: Site, board: Board, menu: object) -> Iterator[tuple[str, str]]:
    yield site.where[board.slug], _environment().get_template("board.html").render(_board(board, menu))


def _entry_files(site: Site, track: int, names: Sequence[str]) -> Iterator[tuple[str, str]]:
    found = site.tracks[track]
    own = found.references.track.name
    template = _environment().get_template("entry.html")
    ranked = sum(row.part == "ranked" for row, _ in site.rows[own].values())
    known = entry_pages.references(found)
    for name in names:
        page = entry_pages.page(found, name, *site.rows[own][name], known)
        elsewhere = [(other, link) for other, link in site.homes[name].items() if other != own]
        yield site.homes[name][own], template.render(_page(page, site.where[page.board], ranked, elsewhere))


def _menu(boards: Sequence[Board], where: Mapping[str, str]) -> list[tuple[str, list[Link]]]:
    def label(board: Board) -> str:
        return board.tracks[0] if board.single else board.title

    families = groupby(boards, key=lambda board: board.family)
    return [(family, [Link(b.slug, label(b), where[b.slug]) for b in some]) for family, some in families]


def _board(board: Board, menu: object) -> dict[str, Any]:
    drawn: list[tuple[str, str, Markup | None]] = [
        (
            "Retention against indiscernibility",
            "Upper left is best. The area of a point is the speed-up over retraining; dashed: the Pareto front of the "
            "ranked methods; red: reference rows.",
            plots.trade_off(board),
        )
    ]
    if board.attacked and "ulira" in board.null:
        rows = [
            (row.name, row.part == "reference", *_triple(row.values["ulira"]))
            for row in board.rows
            if "ulira" in row.values and row.state != DISQUALIFIED
        ]
        words = (
            "Accuracy of telling forgotten from never seen examples: .5 is chance; shaded: what retrained models read."
        )
        drawn.append(("U-LiRA", words, plots.ulira(rows, board.null, "U-LiRA’s accuracy per method") if rows else None))
    drawn += [
        ("Seeds", "Every seed of every method: how far the mean can be relied on.", plots.strips(board)),
        ("Groups", "G1 is best, F failed; one column per track and metric.", plots.group_map(board)),
    ]
    facets = [("badge", "Badge", board.choices("badge")), ("state", "State", board.choices("state"))]
    if board.single:
        facets.append(("hardware", "Hardware", board.choices("hardware")))
    return {
        "root": "",
        "board": board,
        "menu": menu,
        "heads": headings.board_heads(board.single, board.attacked),
        "metrics": headings.board_metrics(board.single, board.attacked),
        "ranked": ranked(),
        "over": titles(ranked()),
        "facets": facets,
        "plots": [(heading, words, svg) for heading, words, svg in drawn if svg is not None],
    }


def _triple(number: Number) -> tuple[float, float, float]:
    return number.mean, number.low, number.high


def _page(page: Page, board_file: str, ranked: int, elsewhere: Sequence[tuple[str, str]]) -> dict[str, Any]:
    drawn = []
    if page.curves:
        words = "Pooled over the seeds: after perfect unlearning both look the same."
        drawn.append(("Losses on F and T", words, entry_plots.losses(page.curves["own"])))
        words = "The attack takes small losses for forgotten ones; dotted: chance."
        drawn.append(("ROC of U-MIA", words, entry_plots.roc(page.curves)))
    tables = (
        ("Entry", page.metadata),
        ("Digests", page.digests),
        ("Search", page.search),
        ("Environment", page.environment),
    )
    return {
        "root": "../../",
        "page": page,
        "board_file": board_file,
        "ranked": ranked,
        "elsewhere": elsewhere,
        "plots": drawn,
        "tables": tables,
        "seed_columns": headings.unit_columns(),
    }


def _ranking() -> tuple[str, str]:
    over = titles(ranked())
    return (
        "Per track and metric the shipped baselines are clustered into three groups by their means over the seeds "
        "(Ward’s method on the line; RTE on a log scale). Half-way between the clusters lie the cut points between G1, "
        "G2 and G3. Every other entry falls between fixed cut points, so that no submission moves another’s group. A "
        "method is F unless all of its seeds end ok and its models are usable: a mean RA of at least 1.5 / classes and "
        "of half of Retrain’s.",
        "The rank counts memberships over metrics and tracks and sorts by G1, then G2, then G3, all descending; "
        "methods with equal counts share a rank, and stand in the order of RetDev + 1 − Indisc. There are two ranks: "
        f"over {over}, and with U-LiRA as a fourth metric among the methods that ran it. The range of a rank covers "
        "95 % of 500 resamples of the seeds.",
    )


def _rules() -> dict[str, Any]:
    """The rules' file as plain text by sections: its marks of emphasis are left out."""
    intro, *parts = re.split(r"^## ", RULES.read_text(encoding="utf-8"), flags=re.MULTILINE)
    sections = []
    for part in parts:
        title, _, body = part.partition("\n")
        found = re.findall(r"^(\d+)\. (.*?)(?=^\d+\. |\Z)", body, flags=re.MULTILINE | re.DOTALL)
        sections.append((title.strip(), int(found[0][0]), [_unmarked(text) for _, text in found]))
    return {"intro": _unmarked(intro.partition("\n")[2]), "sections": sections}


def _unmarked(text: str) -> str:
    return " ".join(re.sub(r"[*`]", "", text).split())


@cache
def _environment() -> jinja2.Environment:
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {"fixed": _fixed, "interval": _interval, "sig": _sig, "order": _order}
    return found


def _fixed(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _interval(number: Number, metric: Metric) -> str:
    """``0.079 ± 0.034``; of a ratio and of an accuracy with an interval of its own the two ends."""
    digits = metric.digits
    ends = f"{number.low:.{digits}f}–{number.high:.{digits}f}"
    if metric.ratio:
        return f"{number.mean:.{digits}f}×" + (f" ({ends})" if number.half else "")
    if metric.reads == "shadows":
        return f"{number.mean:.{digits}f} ({ends})"
    return f"{number.mean:.{digits}f}" + (f" ± {number.half:.{digits}f}" if number.half else "")


def _sig(value: float) -> str:
    return f"{value:.6g}"


def _order(counts: tuple[int, ...]) -> int:
    """One number that orders counts of G1, then G2, then G3."""
    return counts[0] * 10_000 + counts[1] * 100 + counts[2]
