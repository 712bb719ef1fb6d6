"""Does a back end keep the limits that it promises on this machine? A flag accepted is not a flag enforced.

``entries/`` holds what runs inside; ``checks.py`` asks, and compares.
"""

from __future__ import annotations

from unlearn_bench.sandbox.limit_checks.checks import ENTRIES, LimitCheck, check

__all__ = ["ENTRIES", "LimitCheck", "check"]
