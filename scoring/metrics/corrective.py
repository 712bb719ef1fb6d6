"""Whether a model is healed of corrupted training data, see ``scoring.corruption``."""

from __future__ import annotations

from collections.abc import Callable

from unlearn_bench.scoring.corruption import CorruptedForms
from unlearn_bench.scoring.evidence import ModelEvidence
from unlearn_bench.scoring.metric import EVERYWHERE, Metric

Compute = Callable[[CorruptedForms, ModelEvidence], float | None]
SHOWN = EVERYWHERE - {"audit", "verify"}


def _of_corrupted(compute: Compute) -> Callable[[ModelEvidence], float | None]:
    return lambda model: None if model.corrupted_forms is None else compute(model.corrupted_forms, model)


METRICS = (
    Metric(
        name="corrected",
        title="Corrected",
        heading="healed",
        meaning="accuracy on the test examples that the corruption affects, under their true labels",
        hint="Accuracy on the test examples that the corruption affects, under their true labels; 1 is best",
        compute=_of_corrupted(lambda forms, model: forms.corrected_accuracy(model.logits, model.labels, model.test)),
        better="high",
        corruptions=frozenset({"confusion", "mislabel", "backdoor"}),
        null=False,
        shown=SHOWN,
    ),
    Metric(
        name="attack_success",
        title="ASR",
        meaning="share of test images with the trigger that are taken for the target class",
        hint="Attack success rate: share of test images with the trigger that are taken for its class; 0 is best",
        compute=_of_corrupted(lambda forms, model: forms.attack_success(model.logits, model.test)),
        better="low",
        corruptions=frozenset({"backdoor"}),
        null=False,
        shown=SHOWN,
    ),
    Metric(
        name="elsewhere",
        title="Elsewhere",
        heading="other",
        meaning="accuracy on the test examples that the corruption does not affect",
        hint="Accuracy on the test examples that the corruption does not affect; 1 is best",
        compute=_of_corrupted(lambda forms, model: forms.accuracy_elsewhere(model.logits, model.labels, model.test)),
        better="high",
        corruptions=frozenset({"confusion", "backdoor"}),
        null=False,
        shown=SHOWN,
    ),
)
