"""Which neighbours on a board can be told apart, as text for every form of it."""

from __future__ import annotations

import pandas as pd

from unlearn_bench.scoring.board import APART


def told_apart(board: pd.DataFrame) -> list[str]:
    """Return which neighbours can be told apart, in a line; nothing where fewer than two rows have a position."""
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
        return ["no row can be told from the next one by these seeds"]
    spans = [run[0] if len(run) == 1 else f"{run[0]} … {run[-1]}" for run in runs]
    return [f"told apart in {APART:.0%} of resamples: {' | '.join(spans)}".replace("%", " %")]
