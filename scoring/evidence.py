"""What an attack reads, and names by its parameter: one unlearned model, or φ under many shadow models.

``attack(model)`` gets :class:`ModelEvidence`, ``attack(shadows)`` :class:`ShadowEvidence`, ``attack(swap)``
:class:`SwapEvidence`. φ and losses are those of logits from which confidence has been taken out
(``scoring.temperature``); an attack that needs logits reads ``scaled``. Every attack also runs on the same evidence
with retrained models in the place of the unlearned ones: that is its null.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.scoring.accuracy import Accuracies, accuracies, cross_entropy, margins
from unlearn_bench.scoring.corruption import CorruptedForms
from unlearn_bench.scoring.retention import Retention, retention
from unlearn_bench.scoring.temperature import Scaled, collapse, scaled

Floats = NDArray[np.floating]
Indices = NDArray[np.integer]


@dataclass(frozen=True)
class ModelEvidence:
    """One model of one seed, over all n examples of the track.

    Attributes:
        logits: [n, classes] of the model under attack.
        original: [n, classes] of the model before unlearning.
        retrained: [n, classes] of the retrained model of the same seed.
        labels: [n].
        parts: disjoint index arrays ``retain``, ``forget``, ``val``, ``test``.
        reference_phi: [m, n] φ under the retrained models of all seeds, this one's included, from scaled logits.
        lacks: bool [m, n]: reference model m was trained without example n.
        seed: for what an attack draws.
        subclasses: [n], by which classes are forgotten, where labels are superclasses.
        corrupted_forms: which examples have which corrupted form, where F is corrupted training data.
    """

    logits: Floats
    original: Floats
    retrained: Floats
    labels: Indices
    parts: Mapping[str, Indices]
    reference_phi: Floats
    lacks: NDArray[np.bool_]
    seed: int = 0
    subclasses: Indices | None = None
    corrupted_forms: CorruptedForms | None = None

    @property
    def test(self) -> Indices:
        """Indices of T."""
        return self.parts["test"]

    @cached_property
    def scaled(self) -> Scaled:
        """The model's logits at the temperature that V asks for."""
        return scaled(self.logits, self.labels, self.parts["val"])

    @cached_property
    def retrained_scaled(self) -> Scaled:
        """The same of the retrained model of the same seed."""
        return scaled(self.retrained, self.labels, self.parts["val"])

    @cached_property
    def collapse(self) -> str:
        """Why no attack can read the model's outputs on F and T; empty where it can."""
        return collapse(self.phi[np.concatenate([self.parts["forget"], self.parts["test"]])])

    @cached_property
    def phi(self) -> NDArray[np.float64]:
        """φ [n], the log-odds of the true class, of the scaled logits."""
        return margins(self.scaled.logits, self.labels)

    @cached_property
    def unseen(self) -> Indices:
        """Test examples that differ from F by membership only.

        With F drawn at random these are all of them. Where a whole (sub)class is forgotten, they are of that class.
        Where F is corrupted training data, they are the test examples that could be corrupted, in their corrupted form.
        """
        test, kinds = self.test, self.labels if self.subclasses is None else self.subclasses
        if self.corrupted_forms is not None:
            return self.corrupted_forms.of(test)
        return test[np.isin(kinds[test], kinds[self.parts["forget"]])]

    @cached_property
    def population(self) -> Indices:
        """Validation examples, from which no model has learnt; where F is corrupted, those like it in that form."""
        val = self.parts["val"]
        return val if self.corrupted_forms is None else self.corrupted_forms.of(val)

    @cached_property
    def accuracies(self) -> Accuracies:
        """RA, FA, VA and TA of the model."""
        return accuracies(self.logits, self.labels, self.parts)

    @cached_property
    def retrained_accuracies(self) -> Accuracies:
        """RA, FA, VA and TA of the retrained model of the same seed."""
        return accuracies(self.retrained, self.labels, self.parts)

    @cached_property
    def retention(self) -> Retention:
        """The model's accuracies over the retrained model's."""
        return retention(self.accuracies, self.retrained_accuracies)

    @cached_property
    def losses(self) -> NDArray[np.float64]:
        """Cross-entropy [n] in nats, of the scaled logits."""
        return cross_entropy(self.scaled.logits, self.labels)


@dataclass(frozen=True)
class ShadowEvidence:
    """φ of the n examples of the shadow population in P complementary pairs of splits, all of it from scaled logits.

    In each pair every example is in the train half of one split, where one forget set contains it, and outside the
    half of the other. All arrays are [n, P]; column p comes from the models of pair p, which share no training
    example with the other side of the pair.

    Attributes:
        forgotten: under the unlearned model that forgot the example.
        never: under the unlearned model of the partner split, same forget index, which never saw it.
        retrained: under the retrained model of the unit that forgot it.
        retrained_never: under the retrained model of the partner split, same forget index.
        retained: under an unlearned model that retained the example while another forget set was forgotten.
        absent: under the unlearned model of the partner split, same forget index as ``retained``.
        original: under the shadow original that was trained on the example.
        original_never: under the shadow original of the partner split.
        labels: [n].
        stopped: whether no more pairs ran because U-LiRA's interval was narrow enough.
    """

    forgotten: Floats
    never: Floats
    retrained: Floats
    retrained_never: Floats
    retained: Floats
    absent: Floats
    original: Floats
    original_never: Floats
    labels: Indices
    stopped: bool = False

    def null(self) -> ShadowEvidence:
        """Return the evidence with the retrained models as the unlearned ones: nothing is left to find."""
        return replace(self, forgotten=self.retrained, never=self.retrained_never, retrained=self.retrained_never)

    def before(self) -> ShadowEvidence:
        """Return the evidence with the models before unlearning: everything is there to find."""
        return replace(
            self,
            forgotten=self.original,
            never=self.original_never,
            retained=self.original,
            absent=self.original_never,
        )


@dataclass(frozen=True)
class SwapEvidence:
    """Two unlearned models with the roles of forget set F and an equally large part T′ of the test set exchanged.

    Attributes:
        logits: [n, classes] of the model that learnt R ∪ F and unlearnt F.
        swapped: [n, classes] of the model that learnt R ∪ T′ and unlearnt T′.
        labels: [n].
        forget: indices of F.
        substitute: indices of T′.
        val: indices of V.
    """

    logits: Floats
    swapped: Floats
    labels: Indices
    forget: Indices
    substitute: Indices
    val: Indices

    @cached_property
    def phi(self) -> NDArray[np.float64]:
        """φ [2, n] under both models, of the scaled logits."""
        both = (scaled(logits, self.labels, self.val).logits for logits in (self.logits, self.swapped))
        return np.stack([margins(logits, self.labels) for logits in both])
