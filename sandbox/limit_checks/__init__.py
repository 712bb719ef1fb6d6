"""Does a back end keep its limits on this machine? A flag accepted is not a flag enforced: every limit is tried.

``entries/`` holds what runs inside; ``limits.py`` asks, and compares.
"""

from __future__ import annotations

from pathlib import Path

ENTRIES = Path(__file__).parent / "entries"
