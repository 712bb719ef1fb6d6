# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "SSD"
# authors = "J. Foster, S. Schoepf, A. Brintrup"
# paper = "https://arxiv.org/abs/2308.07707"
# licence = "Apache-2.0"
# ///
"""Selective synaptic dampening: shrink the weights that matter far more to the forget set than to all data.

Foster, Schoepf and Brintrup 2024, "Fast Machine Unlearning Without Retraining Through Selective Synaptic Dampening",
arXiv:2308.07707.

Idea: [D] and [F] are the importances of a weight for R ∪ F and for F, the squared gradients of the cross-entropy. Where
[F] > ``alpha``·[D], the weight is multiplied by min(``lambda_``·[D] / [F], 1); every other weight stays as it is. No
training.
Reads: R and F. Cost: one pass over R and two over F, for gradients.
Decisions: an importance is the mean over batches of the squared gradient of the batch's mean loss, in eval mode, as in
the authors' code, and [D] is taken over all data. Such squares shrink as a batch grows, so both sets are cut into
batches of about one size, at most |F|; the authors' batches of F are shorter than those of D where F is small. Buffers
stay as they are.
Defaults: all from the authors' code (github.com/if-loops/selective-synaptic-dampening, ``forget_random_main.py``).
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, differentiable_eval, tensors

SEARCH_SPACE = {
    "alpha": ("log", 0.5, 100.0),
    "lambda_": ("log", 0.05, 10.0),
    "batch_size": ("choice", (64, 128, 256)),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    alpha: float = 10.0,
    lambda_: float = 1.0,
    batch_size: int = 128,
) -> nn.Module:
    kept, forgotten = tensors(retain), tensors(forget)
    images, labels = (torch.cat(pair) for pair in zip(kept, forgotten, strict=True))
    size = min(batch_size, len(forgotten[1]))
    of_forgotten, of_everything = importance(model, *forgotten, size), importance(model, images, labels, size)
    with torch.no_grad():
        for weight, f, d in zip(model.parameters(), of_forgotten, of_everything, strict=True):
            factor = (lambda_ * d / f).clamp(max=1)
            weight.copy_(torch.where(f > alpha * d, weight * factor, weight))
    return model


def importance(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> list[Tensor]:
    """Mean over batches of the squared gradient of the mean CE with respect to every parameter, as in eval mode."""
    differentiable_eval(model)
    weights = list(model.parameters())
    batches = Batches(images, labels, batch_size=batch_size)
    total = [torch.zeros_like(weight) for weight in weights]
    for x, y in batches:
        slopes = torch.autograd.grad(F.cross_entropy(model(x), y), weights)
        torch._foreach_addcmul_(total, slopes, slopes, value=1 / len(batches))
    return total
