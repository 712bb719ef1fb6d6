"""The columns of ``bench leaderboard --columns literature``: declared as metrics are, and never ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from unlearn_bench.scoring.literature import LiteratureEvidence, activation_distance, js_divergence, zrf
from unlearn_bench.scoring.metric import Metric
from unlearn_bench.scoring.svm_mia import SIGNALS

_HEADINGS = {
    "correctness": "corr",
    "confidence": "conf",
    "entropy": "entr",
    "modified_entropy": "ment",
    "probability": "prob",
}


def _efficacy(signal: str, evidence: LiteratureEvidence) -> float | None:
    return evidence.confident if signal == "confidence" else evidence.efficacy(signal)


def _zrf(evidence: LiteratureEvidence) -> float | None:
    if evidence.untrained is None:
        return None
    return zrf(evidence.on_forget(evidence.model.logits), evidence.untrained)


def _js(evidence: LiteratureEvidence) -> float | None:
    return js_divergence(*map(evidence.on_forget, (evidence.model.logits, evidence.model.retrained)))


def _activation(evidence: LiteratureEvidence) -> float | None:
    return activation_distance(*map(evidence.on_forget, (evidence.model.logits, evidence.model.retrained)))


MIA = tuple(
    Metric(
        name=f"mia_{signal}",
        title=f"MIA {signal.replace('_', ' ')}",
        heading=_HEADINGS[signal],
        meaning=f"MIA-efficacy on {signal.replace('_', ' ')}: share of F that an SVM takes for test examples",
        compute=partial(_efficacy, signal),
        shown=frozenset(),
    )
    for signal in SIGNALS
)
"""One column for each signal of the attack."""
COLUMNS: tuple[Metric, ...] = (
    Metric(
        name="ua",
        title="UA",
        meaning="unlearning accuracy: 1 − accuracy on F",
        compute=lambda evidence: evidence.ua,
        shown=frozenset(),
    ),
    Metric(
        name="ra",
        title="RA",
        meaning="accuracy on R",
        compute=lambda evidence: evidence.accuracies(evidence.model.logits)[1],
        shown=frozenset(),
    ),
    Metric(
        name="ta",
        title="TA",
        meaning="accuracy on the test examples of the classes that are left",
        compute=lambda evidence: evidence.accuracies(evidence.model.logits)[2],
        shown=frozenset(),
    ),
    *MIA,
    Metric(
        name="avg_gap",
        title="Avg. Gap",
        heading="gap",
        meaning="mean distance of UA, RA, TA and MIA-efficacy on confidence to Retrain's",
        compute=lambda evidence: evidence.gap,
        better="low",
        shown=frozenset(),
    ),
    Metric(
        name="tow",
        title="ToW",
        meaning="tug of war: product of 1 − |accuracy − Retrain's| over F, R and test",
        compute=lambda evidence: evidence.tow,
        better="high",
        shown=frozenset(),
    ),
    Metric(
        name="aus",
        title="AUS",
        meaning="adaptive unlearning score: test accuracy that is left over 1 + what the accuracy on F gives away",
        compute=lambda evidence: evidence.aus,
        better="high",
        shown=frozenset(),
    ),
    Metric(
        name="zrf",
        title="ZRF",
        meaning="1 − Jensen–Shannon divergence to an untrained network on F",
        compute=_zrf,
        better="high",
        shown=frozenset(),
    ),
    Metric(
        name="js_divergence",
        title="JS",
        meaning="Jensen–Shannon divergence to Retrain's outputs on F, in nats",
        compute=_js,
        better="low",
        shown=frozenset(),
    ),
    Metric(
        name="activation_distance",
        title="act. dist.",
        heading="act",
        meaning="mean Euclidean distance to Retrain's outputs on F",
        compute=_activation,
        better="low",
        shown=frozenset(),
    ),
)
"""In the order of the table."""
UNTRAINED = "zrf"
"""The column that needs an untrained network."""


def computable(known: Mapping[str, float | None], untrained: bool) -> Sequence[Metric]:
    """Return the columns that are not ``known`` and can be computed; ``untrained``: whether there is such a network."""
    return [each for each in COLUMNS if each.name not in known and (untrained or each.name != UNTRAINED)]


def measured(evidence: LiteratureEvidence, columns: Sequence[Metric] = COLUMNS) -> dict[str, float | None]:
    """Return the numbers of one model by column; ``None`` where a number is not defined."""
    numbers: dict[str, float | None] = {}
    for column in columns:
        assert column.compute is not None
        numbers[column.name] = column.compute(evidence)
    return numbers
