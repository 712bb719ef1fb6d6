"""How often methods are in each group over several settings, and the ranks that follow, as in the paper's Table 1."""

from __future__ import annotations

import pandas as pd

from unlearn_bench.scoring.board import LETTERS
from unlearn_bench.scoring.groups import GROUPS
from unlearn_bench.scoring.ranks import dense_ranks


def group_counts(letters: pd.DataFrame) -> pd.DataFrame:
    """Return how many settings put each method into each group (paper section 4, "Ranking").

    Args:
        letters: a row per method and a column per setting: ``G1``, ``G2``, ``G3``, ``F``, or a missing value where the
            method has no group there.

    Returns:
        A row per method: ``G1``, ``G2``, ``G3``, ``F`` and ``missing`` (int), the last one for settings without a
        group; ``rank`` (Int64): the dense rank by G1, then G2, then G3, of the methods without a missing setting.
    """
    counts = pd.DataFrame({letter: (letters == letter).fillna(False).sum(axis=1) for letter in LETTERS})
    counts["missing"] = len(letters.columns) - counts.sum(axis=1)
    complete = counts.index[counts["missing"] == 0]
    ranks = pd.Series(dense_ranks(counts.loc[complete, list(GROUPS)].to_numpy()), complete, dtype="Int64")
    return counts.assign(rank=ranks.reindex(counts.index))
