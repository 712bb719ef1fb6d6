"""Tables of text: how wide and in which colours, columns as wide as their cells, and texts below them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from unlearn_bench.harness.support.text import visible

GAP = "  "
"""What stands between two columns."""


@dataclass(frozen=True)
class Look:
    """How a text is shown: on a terminal of so many columns, and in colour or not."""

    width: int = 100
    colour: bool = False

    def paint(self, text: str, code: str) -> str:
        """Return the text in a colour of ANSI terminals, or as it is."""
        return f"\033[{code}m{text}\033[0m" if self.colour and text.strip() else text


PLAIN = Look()
"""How it is written to files and pipes."""


def wrapped(text: str, look: Look) -> list[str]:
    """Return the lines of a text that is as wide as a table may be, with its hidden characters shown."""
    lines = textwrap.TextWrapper(look.width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return lines.wrap(visible(text))


@dataclass(frozen=True)
class TextColumn:
    """A column of the table with the text of each of its cells."""

    title: str
    """Its heading."""
    cells: Sequence[str]
    right: bool = False
    """Whether it is aligned to the right, as single numbers are."""

    @property
    def width(self) -> int:
        """Characters of its widest cell."""
        return max(map(len, (self.title, *self.cells)))

    def text(self, cell: str) -> str:
        """Return a cell, or the heading, at the width of the column."""
        return cell.rjust(self.width) if self.right else cell.ljust(self.width)


def total(columns: Iterable[TextColumn]) -> int:
    """Return the characters of a line of these columns."""
    widths = [column.width for column in columns]
    return sum(widths) + len(GAP) * (len(widths) - 1)


def heading(columns: Sequence[TextColumn]) -> str:
    """Return the line of headings."""
    return GAP.join(column.text(column.title) for column in columns).rstrip()
