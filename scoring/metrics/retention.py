"""RR, FR, TR and RetDev: accuracies over those of the retrained model of the same seed, see ``scoring.retention``."""

from __future__ import annotations

from unlearn_bench.scoring.metric import Metric

METRICS = (
    Metric(
        name="rr",
        title="RR",
        meaning="RA over Retrain's",
        compute=lambda model: model.retention.rr,
        null=False,
        required=True,
        shown=frozenset({"entry page"}),
    ),
    Metric(
        name="fr",
        title="FR",
        meaning="FA over Retrain's",
        compute=lambda model: model.retention.fr,
        null=False,
        required=True,
        shown=frozenset({"entry page"}),
    ),
    Metric(
        name="tr",
        title="TR",
        meaning="TA over Retrain's",
        compute=lambda model: model.retention.tr,
        null=False,
        required=True,
        shown=frozenset({"entry page"}),
    ),
    Metric(
        name="retdev",
        title="RetDev",
        meaning="|RR−1| + |FR−1| + |TR−1|",
        hint="|RR−1| + |FR−1| + |TR−1|: how far the accuracies on R, F and T are from Retrain’s; 0 is best",
        compute=lambda model: model.retention.retdev,
        better="low",
        spread=True,
        ranked=True,
        in_words=("close to Retrain", "some way from Retrain", "far from Retrain"),
        paper_ranked=True,
        required=True,
        parts=("retain", "forget", "test"),
    ),
)
