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
θ += √v·N(0, 1) with v = ``alpha``·min(f^−``power``, 1000), averaged over each filter, ten times that in the classifier.
Reads: R. Cost: C forward and backward passes over at most ``max_samples`` samples of R, C the number of classes.
Decisions: f is the mean over samples of Σ_y p_y(x)·(∂ log p_y(x)/∂θ)², exact for every sample and class instead of the
square of a batch's mean gradient; ``batch_size`` is an upper bound on the samples differentiated at once and does not
change the result. Eval mode, so no buffer changes. A filter is all of a weight that leads to one output; vectors are
not averaged. ``power`` 1 is the authors' code, ½ the text of Deep Unlearn (the fourth root of f).
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import differentiable_eval, sample_gradients, tensors

SEARCH_SPACE = {
    "alpha": ("log", 1e-10, 1e-5),
    "batch_size": ("choice", (64, 128, 256)),
}

CAP = 1e3
"""Upper bound of f^−power."""

HEAD = 10
"""What the variance of the classifier is scaled by."""

ROOM = 2**28
"""How many numbers (4 bytes each) the gradients that are held at once may have."""


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    alpha: float = 1e-8,
    batch_size: int = 64,
    power: float = 1.0,
    max_samples: int = 256,
) -> nn.Module:
    images, labels = tensors(retain)
    drawn = torch.randperm(len(labels), device=labels.device)[:max_samples]
    return perturb(model, information(model, images[drawn], batch_size), alpha, power)


def information(model: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    """Diagonal of the Fisher information of ``images`` [n, c, h, w] on the parameters: [P], in their order."""
    size = sum(p.numel() for p in model.parameters())
    total = images.new_zeros(size)
    differentiable_eval(model)
    for x in images.split(max(1, min(batch_size, ROOM // size))):
        with torch.no_grad():
            probabilities = model(x).softmax(1)
        for label, probability in enumerate(probabilities.T):
            target = torch.full((len(x),), label, device=x.device)
            total += probability @ sample_gradients(model, x, target).square_()
    return total / len(images)


@torch.no_grad()
def perturb(model: nn.Module, information: Tensor, alpha: float, power: float) -> nn.Module:
    """Add the noise, in place; ``information`` [P] in the order of the parameters."""
    head = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    parameters = list(model.parameters())
    for p, f in zip(parameters, information.split([p.numel() for p in parameters]), strict=True):
        variance = alpha * f.view_as(p).pow(-power).clamp(max=CAP)
        if p.ndim > 1:
            variance = variance.flatten(1).mean(1).view(-1, *[1] * (p.ndim - 1))
        if any(p is of_head for of_head in head.parameters()):
            variance *= HEAD
        p.add_(variance.sqrt() * torch.randn_like(p))
    return model
