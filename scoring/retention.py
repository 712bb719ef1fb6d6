"""Retention of accuracy against the retrained model (paper section 2, equations 2 and 3)."""

from __future__ import annotations

from dataclasses import dataclass

from unlearn_bench.scoring.accuracy import Accuracies


@dataclass(frozen=True)
class Retention:
    """How an unlearned model's accuracies compare to those of the retrained model of the same seed."""

    rr: float
    fr: float
    tr: float
    """Accuracy on retain, forget and test set over the retrained model's; 1 is a perfect match."""
    retdev: float
    """|RR − 1| + |FR − 1| + |TR − 1|; 0 is best."""
    absolute: tuple[str, ...] = ()
    """Splits whose reference accuracy is 0 (a whole class forgotten): no ratio exists there, and the ratio stands for
    1 + the absolute difference, so that ``retdev`` is the same sum everywhere."""


def retention(unlearned: Accuracies, retrained: Accuracies) -> Retention:
    """RR, FR, TR and RetDev of one seed, from fractions in [0, 1]."""
    pairs = {
        "retain": (unlearned.retain, retrained.retain),
        "forget": (unlearned.forget, retrained.forget),
        "test": (unlearned.test, retrained.test),
    }
    rr, fr, tr = (accuracy / reference if reference > 0 else 1.0 + accuracy for accuracy, reference in pairs.values())
    absolute = tuple(name for name, (_, reference) in pairs.items() if reference == 0)
    return Retention(rr, fr, tr, abs(rr - 1) + abs(fr - 1) + abs(tr - 1), absolute)
