"""Whether a back end keeps the limits that it promises on this machine: an accepted flag need not be enforced.

``entries/`` holds what runs inside; ``checks.py`` runs it and judges what it reports.
"""

from __future__ import annotations

from unlearn_bench.sandbox.limit_checks.checks import ENTRIES, LimitCheck, check

__all__ = ["ENTRIES", "LimitCheck", "check"]
