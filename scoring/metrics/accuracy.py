"""RA, FA, VA and TA: accuracy on the retain, forget, validation and test set (paper section 2, equation 1)."""

from __future__ import annotations

from unlearn_bench.scoring.metric import EVERYWHERE, Metric

METRICS = (
    Metric(
        name="ra",
        title="RA",
        meaning="accuracy on R",
        compute=lambda model: model.accuracies.retain,
        null=False,
        required=True,
        parts=("retain",),
        shown=EVERYWHERE - {"table", "board page"} | {"wide table"},
    ),
    Metric(
        name="fa",
        title="FA",
        meaning="accuracy on F",
        compute=lambda model: model.accuracies.forget,
        null=False,
        required=True,
        parts=("forget",),
        shown=EVERYWHERE - {"table", "board page"} | {"wide table"},
    ),
    Metric(
        name="va",
        title="VA",
        meaning="accuracy on V",
        compute=lambda model: model.accuracies.val,
        null=False,
        required=True,
        parts=("val",),
        shown=frozenset({"entry page", "seeds page", "verify"}),
    ),
    Metric(
        name="ta",
        title="TA",
        meaning="accuracy on T",
        compute=lambda model: model.accuracies.test,
        null=False,
        required=True,
        parts=("test",),
        shown=EVERYWHERE - {"table", "board page"} | {"wide table"},
    ),
)
