"""U-LiRA on the shadow models: forgotten against never seen (headline), and against retrained."""

from __future__ import annotations

from unlearn_bench.scoring.evidence import ShadowEvidence
from unlearn_bench.scoring.ulira import ulira

TITLE = "U-LiRA"


def attack(shadows: ShadowEvidence) -> dict[str, float]:
    """Numbers of :class:`scoring.ulira.ULira`. ``accuracy_retrained``: φ under the retrained model of the same unit.

    Errors as for :func:`scoring.ulira.ulira`.
    """
    against_never = ulira(shadows.forgotten, shadows.never, shadows.stopped)
    against_retrained = ulira(shadows.forgotten, shadows.retrained, shadows.stopped)
    return {
        "accuracy": against_never.accuracy,
        "accuracy_low": against_never.low,
        "accuracy_high": against_never.high,
        "sd": against_never.sd,
        "auc": against_never.auc,
        "tpr_1": against_never.tpr_1,
        "tpr_01": against_never.tpr_01,
        "smallest_fpr": against_never.smallest_fpr,
        "indisc": against_never.indisc,
        "degenerate": against_never.degenerate,
        "accuracy_retrained": against_retrained.accuracy,
        "accuracy_retrained_low": against_retrained.low,
        "accuracy_retrained_high": against_retrained.high,
    }
