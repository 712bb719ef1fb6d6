"""RMIA: the robust membership inference attack (Zarifzadeh, Liu, Shokri 2024, arXiv:2312.03262), offline.

An example x looks like a member when the model raises its probability by more than that of most other examples z:

    ratio(x) = p(x | model) / p(x),    score(x) = Pr over z of [ratio(x) ≥ γ · ratio(z)]

p(x) is a mean over models with and without x. Offline there are only models without it, and the paper extrapolates
linearly: p(x) = ½·((1 + a)·p_out(x) + 1 − a). The models without x are the retrained models of all seeds whose retain
set does not contain it. The population z is the validation set, which no model under attack was trained on; where F is
corrupted training data, in its corrupted form, so that z is drawn like x.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import logsumexp

from unlearn_bench.scoring.evidence import ModelEvidence

TITLE = "RMIA"
EVIDENCE = "auc"
OFFLINE_A = 0.3
"""The paper's a for CIFAR-10: 1 takes p_out for p, 0 leans furthest towards p_in = 1."""
GAMMA = 2.0
"""The paper's γ: the model must favour x at least twice as much as z."""
FPR = 0.01


def attack(model: ModelEvidence) -> dict[str, float]:
    """Forget examples (positive) told from test examples (negative).

    ``auc``: 0.5 is chance. ``tpr_1``: true positive rate where at most 1 % of the test examples are called.

    Raises:
        ValueError: an example without a reference model that was trained without it, or a value that is not finite.
    """
    val, forget, test = model.population, model.parts["forget"], model.unseen
    ratios = log_ratios(model, np.concatenate([val, forget, test]))
    population, *sides = np.split(ratios, [len(val), len(val) + len(forget)])
    forget_scores, unseen_scores = (scores(side, population) for side in sides)
    return {"auc": auc(forget_scores, unseen_scores), "tpr_1": tpr(forget_scores, unseen_scores)}


def log_ratios(model: ModelEvidence, examples: NDArray[np.integer], a: float = OFFLINE_A) -> NDArray[np.float64]:
    """Return log p(x | model) − log p(x) of k examples [k]; p is the probability of the true class.

    Raises:
        ValueError: an example without a reference model that was trained without it, φ that is not finite, or ``a``
            outside [0, 1].
    """
    if not 0.0 <= a <= 1.0:
        raise ValueError(f"a = {a} is outside [0, 1]")
    trained_without = np.asarray(model.lacks, dtype=bool)[:, examples]
    phi = np.asarray(model.reference_phi)[:, examples].astype(np.float64)
    if phi.shape != trained_without.shape:
        raise ValueError(f"reference φ {phi.shape} and lacks {trained_without.shape} do not belong together")
    if not trained_without.any(axis=0).all():
        raise ValueError(
            f"no reference model lacks {np.count_nonzero(~trained_without.any(axis=0))} of {phi.shape[1]} examples"
        )
    if not np.isfinite(phi[trained_without]).all():
        raise ValueError("φ of the reference models is not finite")
    out = logsumexp(np.where(trained_without, _log_probability(phi), -np.inf), axis=0) - np.log(
        trained_without.sum(axis=0)
    )
    # In logs throughout: with a = 1 an example that the references get wrong has p(x) far below the least float.
    floor = math.log((1.0 - a) / 2.0) if a < 1.0 else -math.inf
    expected = np.logaddexp(math.log((1.0 + a) / 2.0) + out, floor)
    return np.asarray(_log_probability(model.phi[examples]) - expected, dtype=np.float64)


def scores(ratios: ArrayLike, population: ArrayLike, gamma: float = GAMMA) -> NDArray[np.float64]:
    """Fraction of the population's log ratios [z] that each log ratio [k] exceeds by at least log γ, [k] in [0, 1]."""
    ordered = np.sort(np.asarray(population, dtype=np.float64))
    if ordered.size == 0:
        raise ValueError("RMIA needs population examples")
    return np.searchsorted(ordered, np.asarray(ratios) - math.log(gamma), side="right") / ordered.size


def auc(positives: ArrayLike, negatives: ArrayLike) -> float:
    """Area under the ROC curve of scores [n] against [m]; ties count half."""
    above, below = np.asarray(positives), np.asarray(negatives)
    if not above.size or not below.size:
        raise ValueError("an ROC curve needs examples on both sides")
    ordered = np.sort(below)
    passed, met = (np.searchsorted(ordered, above, side=side).sum() for side in ("left", "right"))
    return float((passed + met) / 2 / (above.size * below.size))


def tpr(positives: ArrayLike, negatives: ArrayLike, fpr: float = FPR) -> float:
    """Fraction of positive scores above the lowest threshold that at most a fraction ``fpr`` of the negatives pass."""
    ordered = np.sort(np.asarray(negatives))[::-1]
    threshold = ordered[min(int(fpr * ordered.size), ordered.size - 1)]
    return float(np.mean(np.asarray(positives) > threshold))


def _log_probability(phi: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(-np.logaddexp(0.0, -phi))
