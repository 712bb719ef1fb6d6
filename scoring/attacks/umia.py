"""U-MIA: a logistic regression on the losses of forget and test examples (Deep Unlearn, section 2)."""

from __future__ import annotations

from unlearn_bench.scoring.evidence import ModelEvidence
from unlearn_bench.scoring.umia import indiscernibility, umia

TITLE = "U-MIA"
EVIDENCE = "accuracy"


def attack(model: ModelEvidence) -> dict[str, float]:
    """``accuracy`` in [0, 1] (0.5 is chance) and ``indisc`` = 1 − |2·accuracy − 1|; see ``scoring.umia``."""
    losses = model.losses
    accuracy = umia(losses[model.parts["forget"]], losses[model.unseen], model.seed)
    return {"accuracy": accuracy, "indisc": indiscernibility(accuracy)}
