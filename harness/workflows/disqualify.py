"""``bench disqualify``: a row leaves the ranks and stays on the board."""

from __future__ import annotations

from pathlib import Path

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import board_entries, review
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.sandbox.text import one_line


def disqualify(name: str, track: str, secret: Path | None, reason: str | None) -> tuple[str, str]:
    """Take an entry's source out of the ranks of every track, or put it back if there is no reason.

    Args:
        name: of the entry on the board.
        track: a track's name, or the path of a TOML file.
        secret: of a sealed track; default: ``BENCH_SECRETS``.
        reason: which rule was broken, for the board; ``None``: put it back.

    Returns:
        SHA-256 of the source, and the reason as it is shown.

    Raises:
        BenchError: no such entry, one that ships, an empty reason, or nothing to undo.
    """
    shown = one_line(reason or "", 200)
    if reason is not None and not shown:
        raise BenchError("the reason is empty", "your command", "say which rule was broken", USAGE)
    loaded_track, store = load_track(track, secret), Store()
    board_entry = board_entries.find(References(loaded_track, store), name)
    if board_entry.kind != "entry":
        raise BenchError(
            f"{name} ships with the benchmark and sets the cut points", "your command", "name a submission", USAGE
        )
    if reason is None and not review.disqualified(store, board_entry.sha256):
        raise BenchError(f"{name} is not disqualified", "your command", "there is nothing to undo", USAGE)
    review.disqualify(store, board_entry.name, board_entry.sha256, shown)
    return board_entry.sha256, shown
