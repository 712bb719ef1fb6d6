"""The forgetting quality ε of the NeurIPS 2023 unlearning competition, see ``scoring.epsilon``."""

from __future__ import annotations

import numpy as np

from unlearn_bench.scoring.epsilon import epsilons, points
from unlearn_bench.scoring.evidence import ShadowEvidence

TITLE = "ε score"


def attack(shadows: ShadowEvidence) -> dict[str, float]:
    """Return ε and points over all examples, from φ of each under P unlearned and P retrained models.

    ``points``: mean points in (0, 1]. Perfect unlearning does not score 1: the null is what it reaches with as many
    models. ``epsilon``: median ε in [0, 50]. ``models``: P.
    """
    values = epsilons(shadows.forgotten, shadows.retrained)
    return {
        "points": float(points(values).mean()),
        "epsilon": float(np.median(values)),
        "models": float(np.shape(shadows.forgotten)[1]),
    }
