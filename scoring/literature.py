"""The numbers that papers on machine unlearning report, as pure functions of logits.

They are shown on request (``bench leaderboard --columns literature``) and never ranked: ``docs/literature.md`` says
what each reads for Original, Retrain and the null. All are fractions, distances or nats, none a percentage. "Test"
means the test examples of the classes that are left: where F is a whole class, papers take it out of the test set.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import rel_entr, softmax

from unlearn_bench.scoring import svm_mia
from unlearn_bench.scoring.evidence import Floats, Indices, ModelEvidence


def js_divergence(logits: ArrayLike, others: ArrayLike) -> float:
    """Return the mean Jensen–Shannon divergence of the outputs of two models [n, classes], in nats: 0 … log 2.

    ½ KL(p ‖ m) + ½ KL(q ‖ m) with m = (p + q) / 2, averaged over the examples (Chundawat et al. 2023, "Can Bad
    Teaching Induce Forgetting?", arXiv:2205.08096, where ZRF is defined). Their code, ``metrics.py`` of
    vikram2000b/bad-teaching-unlearning, divides by the number of classes, too, and exchanges the sides of both terms.

    Raises:
        ValueError: different shapes, no examples, or logits that are not finite.
    """
    p, q = (softmax(side, axis=1) for side in _pair(logits, others))
    middle = (p + q) / 2
    return float((rel_entr(p, middle) + rel_entr(q, middle)).sum(axis=1).mean() / 2)


def activation_distance(logits: ArrayLike, others: ArrayLike) -> float:
    """Return the mean Euclidean distance between the outputs of two models [n, classes]: 0 … √2.

    Chundawat et al. 2023 (arXiv:2205.08096), after Golatkar et al. 2021 (arXiv:2012.13431); the "final activations"
    are probabilities, as in ``metrics.py`` of vikram2000b/bad-teaching-unlearning.

    Raises:
        ValueError: as :func:`js_divergence`.
    """
    p, q = (softmax(side, axis=1) for side in _pair(logits, others))
    return float(np.linalg.norm(p - q, axis=1).mean())


def zrf(logits: ArrayLike, untrained: ArrayLike) -> float:
    """Return 1 − the mean Jensen–Shannon divergence to an untrained network on F, both [n, classes]: 1 − log 2 … 1.

    The zero retrain forgetting metric (Chundawat et al. 2023, arXiv:2205.08096); the untrained network is the
    "incompetent teacher". Retrain is no extreme of it: being as random as possible is 1.

    Raises:
        ValueError: as :func:`js_divergence`.
    """
    return 1.0 - js_divergence(logits, untrained)


def tug_of_war(accuracies: Sequence[float], retrained: Sequence[float]) -> float:
    """Return the product of 1 − |a − a_retrained| over the accuracies on F, R and test examples: 1 is best.

    ToW (Zhao et al. 2024, "What makes unlearning hard and what to do about it", arXiv:2406.01257;
    ``surgical_plugins/analysis.py`` of kairanzhao/RUM).
    """
    return float(np.prod([1.0 - abs(own - other) for own, other in zip(accuracies, retrained, strict=True)]))


def adaptive_unlearning_score(test: float, original_test: float, delta: float) -> float:
    """Return (1 − (A_original − A)) / (1 + |Δ|) of accuracies A on test examples.

    AUS (Cotogni et al. 2023, "DUCK", arXiv:2312.02052; ``src/main_def.py`` of OcraM17/DUCK). ``delta``: where a class
    is forgotten, the accuracy on its test examples; otherwise the accuracy on F minus A.
    """
    return (1.0 - (original_test - test)) / (1.0 + abs(delta))


def average_gap(own: Sequence[float], retrained: Sequence[float]) -> float:
    """Return the mean of |x − x_retrained| over UA, RA, TA and MIA-efficacy: 0 is best.

    Avg. Gap of "SalUn" (Fan et al. 2024, arXiv:2310.12508, in its tables of classification). Papers take
    the difference of means over runs; here each seed is compared with the retrained model of the same seed.
    """
    return float(np.mean(np.abs(np.asarray(own) - np.asarray(retrained))))


@dataclass(frozen=True)
class LiteratureEvidence:
    """One model of one seed, and what the literature's numbers need beside what attacks read.

    Attributes:
        model: the model with Original, Retrain, labels and parts.
        untrained: logits [|F|, classes] of a network that never learnt on F, in the order of ``model.parts["forget"]``;
            ``None`` where there are none.
    """

    model: ModelEvidence
    untrained: Floats | None = None

    @cached_property
    def gone(self) -> Indices:
        """Classes (of the data set itself) of which F has examples and R has none; sorted, often empty."""
        kinds, parts = self._kinds, self.model.parts
        return np.setdiff1d(kinds[parts["forget"]], kinds[parts["retain"]])

    @cached_property
    def tested(self) -> Indices:
        """Test examples of the classes that are left."""
        test = self.model.parts["test"]
        return test[~np.isin(self._kinds[test], self.gone)]

    @cached_property
    def members(self) -> Indices:
        """Retained examples, as many as there are test examples where there are more: drawn by ``model.seed``.

        The authors' code takes the first ones of the data set, which may be sorted by class.
        """
        retain = np.sort(self.model.parts["retain"])
        if len(retain) <= len(self.tested):
            return retain
        return np.random.default_rng(self.model.seed).permutation(retain)[: len(self.tested)]

    @cached_property
    def unseen(self) -> Indices:
        """Test examples, as many as there are retained ones where there are more."""
        tested = np.sort(self.tested)
        if len(tested) == len(self.members):
            return tested
        return np.random.default_rng(self.model.seed).permutation(tested)[: len(self.members)]

    @property
    def _kinds(self) -> Indices:
        return self.model.labels if self.model.subclasses is None else self.model.subclasses

    def accuracy(self, logits: Floats, examples: Indices) -> float | None:
        """Return the share of right answers; ``None`` without examples. Of equal logits the first class counts."""
        if not len(examples):
            return None
        return float((logits[examples].argmax(axis=1) == self.model.labels[examples]).mean())

    def accuracies(self, logits: Floats) -> tuple[float | None, float | None, float | None]:
        """Return the accuracies of a model on F, R and test examples."""
        parts = self.model.parts
        on_forget, on_retain = (self.accuracy(logits, parts[part]) for part in ("forget", "retain"))
        return on_forget, on_retain, self.accuracy(logits, self.tested)

    def efficacy(self, signal: str, logits: Floats | None = None) -> float | None:
        """Return the MIA-efficacy of the model, or of other logits; ``None`` where no test example is left."""
        if not len(self.tested):
            return None
        values = self.model.logits if logits is None else logits
        forget = self.model.parts["forget"]
        return svm_mia.efficacy(signal, values, self.model.labels, self.members, self.unseen, forget)

    @cached_property
    def confident(self) -> float | None:
        """MIA-efficacy on confidence: a column of its own, and a part of Avg. Gap."""
        return self.efficacy("confidence")

    def on_forget(self, logits: Floats) -> NDArray[np.floating]:
        """Return the rows of F."""
        return np.asarray(logits[self.model.parts["forget"]])

    @property
    def ua(self) -> float | None:
        """Unlearning accuracy: 1 − the accuracy on F (Jia et al. 2023, arXiv:2304.04934)."""
        accuracy = self.accuracies(self.model.logits)[0]
        return None if accuracy is None else 1.0 - accuracy

    @property
    def tow(self) -> float | None:
        """:func:`tug_of_war`; ``None`` where no test example is left."""
        own, retrained = (self.accuracies(logits) for logits in (self.model.logits, self.model.retrained))
        if None in own or None in retrained:
            return None
        return tug_of_war([each for each in own if each is not None], [each for each in retrained if each is not None])

    @property
    def aus(self) -> float | None:
        """:func:`adaptive_unlearning_score`; ``None`` without test examples of the classes that are left, or gone."""
        model = self.model
        test, original = (self.accuracy(logits, self.tested) for logits in (model.logits, model.original))
        if test is None or original is None:
            return None
        if len(self.gone):
            removed = np.setdiff1d(model.parts["test"], self.tested)
            delta = self.accuracy(model.logits, removed)
        else:
            forget = self.accuracy(model.logits, model.parts["forget"])
            delta = None if forget is None else forget - test
        return None if delta is None else adaptive_unlearning_score(test, original, delta)

    @property
    def gap(self) -> float | None:
        """:func:`average_gap` with MIA-efficacy on confidence; ``None`` where no test example is left."""
        model = self.model
        own = (*self.accuracies(model.logits), self.confident)
        retrained = (*self.accuracies(model.retrained), self.efficacy("confidence", model.retrained))
        if None in own or None in retrained:
            return None
        return average_gap([each for each in own if each is not None], [each for each in retrained if each is not None])


def _pair(logits: ArrayLike, others: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    own, reference = np.asarray(logits, dtype=np.float64), np.asarray(others, dtype=np.float64)
    if own.ndim != 2 or own.shape != reference.shape or own.size == 0:
        raise ValueError(f"two equal shapes [n, classes] expected, got {own.shape} and {reference.shape}")
    if not (np.isfinite(own).all() and np.isfinite(reference).all()):
        raise ValueError("logits are not finite")
    return own, reference
