# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "FF"
# authors = "A. Golatkar, A. Achille, S. Soatto"
# paper = "https://arxiv.org/abs/1911.04933"
# licence = "Apache-2.0"
# ///
"""Fisher forgetting: add noise to every weight, the more the less the retain set depends on it.

Golatkar, Achille and Soatto 2020, "Eternal Sunshine of the Spotless Net", arXiv:1911.04933;
Deep Unlearn, section 3.2.

Idea: noise hides what the weights know about F and spares R where the Fisher information f of R on a weight is high.
θ += √v·N(0, 1) with v = ``alpha``·min(f^−``power``, 1000), averaged over the input channels of each weight. The
classifier has a bound of 100 instead; v is ten times that in the classifier and in vectors, such as normalisation.
Reads: R. Cost: C forward and backward passes over at most ``max_samples`` samples of R, C the number of classes.
Decisions: f is the mean over samples of Σ_y p_y(x)·(∂ log p_y(x)/∂θ)², exact for every sample and class as in the
authors' code, but over ``max_samples`` of R at most; Deep Unlearn's code squares the mean gradient of a batch instead.
Eval mode, so no buffer changes. The classifier is found by position rather than by its number of outputs. The step
of the authors' code for a class that is forgotten as a whole is left out. ``power`` 1 is the authors' code, ½ their
paper and the text of Deep Unlearn (noise as f^−¼); the search tries both, since at 1 the bound holds for nine in ten
weights of the digits network, so that the noise hardly follows f, and at ½ for two in three.
Defaults: ``power`` from the authors' notebook; ``alpha`` is the least of those it compares, since the 1e-6 of its small
network is noise as large as the weights in a ResNet18, and the .2 of Deep Unlearn's code leaves nothing of them;
``max_samples`` is ours (the authors take all of R).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import differentiable_eval, head, sample_gradients, tensors

SEARCH_SPACE = {"alpha": ("log", 1e-9, 1e-5), "power": ("choice", (1.0, 0.5))}

CAP, HEAD_CAP = 1e3, 1e2
"""Upper bound of f^−power, in general and in the classifier."""

AMPLIFIED = 10
"""What the variance of the classifier and of vectors is multiplied by."""

ROOM = 2**28
"""How many numbers (4 bytes each) the gradients that are held at once may have."""


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    alpha: float = 1e-8,
    power: float = 1.0,
    max_samples: int = 256,
) -> nn.Module:
    images, labels = tensors(retain)
    drawn = torch.randperm(len(labels), device=labels.device)[:max_samples]
    return perturb(model, information(model, images[drawn]), alpha, power)


def information(model: nn.Module, images: Tensor, room: int = ROOM) -> Tensor:
    """Diagonal of the Fisher information of ``images`` [n, c, h, w] on the parameters: [P], in their order."""
    size = sum(p.numel() for p in model.parameters())
    total = images.new_zeros(size)
    differentiable_eval(model)
    for x in images.split(max(1, room // size)):
        with torch.no_grad():
            probabilities = model(x).softmax(1)
        for label, probability in enumerate(probabilities.T):
            target = torch.full((len(x),), label, device=x.device)
            total += probability @ sample_gradients(model, x, target).square_()
    return total / len(images)


@torch.no_grad()
def perturb(model: nn.Module, information: Tensor, alpha: float, power: float) -> nn.Module:
    """Add the noise, in place; ``information`` [P] in the order of the parameters."""
    classifier = {id(p) for p in head(model).parameters()}
    parameters = list(model.parameters())
    for p, f in zip(parameters, information.split([p.numel() for p in parameters]), strict=True):
        variance = alpha * f.view_as(p).pow(-power).clamp(max=HEAD_CAP if id(p) in classifier else CAP)
        if p.ndim > 1:
            variance = variance.mean(1, keepdim=True)
        if p.ndim == 1 or id(p) in classifier:
            variance *= AMPLIFIED
        p.add_(variance.sqrt() * torch.randn_like(p))
    return model
