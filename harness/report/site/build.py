"""Builds the site: static files that open from a disk, the same bytes for the same store."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import ModuleType

from unlearn_bench.harness.report.site import board_data, pages
from unlearn_bench.harness.report.site.contract import INDEX, Page, Rows, Site
from unlearn_bench.harness.report.site.page_data import slug
from unlearn_bench.harness.results.board import Results
from unlearn_bench.harness.support.parallel import side_by_side

STATIC = Path(__file__).with_name("static")
CHUNK = 64
"""The most pages that a worker makes at a time."""


def build(
    tracks: Sequence[Results], out: Path, public: bool = False, step: Callable[[int], None] = lambda done: None
) -> int:
    """Write the site of these tracks into a folder; returns the number of pages.

    Pages are made side by side. Files of an earlier build that are not written again stay. ``step`` is told how many
    entry pages are done.

    Raises:
        ValueError: a module of ``site/pages`` breaks the contract; names it.
    """
    modules = _modules()
    site = _site(tracks, public, [module.LINK for module in modules if hasattr(module, "LINK")])
    for path in sorted(STATIC.iterdir()):
        _write(out / "static" / path.name, path.read_text(encoding="utf-8"))
    done = entries = 0
    for names in side_by_side(lambda some: _write_pages(out, some), _chunks(_planned(modules, site))):
        done += len(names)
        entries += sum(name.startswith("entries/") for name in names)
        step(entries)
    return done


def _modules() -> list[ModuleType]:
    """Import the modules of ``site/pages``, in the order of their names."""
    names = sorted(module.name for module in pkgutil.iter_modules(pages.__path__))
    modules = [importlib.import_module(f"{pages.__name__}.{name}") for name in names]
    for module in modules:
        if not callable(getattr(module, "pages", None)):
            raise ValueError(f"{module.__file__} must define pages(site), see harness/report/site/contract.py")
    return modules


def _planned(modules: Iterable[ModuleType], site: Site) -> list[Page]:
    """All pages, none of which has the file of another one."""
    planned: list[Page] = []
    makers: dict[str, ModuleType] = {}
    for module in modules:
        for name, make in module.pages(site):
            if name in makers:
                raise ValueError(f"{makers[name].__file__} and {module.__file__} both make {name}")
            makers[name] = module
            planned.append((name, make))
    return planned


def _chunks(planned: Sequence[Page]) -> list[Sequence[Page]]:
    """Neighbouring pages, few enough for all cores to be busy until the end."""
    size = max(1, min(CHUNK, len(planned) // (8 * len(os.sched_getaffinity(0)))))
    return [planned[start : start + size] for start in range(0, len(planned), size)]


def _write_pages(out: Path, some: Iterable[Page]) -> list[str]:
    """Make pages; returns the names of their files."""
    names = []
    for name, make in some:
        _write(out / name, make())
        names.append(name)
    return names


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", newline="\n")


def _site(tracks: Sequence[Results], public: bool, links: Sequence[tuple[str, str]]) -> Site:
    boards, tables = board_data.boards(tracks, public)
    boards_of_one = {board.tracks[0]: board for board in boards if board.single}
    rows: dict[str, Rows] = {}
    entry_files: dict[str, dict[str, str]] = {}
    for results in tracks:
        track = results.references.track.name
        pairs = zip(boards_of_one[track].rows, tables[track].to_dict("records"), strict=True)
        rows[track] = {name: pair for pair in pairs if (name := str(pair[1]["entry"])) in results.entries}
        for name in rows[track]:
            entry_files.setdefault(name, {})[track] = f"entries/{slug(track)}/{slug(name)}.html"
    board_files = {board.slug: INDEX if board is boards[0] else f"{board.slug}.html" for board in boards}
    return Site(tracks, boards, rows, tables, board_files, entry_files, links)
