"""Forgetting: the strongest evidence of all attacks that some of F is left, see ``scoring.forgetting``."""

from __future__ import annotations

from unlearn_bench.scoring.metric import EVERYWHERE, Metric

METRICS = (
    Metric(
        name="forgetting",
        title="Forgetting",
        heading="left",
        meaning="what the worst of all attacks finds, from 0 for retrained models to 1 for Original",
        hint="What the worst of all attacks finds, from 0 (a retrained model) to 1 (Original); 0 is best",
        reads="panel",
        better="low",
        digits=2,
        ranked=True,
        in_words=("no attack finds anything", "less than half is left", "half or more is left"),
        null=False,
        shown=EVERYWHERE - {"seeds page", "show", "audit", "verify", "compare"},
    ),
)
