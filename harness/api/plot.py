"""Plots with matplotlib, as ``ub.plot`` (``pip install 'unlearn-bench[plot]'``): the figures of ``bench leaderboard``.

Every function draws into ``ax``, or into a new figure, and returns the axes.
"""

from __future__ import annotations

from unlearn_bench.harness.report.figures import groups, losses, roc, seeds, trade_off, ulira

__all__ = ["groups", "losses", "roc", "seeds", "trade_off", "ulira"]
