"""``bench findings``: what the stored boards say, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unlearn_bench.harness.report import findings_text
from unlearn_bench.harness.workflows.leaderboard import boards_with_less_access, read_boards


def findings(names: Sequence[str], secret: Path | None = None, *, public: bool = False) -> str:
    """Return the page of findings as Markdown; nothing is run.

    Args:
        names: tracks; none: all shipped ones that have records.
        secret: of sealed tracks; default: ``BENCH_SECRETS``.
        public: rank only rows whose units come from trusted back ends.

    Raises:
        BenchError: unknown track, a damaged store, tracks of different access tiers, or no track has records.
    """
    boards = read_boards(names, secret, public)
    return findings_text.page(boards, [] if names else boards_with_less_access(secret, public))
