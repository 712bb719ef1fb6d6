"""Peak memory of a timed unit: everything that ran in its sandbox, the framework included."""

from __future__ import annotations

from unlearn_bench.scoring.metric import Metric

METRICS = (
    Metric(
        name="peak_mib",
        title="peak MiB",
        meaning="peak memory of a unit in MiB, PyTorch itself included",
        reads="run",
        compute=lambda run: None if run.peak_memory is None else run.peak_memory / 2**20,
        better="low",
        digits=0,
        null=False,
        shown=frozenset({"entry page", "latex"}),
    ),
)
