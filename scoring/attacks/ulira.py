"""U-LiRA on the shadow models: forgotten against never seen (headline), and against retrained."""

from __future__ import annotations

from unlearn_bench.scoring.evidence import ShadowEvidence
from unlearn_bench.scoring.ulira import ulira

TITLE = "U-LiRA"


def attack(shadows: ShadowEvidence) -> dict[str, float]:
    """Numbers of :class:`scoring.ulira.ULira`. ``accuracy_retrained``: φ under the retrained model of the same unit.

    Errors as for :func:`scoring.ulira.ulira`.
    """
    found = ulira(shadows.forgotten, shadows.never)
    against_retrained = ulira(shadows.forgotten, shadows.retrained)
    return {
        "accuracy": found.accuracy,
        "accuracy_low": found.low,
        "accuracy_high": found.high,
        "sd": found.sd,
        "auc": found.auc,
        "tpr_1": found.tpr_1,
        "tpr_01": found.tpr_01,
        "smallest_fpr": found.smallest_fpr,
        "indisc": found.indisc,
        "degenerate": found.degenerate,
        "accuracy_retrained": against_retrained.accuracy,
        "accuracy_retrained_low": against_retrained.low,
        "accuracy_retrained_high": against_retrained.high,
    }
