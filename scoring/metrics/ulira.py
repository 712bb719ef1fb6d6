"""U-LiRA's accuracies over all pairs of shadow splits, see ``scoring.ulira``."""

from __future__ import annotations

from unlearn_bench.scoring.metric import EVERYWHERE, Metric

METRICS = (
    Metric(
        name="ulira",
        title="U-LiRA",
        heading="LiRA",
        meaning="accuracy of U-LiRA, forgotten against never seen",
        hint="Accuracy of an attack per example: forgotten, or never seen? .5 is chance and best",
        reads="shadows",
        attack=("ulira", "accuracy"),
        better="low",
        shown=EVERYWHERE - {"seeds page", "show", "audit", "verify"},
    ),
    Metric(
        name="ulira_retrained",
        title="U-LiRA against Retrain",
        heading="(Re)",
        meaning="accuracy of U-LiRA, the entry's model against the retrained model of the same unit",
        hint="Accuracy of an attack per example: unlearned, or retrained? Damage of every kind raises it; .5 is best",
        reads="shadows",
        attack=("ulira", "accuracy_retrained"),
        better="low",
        shown=frozenset({"markdown", "board page", "entry page"}),
    ),
)
