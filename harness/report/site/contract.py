"""What a module of ``site/pages`` is given, and what it defines.

* ``pages(site)`` yields each page as the name of its file, relative to the site, and a function without arguments that
  returns its HTML. Pages are made side by side in copies of this process, so what the functions share should be made
  when the first of them is called.
* ``LINK``, optional: the name of one of its files and a title. Every page of the site then links it in its head.

``site.templating`` fills templates of the folder ``site/templates`` and templates that stand in the module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from unlearn_bench.harness.report.site.page_data import Board, Row
from unlearn_bench.harness.results.board import Results

Page = tuple[str, Callable[[], str]]
"""Name of the file, and what makes its HTML."""
Pages = Callable[["Site"], Iterable[Page]]
Rows = Mapping[str, tuple[Row, Mapping[Any, Any]]]
"""Entry → its row, as on the page and as in the table of the board."""
INDEX = "index.html"


@dataclass(frozen=True)
class Site:
    """What all pages are made from."""

    tracks: Sequence[Results]
    boards: Sequence[Board]
    """The first one is the start page."""
    rows: Mapping[str, Rows]
    """Track → rows of its own board that have an entry page."""
    tables: Mapping[str, pd.DataFrame]
    """Track → the table of its board, see :func:`harness.results.board.board`."""
    board_files: Mapping[str, str]
    """Slug of a board → its file."""
    entry_files: Mapping[str, Mapping[str, str]]
    """Entry → track → file of its page."""
    links: Sequence[tuple[str, str]] = ()
    """File and title of the pages that every page links."""
