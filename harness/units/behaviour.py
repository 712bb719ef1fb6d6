"""What the model of a finished unit is like, in the few numbers by which units of an entry are held to each other."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.units.unit_kinds import Unit
from unlearn_bench.scoring import consistency


def behaviour(
    references: References, unit: Unit, logits: NDArray[np.floating] | None, weight_shift: float | None
) -> Mapping[str, float]:
    """Return the numbers of ``scoring.consistency`` that are known of the model of a unit.

    Args:
        references: of the unit's track; without its retrained model only the weights are judged.
        unit: the unit that ran.
        logits: [n, classes] on every example; ``None`` where it failed.
        weight_shift: normalised L2 distance of its weights from the original's, where it is known.
    """
    if logits is None:
        return {}
    numbers = {} if weight_shift is None else {"weights": weight_shift}
    if not references.missing([unit.target]):
        examples = references.examples
        numbers |= consistency.of_model(logits, references.logits(unit.target), examples.labels, unit.parts(examples))
    return {name: round(number, 6) for name, number in numbers.items()}
