# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "MSG"
# authors = "2nd place, NeurIPS 2023 Machine Unlearning"
# paper = "https://www.kaggle.com/competitions/neurips-2023-machine-unlearning/discussion/459200"
# licence = "Apache-2.0"
# ///
"""Masked small gradients: re-draw the convolution weights that tell retain and forget set least apart.

2nd place of the NeurIPS 2023 Machine Unlearning competition, https://www.kaggle.com/competitions/\
neurips-2023-machine-unlearning/discussion/459200; Deep Unlearn, section 3.2.

Idea: accumulate ∇CE(as many samples of R as F has) − ∇CE(F); in every Conv2d re-draw the share ``init_rate`` of the
weights with the smallest |gradient|. Repair on R, where the kept convolution weights move at a tenth of the rate.
Reads: R and F. Cost: ``epochs`` passes over R and two over F.
Decisions: both gradients are of the mean over their set, taken in train mode, and come in batches of one size, so
neither side outweighs the other; weight decay is part of the gradient and damped with it, while the competition's code
damps the gradient alone. The rate rises linearly over the first half of the epochs and then falls.
Defaults: all from the competition's notebook, as Deep Unlearn's code quotes it.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, cross_entropy, rebatch, sgd, tensors, train_epoch

SEARCH_SPACE = {
    "init_rate": ("uniform", 0.05, 0.95),
    "lr": ("rate", 1e-5, 1.0),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}

DAMPING = 0.1
"""What the gradient of a kept convolution weight is scaled by."""


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    init_rate: float = 0.3,
    epochs: int = 5,
    batch_size: int = 64,
    lr: float = 1e-3,
    weight_decay: float = 5e-4,
) -> nn.Module:
    model.train()
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    redrawn = redraw(weights, contrast(model, weights, retain, forget, batch_size), init_rate)
    damping = [torch.where(new, 1.0, DAMPING) for new in redrawn]

    others = [p for p in model.parameters() if all(p is not weight for weight in weights)]
    groups: list[dict[str, Any]] = [{"params": weights, "weight_decay": 0.0}, {"params": others}]
    optimizer = sgd(groups, lr, weight_decay)

    @torch.no_grad()
    def damp() -> None:  # the decay of the first group is here, so that it is damped too
        for weight, factor in zip(weights, damping, strict=True):
            assert weight.grad is not None
            weight.grad.add_(weight, alpha=weight_decay).mul_(factor)

    batches = rebatch(retain, batch_size)
    schedule = LambdaLR(optimizer, lambda step: rate(step // len(batches), epochs))
    for _ in range(epochs):
        train_epoch(cross_entropy(model), batches, optimizer, schedule, damp)
    return model


def contrast(
    model: nn.Module, weights: Sequence[Tensor], retain: DataLoader[Any], forget: DataLoader[Any], batch_size: int
) -> list[Tensor]:
    """∇ of the mean CE over |F| samples of R minus that over F, with respect to ``weights``."""
    kept, forgotten = tensors(retain), tensors(forget)
    drawn = torch.randperm(len(kept[0]), device=kept[0].device)[: len(forgotten[0])]
    gradient = [torch.zeros_like(weight) for weight in weights]
    for sign, (images, labels) in ((1, (kept[0][drawn], kept[1][drawn])), (-1, forgotten)):
        for x, y in Batches(images, labels, batch_size=batch_size):
            loss = sign * F.cross_entropy(model(x), y, reduction="sum") / len(labels)
            torch._foreach_add_(gradient, torch.autograd.grad(loss, weights))
    return gradient


@torch.no_grad()
def redraw(weights: Sequence[Tensor], gradient: Sequence[Tensor], share: float) -> list[Tensor]:
    """Re-draw in each weight the given share of entries with the smallest |gradient|; returns masks of the re-drawn."""
    masks = []
    for weight, g in zip(weights, gradient, strict=True):
        smallest = g.abs().flatten().argsort()[: round(share * g.numel())]
        mask = torch.zeros_like(g, dtype=torch.bool).flatten().index_fill_(0, smallest, True).view_as(g)
        fresh = nn.init.kaiming_normal_(torch.empty_like(weight), mode="fan_out", nonlinearity="relu")
        weight.copy_(torch.where(mask, fresh, weight))
        masks.append(mask)
    return masks


def rate(epoch: int, epochs: int) -> float:
    """Learning-rate factor: rises linearly to 1 over the first ⌈E/2⌉ epochs, then falls linearly, never to 0."""
    rise = math.ceil(epochs / 2)
    return (epoch + 1) / rise if epoch < rise else (epochs - epoch) / (epochs - rise + 1)
