"""U-LiRA's accuracy over all pairs of shadow splits, see ``scoring.ulira``; grouped by its Indisc."""

from __future__ import annotations

from unlearn_bench.scoring.metric import EVERYWHERE, Metric

METRICS = (
    Metric(
        name="ulira",
        title="U-LiRA",
        heading="LiRA",
        meaning="accuracy of U-LiRA",
        hint="Accuracy of an attack per example: forgotten, or never seen? .5 is chance and best",
        reads="shadows",
        attack=("ulira", "accuracy"),
        better="low",
        ranked=True,
        shown=EVERYWHERE - {"seeds page", "show", "audit", "verify"},
    ),
)
