"""What the terminal allows that standard output is: its columns, and colour."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from unlearn_bench.harness.report.text_table import Look


LEAST = 60
"""Columns that every table may have."""


def look() -> Look:
    """Return how a table is to be shown: in pipes and files without colour, as on a terminal where ``NO_COLOR`` is set.

    ``COLUMNS`` counts more than the terminal's width; without either it is the width for files.
    """
    from unlearn_bench.harness.report.text_table import PLAIN, Look

    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return Look(max(LEAST, shutil.get_terminal_size((PLAIN.width, 24)).columns), colour)
