"""What a board says below its rows, as text for every form of it: who is separated, whether baselines are missing."""

from __future__ import annotations

import pandas as pd

from unlearn_bench.harness.results.badges import NO_BASELINES
from unlearn_bench.scoring.board import APART
from unlearn_bench.scoring.seed_rows import NO_BETTER, OK


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


def missing_baselines(board: pd.DataFrame, track: str) -> list[str]:
    """Return that no baseline tells where groups begin, in a line; nothing where one does."""
    if (board["state"] == NO_BASELINES).any():
        return [
            f"no baseline ran in a container, so there are no groups and no positions: bench baselines --track {track}"
        ]
    if ((board["kind"] == "baseline") & board["state"].isin([OK, NO_BETTER])).any():
        return []
    return [
        f"no baseline has usable models here, so groups and positions mean nothing yet: bench baselines --track {track}"
    ]
