"""Whether an entry's shadow models tell what its seed models leak: readable, as accurate, made with as much work.

An entry can tell a shadow unit by the size of R. One that destroys the model there, or retrains it, would have nothing
for U-LiRA to find.
"""

from __future__ import annotations

import numpy as np

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.results import scores
from unlearn_bench.harness.results.board_entries import BoardEntry
from unlearn_bench.harness.results.scores import ShadowScores
from unlearn_bench.harness.units import shadow_units, yardstick_units
from unlearn_bench.harness.units.records import ShadowRecord

MOST_DEGENERATE = 0.1
"""Share of examples without a spread of φ above which U-LiRA reads the outputs' form, not their content."""
LEAST_PAIRS = 4
"""Of splits; with two, one value of a side is left, and one value has no spread."""
LEAST_ACCURACY = 0.75
"""Of VA over Retrain's in seed units, which shadow models must reach on the same V."""


def fault(
    references: References, board_entry: BoardEntry | None, record: ShadowRecord, shadow_scores: ShadowScores | None
) -> str:
    """Return why U-LiRA's reading of an entry does not count, for people; empty if it does, or nothing was measured.

    ``board_entry``: the entry's seed units; ``None`` where there are none.
    """
    if shadow_scores is None:
        return ""
    return (
        _degenerate(references, shadow_scores)
        or yardstick_units.inconsistent_shadows(references, record)
        or ("" if board_entry is None else _less_accurate(references, board_entry, record))
    )


def _degenerate(references: References, shadow_scores: ShadowScores) -> str:
    if len(shadow_scores.pair_accuracies) < LEAST_PAIRS:
        return ""
    count, examples = shadow_scores.attacks["ulira"]["degenerate"], len(references.examples.population)
    if count <= MOST_DEGENERATE * examples:
        return ""
    return f"its shadow models have collapsed: they give {count:.0f} of {examples} examples the same φ each time"


def _less_accurate(references: References, board_entry: BoardEntry, record: ShadowRecord) -> str:
    pairs = [
        (own.metrics["va"], scores.reference_scores(references, "retrained", seed).metrics["va"])
        for seed, unit in board_entry.records.items()
        if (own := scores.record_scores(references, unit)) is not None
    ]
    if record.entry in (shadow_units.RETRAIN, shadow_units.ORIGINAL) or not pairs:
        return ""
    in_seeds = float(np.divide(*np.mean(pairs, axis=0)))
    retrained = next(row for row in shadow_units.reference_rows(references) if row.entry == shadow_units.RETRAIN)
    in_shadows = record.accuracies["val"] / retrained.accuracies["val"]
    if in_shadows >= LEAST_ACCURACY * in_seeds:
        return ""
    return f"its shadow models have {in_shadows:.2f} of Retrain's VA, its seed models {in_seeds:.2f}"
