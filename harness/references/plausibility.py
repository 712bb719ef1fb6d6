"""Whether the accuracies of a model that was trained elsewhere are those of a model of its role."""

from __future__ import annotations

import math
from dataclasses import dataclass

from unlearn_bench.harness.references.roles import Role
from unlearn_bench.scoring.accuracy import Accuracies

CHANCE = 1.5
"""Multiple of chance that RA must reach: below it, a board calls a model unusable."""
ERRORS = 4
"""Standard errors of an accuracy on F between those on R and T, below which the two are not told apart."""


@dataclass(frozen=True)
class ImportedModel:
    """One model as it was imported."""

    role: str
    file: str
    accuracies: Accuracies
    """On R, F, V and T of its seed; of a shadow model, on those of its split and forget set."""
    doubt: str = ""
    """Why its accuracies are not those of a model of its role; empty where they may be."""


def near_chance(accuracies: Accuracies, classes: int) -> bool:
    """Return whether a model answers R hardly better than by guessing."""
    return accuracies.retain < CHANCE / classes


def doubt(role: Role, accuracies: Accuracies, forgotten: int) -> str:
    """Return why a model seems to have learnt F though it must not have, or the other way round; else nothing.

    Args:
        role: what the model is said to be trained on.
        accuracies: of the model; where those on R and T hardly differ, nothing can be said.
        forgotten: number of examples of F.
    """
    middle = (accuracies.retain + accuracies.test) / 2
    error = math.sqrt(max(middle * (1 - middle), 1e-9) / forgotten)
    if accuracies.retain - accuracies.test < ERRORS * error:
        return ""
    must_know = role.kind in ("original", "shadow")
    if (accuracies.forget > middle) == must_know:
        return ""
    if must_know:
        return f"{role.name} answers F like data that it never saw: was it trained on F?"
    return f"{role.name} answers F like R: was it trained without F?"
