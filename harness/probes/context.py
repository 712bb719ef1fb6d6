"""What a probe gets: one finished model, the reference models of its seed, and the examples."""

from __future__ import annotations

import copy as copying
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, RoleKind
from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.specification import ProbeSettings, Recipe
from unlearn_bench.harness.training.inference import EVALUATION_BATCH, normaliser
from unlearn_bench.sandbox.inside import models
from unlearn_bench.sandbox.toolkit import head
from unlearn_bench.scoring.corruption import CorruptedForms


@dataclass(frozen=True)
class ProbeContext:
    """One model of one seed under test, and all that a probe may look at. Nothing in it may be changed.

    All tensors lie on one device. The models are in eval mode and their parameters require no gradient:
    :meth:`copy` returns one that can be trained.

    Attributes:
        model: the model under test: an unlearned one, or one of the reference models in its place.
        original: the model before unlearning.
        retrained: the model that was trained without F, from the original's initial weights. Where the model under
            test is this one, it is the null model instead, so that no probe compares a model with itself.
        null: a second retrained model, from other initial weights; ``None`` where the store has none.
        images: float32 [n, c, h, w], all examples of the track as models get them (normalised).
        labels: int64 [n].
        subclasses: int64 [n], by which classes are forgotten; ``labels``, unless the track merges classes.
        parts: int64 indices of ``retain``, ``forget``, ``val`` and ``test``.
        forgets_class: whether F is one or more whole (sub)classes.
        classes: how many classes the models tell apart.
        recipe: how the reference models were trained.
        settings: the hyper-parameters of the probes on this track.
        corrupted_forms: which examples have which corrupted form, where F is corrupted training data.
        seed: for what a probe draws; the same for every model of a model seed, so that they are compared in pairs.
    """

    model: nn.Module
    original: nn.Module
    retrained: nn.Module
    null: nn.Module | None
    images: Tensor
    labels: Tensor
    subclasses: Tensor
    parts: Mapping[str, Tensor]
    forgets_class: bool
    classes: int
    recipe: Recipe
    settings: ProbeSettings
    seed: int = 0
    corrupted_forms: CorruptedForms | None = None

    @cached_property
    def unseen(self) -> Tensor:
        """Test examples that differ from F by membership only, int64 indices; see ``scoring.evidence``."""
        test = self.parts["test"]
        if self.corrupted_forms is not None:
            return torch.from_numpy(self.corrupted_forms.of(test.cpu().numpy())).to(test.device)
        return test[torch.isin(self.subclasses[test], self.subclasses[self.parts["forget"]])]

    @property
    def device(self) -> torch.device:
        """Where models and tensors lie."""
        return self.images.device

    def of_original(self) -> ProbeContext:
        """Return the context in which the original is under test."""
        return replace(self, model=self.original)

    def of_retrained(self) -> ProbeContext:
        """Return the context in which the retrained model is under test, compared with the null model.

        Raises:
            ValueError: the store has no null model.
        """
        return replace(self, model=self.retrained, retrained=self._null())

    def of_null(self) -> ProbeContext:
        """Return the context in which the null model is under test: what a perfect unlearner reads.

        Raises:
            ValueError: the store has no null model.
        """
        return replace(self, model=self._null())

    def _null(self) -> nn.Module:
        if self.null is None:
            raise ValueError("the store has no null model")
        return self.null

    def sample(self, name: str, most: int | None = None) -> Tensor:
        """Return at most ``most`` examples of a part, or of ``unseen``; default: ``settings.examples``."""
        part = self.unseen if name == "unseen" else self.parts[name]
        count = min(most or self.settings.examples, self.settings.examples)
        if len(part) <= count:
            return part
        order = torch.randperm(len(part), generator=torch.Generator().manual_seed(self.seed))
        return part[order[:count].sort().values.to(part.device)]

    def copy(self, model: nn.Module) -> nn.Module:
        """Return a copy of a model whose parameters all require gradients, in eval mode."""
        copied = copying.deepcopy(model).requires_grad_(True)
        copied.eval()
        return copied

    def logits(self, model: nn.Module, indices: Tensor) -> Tensor:
        """Return logits [k, classes] of examples; the model must be in eval mode."""
        return self.answers(model, self.images[indices])

    def features(self, model: nn.Module, indices: Tensor) -> Tensor:
        """Return what the classifier of a model in eval mode gets for examples, [k, features].

        Where it gets several positions, as a convolution and a layer on tokens do, they are averaged.

        Raises:
            NotApplicable: the network has no linear classifier.
        """
        inputs: list[Tensor] = []
        classifier = head(model)
        assert isinstance(classifier, nn.Module)
        handle = classifier.register_forward_pre_hook(lambda _, arguments: inputs.append(arguments[0].detach()))
        try:
            self.logits(model, indices)
        finally:
            handle.remove()
        rows = torch.cat(inputs)
        if rows.ndim == 4:
            return rows.flatten(2).mean(2)
        return rows if rows.ndim == 2 else rows.flatten(1, -2).mean(1)

    @torch.no_grad()
    def answers(self, model: nn.Module, images: Tensor) -> Tensor:
        """Return logits [k, classes] on images [k, c, h, w] that are as ``images``, in batches."""
        return torch.cat([model(block) for block in images.split(EVALUATION_BATCH)])


def seed_context(references: References, seed: int, device: str = "cpu") -> ProbeContext:
    """Return the context of a model seed, with the original under test; ``replace`` puts another model there.

    Args:
        references: of the track; the store must have the weights of the original and of the retrained model.
        seed: the model seed.
        device: ``cpu``, ``cuda:0``, ….

    Raises:
        StoreError: weights are damaged or not stored.
    """
    track, examples = references.track, references.examples

    def stored(kind: RoleKind) -> nn.Module:
        return model_of(references, references.weights(Role(kind, seed)), device)

    original = stored("original")
    return ProbeContext(
        model=original,
        original=original,
        retrained=stored("retrained"),
        null=stored("null") if references.has_weights(Role("null", seed)) else None,
        images=normaliser(track, device)(torch.from_numpy(examples.dataset.images).to(device)),
        labels=torch.from_numpy(examples.labels).to(device),
        subclasses=torch.from_numpy(examples.subclasses).to(device),
        parts={name: torch.from_numpy(part).to(device) for name, part in examples.parts(seed).items()},
        forgets_class=track.splits.forget_rule == "class",
        classes=track.data.classes,
        recipe=track.recipe,
        settings=track.analysis.probes,
        seed=derive(track.analysis.umia_seed, 0, seed),
        corrupted_forms=examples.corrupted_forms,
    )


def model_of(references: References, weights: bytes, device: str = "cpu") -> nn.Module:
    """Return the track's network with weights (safetensors) that have been checked, in the form that probes get."""
    from safetensors.torch import load

    model = models.load(references.track.model_spec, load(weights))
    return model.eval().requires_grad_(False).to(device)
