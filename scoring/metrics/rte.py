"""RTE, run time efficiency: how many times faster than retraining, on the same machine and in the same sandbox."""

from __future__ import annotations

from unlearn_bench.scoring.metric import EVERYWHERE, Metric

METRICS = (
    Metric(
        name="rte",
        title="RTE",
        meaning="Retrain's time over the entry's",
        hint="Run time efficiency: Retrain’s time over the method’s; geometric mean and interval",
        reads="run",
        compute=lambda run: run.rte,
        better="high",
        scale="log",
        digits=1,
        unit_digits=2,
        ranked=True,
        in_words=("fast", "of medium speed", "slow"),
        null=False,
        shown=EVERYWHERE - {"verify"},
    ),
)
