"""The forgetting quality ε of the NeurIPS 2023 unlearning competition, see ``scoring.epsilon``."""

from __future__ import annotations

import numpy as np

from unlearn_bench.scoring.epsilon import epsilons, points
from unlearn_bench.scoring.evidence import ShadowEvidence

TITLE = "ε score"


def attack(shadows: ShadowEvidence) -> dict[str, float]:
    """Over all examples, from P unlearned and P retrained models of each.

    ``points``: mean points in (0, 1]. Perfect unlearning does not score 1: its ceiling with as many models is the zero
    line. ``epsilon``: median ε in [0, 50]. ``models``: P.
    """
    found = epsilons(shadows.forgotten, shadows.retrained)
    return {
        "points": float(points(found).mean()),
        "epsilon": float(np.median(found)),
        "models": float(np.shape(shadows.forgotten)[1]),
    }
