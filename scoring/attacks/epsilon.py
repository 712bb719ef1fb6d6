"""The forgetting quality ε of the NeurIPS 2023 unlearning competition, see ``scoring.epsilon``."""

from __future__ import annotations

import numpy as np

from scoring.epsilon import epsilons, points
from scoring.evidence import ShadowEvidence

TITLE = "ε score"


def attack(shadows: ShadowEvidence) -> dict[str, float]:
    """Over all examples, from P unlearned and P retrained models of each.

    ``points``: mean points in (0, 1], to be read against ``ceiling``. ``epsilon``: median ε in [0, 50].
    ``ceiling``: mean points of the retrained models against those that never were to see the example: what perfect
    unlearning scores with these models. ``models``: P.
    """
    found = epsilons(shadows.forgotten, shadows.retrained)
    null = epsilons(shadows.retrained_never, shadows.retrained)
    return {
        "points": float(points(found).mean()),
        "epsilon": float(np.median(found)),
        "ceiling": float(points(null).mean()),
        "models": float(np.shape(shadows.forgotten)[1]),
    }
