"""U-MIA and Indisc: how well an attack on losses tells F from unseen examples, see ``scoring.attacks.umia``."""

from __future__ import annotations

from unlearn_bench.scoring.metric import EVERYWHERE, Metric

METRICS = (
    Metric(
        name="umia",
        title="U-MIA",
        heading="MIA",
        meaning="accuracy of U-MIA",
        attack=("umia", "accuracy"),
        required=True,
        parts=("forget",),
        shown=EVERYWHERE - {"table", "board page"} | {"wide table"},
    ),
    Metric(
        name="indisc",
        title="Indisc",
        meaning="1 − |2·U-MIA − 1|",
        hint="1 − |2·U-MIA − 1|: how little an attack on losses tells F from unseen data; 1 is best",
        attack=("umia", "indisc"),
        better="high",
        spread=True,
        paper_ranked=True,
        required=True,
        shown=EVERYWHERE - {"verify"},
    ),
)
