"""Which neighbours on a board the seeds separate, as text for every form of it."""

from __future__ import annotations

import pandas as pd

from unlearn_bench.scoring.board import APART


def separated_neighbours(board: pd.DataFrame) -> list[str]:
    """Return which neighbours the seeds separate, in a line; nothing where fewer than two rows have a position."""
    placed = board[board["position"].notna()]
    if len(placed) < 2:
        return []
    groups: list[list[str]] = [[]]
    for entry, ahead in zip(placed["entry"], placed["ahead"], strict=True):
        groups[-1].append(str(entry))
        if ahead >= APART:
            groups.append([])
    runs = [run for run in groups if run]
    if len(runs) == 1:
        return ["the seeds separate no row from the next one"]
    spans = [run[0] if len(run) == 1 else f"{run[0]} … {run[-1]}" for run in runs]
    return [f"separated in {APART:.0%} of resamples: {' | '.join(spans)}".replace("%", " %")]
