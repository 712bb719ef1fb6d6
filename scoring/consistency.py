"""Whether an entry does in one kind of unit what it does in another, by what its models are like.

An entry that can tell the units of an attack from those that are scored could leave the attack nothing to find: by a
model that is destroyed, retrained, or drawn at random. So units of every kind are held to the seed units: in accuracy
and loss against the retrained model of the same unit, in how far the weights moved, and in CPU seconds. A difference
counts in both directions.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from unlearn_bench.scoring.accuracy import accuracies, cross_entropy
from unlearn_bench.scoring.retention import retention

QUARTILES = (0.25, 0.5, 0.75)
ERRORS = 2.0
"""Standard errors of a difference that are taken from it before it is judged."""
HARM = 4.0
"""By how much what is allowed grows with the distance of seed units from a retrained model."""


@dataclass(frozen=True)
class HeldNumber:
    """One number of a model or of a unit.

    Attributes:
        title: what it is, for people.
        allowed: how far the means of two kinds of unit may lie apart; of a ratio its logarithm.
        retrained: what a retrained model has. The further seed units are from it, the further others may be from them:
            what harms a model of all data a little can destroy one of half the data.
        least: of a ratio, the value that smaller ones count as; 0 where differences are compared.
    """

    title: str
    allowed: float
    retrained: float | None = None
    least: float = 0.0

    def scaled(self, values: Sequence[float]) -> NDArray[np.float64]:
        """Return values on the scale on which they are compared."""
        array = np.asarray(values, dtype=np.float64)
        return np.log(np.maximum(array, self.least)) if self.least else array

    def excess(self, seeds: Sequence[float], others: Sequence[float]) -> float:
        """Return how far apart the means lie, less two standard errors, in units of what is allowed."""
        sides = self.scaled(seeds), self.scaled(others)
        error = math.sqrt(sum(side.var(ddof=1) / side.size for side in sides if side.size > 1))
        mean, other = (float(side.mean()) for side in sides)
        harm = 0.0 if self.retrained is None else abs(mean - self.retrained)
        return max(0.0, abs(mean - other) - ERRORS * error) / (self.allowed + HARM * harm)


NUMBERS: Mapping[str, HeldNumber] = {
    "retain": HeldNumber("accuracy on R minus Retrain's", 0.25, 0.0),
    "val": HeldNumber("accuracy on V minus Retrain's", 0.25, 0.0),
    "retdev": HeldNumber("RetDev to the unit's own retrained model", 0.8, 0.0),
    "loss_25": HeldNumber("share of V with a loss below the first quartile of Retrain's", 0.3, 0.25),
    "loss_50": HeldNumber("share of V with a loss below the median of Retrain's", 0.3, 0.5),
    "loss_75": HeldNumber("share of V with a loss below the third quartile of Retrain's", 0.3, 0.75),
    "weights": HeldNumber("distance of the weights from the original's", math.log(3), least=0.05),
    "seconds": HeldNumber("CPU seconds for as many examples of R and F", math.log(3), least=0.5),
}


def of_model(
    logits: ArrayLike, retrained: ArrayLike, labels: ArrayLike, parts: Mapping[str, ArrayLike]
) -> dict[str, float]:
    """Return the numbers of a model beside the retrained model of the same unit.

    Args:
        logits: [n, classes] of the model on every example.
        retrained: [n, classes] of the retrained model.
        labels: [n].
        parts: index arrays ``retain``, ``forget``, ``val`` and ``test``.
    """
    own, expected = (accuracies(each, labels, parts) for each in (logits, retrained))
    held_out = np.asarray(parts["val"])
    losses, expected_losses = (cross_entropy(each, labels)[held_out] for each in (logits, retrained))
    numbers = {
        "retain": own.retain - expected.retain,
        "val": own.val - expected.val,
        "retdev": retention(own, expected).retdev,
    }
    for share, limit in zip(QUARTILES, np.quantile(expected_losses, QUARTILES), strict=True):
        numbers[f"loss_{100 * share:.0f}"] = float((losses <= limit).mean())
    return numbers


def excess(seeds: Mapping[str, Sequence[float]], others: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Return how far units of another kind lie from seed units, by number, in units of what is allowed.

    A number is judged where both have it, by the difference of the means less two standard errors.

    Args:
        seeds: by name, one value for each seed unit.
        others: by name, one value for each unit, or for each pair of shadow splits.
    """
    known = [name for name in NUMBERS if len(seeds.get(name, ())) and len(others.get(name, ()))]
    return {name: NUMBERS[name].excess(seeds[name], others[name]) for name in known}


def departure(kind: str, seeds: Mapping[str, Sequence[float]], others: Mapping[str, Sequence[float]]) -> str:
    """Return the number that gives units of another ``kind`` away, for people; empty if none does.

    The other arguments are those of :func:`excess`.
    """
    shares = excess(seeds, others)
    worst = max(shares, key=lambda name: shares[name], default="")
    if not worst or shares[worst] <= 1:
        return ""
    found, expected = np.mean(others[worst]), np.mean(seeds[worst])
    return f"{NUMBERS[worst].title} is {found:.2f} in {kind} units and {expected:.2f} in timed ones"
