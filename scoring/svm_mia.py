"""MIA-efficacy: a support vector machine that tells retained from test examples is asked about the forgotten ones.

The attack of "Model Sparsity Can Simplify Machine Unlearning" (Jia et al. 2023, arXiv:2304.04934: MIA-efficacy is
TN / |F|) and of "SalUn" (Fan et al. 2024, arXiv:2310.12508), with kernel and penalty of their code
(``evaluation/SVC_MIA.py`` of OPTML-Group/Unlearn-Saliency), on the five signals of Song and Mittal (2021,
arXiv:2003.10595), each on its own. See ``docs/literature.md`` for what other papers call MIA.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_softmax, softmax

Values = NDArray[np.float64]
TINY = 1e-30
"""Probabilities below it have its logarithm, as in the authors' code."""
PENALTY = 3.0
"""C of the machine in the authors' code; the kernel is exp(−γ‖x − x′‖²) with γ one over the number of features."""


def correctness(logits: Values, labels: NDArray[np.integer]) -> Values:
    """Return 1 where the true class has the largest of the logits [n, classes], otherwise 0: [n, 1]."""
    return (logits.argmax(axis=1) == labels).astype(np.float64)[:, None]


def confidence(logits: Values, labels: NDArray[np.integer]) -> Values:
    """Return the probability of the true class: [n, 1]."""
    return np.asarray(softmax(logits, axis=1)[np.arange(len(labels)), labels][:, None])


def entropy(logits: Values, labels: NDArray[np.integer]) -> Values:
    """Return the entropy of the outputs in nats: [n, 1]."""
    logs = np.asarray(log_softmax(logits, axis=1))
    return np.asarray(-(np.exp(logs) * logs).sum(axis=1, keepdims=True))


def modified_entropy(logits: Values, labels: NDArray[np.integer]) -> Values:
    """Return −(1 − p_y) log p_y − Σ p_i log(1 − p_i) over i ≠ y, in nats: [n, 1] (Song and Mittal 2021)."""
    probabilities, rows = np.asarray(softmax(logits, axis=1)), np.arange(len(labels))
    others = probabilities * np.log(np.maximum(1.0 - probabilities, TINY))
    others[rows, labels] = 0.0
    true = probabilities[rows, labels]
    return np.asarray(-((1.0 - true) * np.log(np.maximum(true, TINY)) + others.sum(axis=1))[:, None])


def probability(logits: Values, labels: NDArray[np.integer]) -> Values:
    """Return the whole vector of probabilities: [n, classes]."""
    return np.asarray(softmax(logits, axis=1))


SIGNALS: Mapping[str, Callable[[Values, NDArray[np.integer]], Values]] = {
    signal.__name__: signal for signal in (correctness, confidence, entropy, modified_entropy, probability)
}
"""What the machine sees of an example, by name."""


def efficacy(
    signal: str, logits: ArrayLike, labels: ArrayLike, members: ArrayLike, unseen: ArrayLike, forget: ArrayLike
) -> float:
    """Return the share of the forget set that the machine takes for unseen: true negatives over |F|, in [0, 1].

    Args:
        signal: a name of :data:`SIGNALS`.
        logits: [n, classes].
        labels: int [n].
        members: indices of retained examples, on which the machine is fitted as members.
        unseen: indices of test examples, on which it is fitted as no members.
        forget: indices of F.

    Raises:
        ValueError: an unknown signal, logits that are not finite, or an empty set.
    """
    from sklearn.svm import SVC  # half a second, and one column in many needs it

    if signal not in SIGNALS:
        raise ValueError(f"no signal is called {signal!r}; there are {', '.join(SIGNALS)}")
    values, targets = np.asarray(logits, dtype=np.float64), np.asarray(labels)
    sets = [np.asarray(indices, dtype=np.int64) for indices in (members, unseen, forget)]
    if any(indices.size == 0 for indices in sets):
        raise ValueError("the attack needs retained, test and forget examples")
    if not np.isfinite(values).all():
        raise ValueError("logits are not finite")
    inside, outside, asked = (SIGNALS[signal](values[indices], targets[indices]) for indices in sets)
    machine = SVC(C=PENALTY, gamma="auto", kernel="rbf")
    machine.fit(np.concatenate([inside, outside]), np.repeat([1, 0], [len(inside), len(outside)]))
    return float(1.0 - machine.predict(asked).mean())
