"""Normalised L2 distance of the outputs to the retrained model's of the same seed, see ``scoring.distances``."""

from __future__ import annotations

from unlearn_bench.scoring.distances import output_distance
from unlearn_bench.scoring.evidence import ModelEvidence

TITLE = "Distance of outputs to Retrain"


def attack(model: ModelEvidence) -> dict[str, float]:
    """‖softmax(U) − softmax(Re)‖ / ‖softmax(Re)‖ on ``forget``, ``retain`` and ``test`` examples; 0 is equal.

    The logits of both are scaled, so that confidence does not count. No outsider could run this attack, which needs the
    retrained model; its null is a second retrained model.
    """
    unlearned, retrained = model.scaled.logits, model.retrained_scaled.logits
    return {
        part: output_distance(unlearned[model.parts[part]], retrained[model.parts[part]])
        for part in ("forget", "retain", "test")
    }
