"""The temperature that V asks for, by which logits are divided before any attack reads them."""

from __future__ import annotations

from unlearn_bench.scoring.metric import Metric

METRICS = (
    Metric(
        name="temperature",
        title="temperature",
        meaning="what logits are divided by before any attack reads them, fitted on V",
        compute=lambda model: model.scaled.temperature,
        shown=frozenset({"entry page", "seeds page", "show"}),
    ),
)
