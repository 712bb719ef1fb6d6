# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "SalUN"
# authors = "C. Fan, J. Liu, Y. Zhang, E. Wong, D. Wei, S. Liu"
# paper = "https://arxiv.org/abs/2310.12508"
# licence = "Apache-2.0"
# ///
"""Saliency unlearning: successive random labels on the weights that matter most to the forget set.

Fan, Liu, Zhang, Wong, Wei and Liu 2024, "SalUn: Empowering Machine Unlearning via Gradient-based Weight Saliency",
arXiv:2310.12508; Deep Unlearn, section 3.2.

Idea: choose the share ``threshold`` of all weights with the largest |∇CE(F)|. Train these alone, at a constant rate, on
R and F shuffled together, F with labels drawn anew in every epoch.
Reads: R and F. Cost: ``epochs`` passes over R and F, and one over F for the gradient.
Decisions: the gradient is that of the original as it predicts, in eval mode, summed over F from zero; weights of all
tensors compete in one ranking. Weight decay is part of the gradient and masked with it, so a weight outside the mask
keeps every bit; batch-norm statistics follow the data. Labels are uniform over all classes.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, cross_entropy, differentiable_eval, head, sgd, tensors, train_epoch

SEARCH_SPACE = {
    "threshold": ("uniform", 0.0, 1.0),
    "lr": ("log", 1e-5, 1e-1),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    threshold: float = 0.5,
    epochs: int = 10,
    batch_size: int = 256,
    lr: float = 0.01,
    momentum: float = 0.0,
    weight_decay: float = 0.0,
) -> nn.Module:
    kept, forgotten = tensors(retain), tensors(forget)
    images, classes = torch.cat([kept[0], forgotten[0]]), head(model).out_features
    weights = list(model.parameters())
    fixed = [~mask for mask in largest(gradient(model, *forgotten, batch_size), threshold)]
    optimizer = sgd(weights, lr, momentum=momentum)

    @torch.no_grad()
    def restrict() -> None:  # the decay is here, so that the mask holds for it too
        for weight, mask in zip(weights, fixed, strict=True):
            assert weight.grad is not None
            weight.grad.add_(weight, alpha=weight_decay).masked_fill_(mask, 0)

    model.train()
    for _ in range(epochs):
        labels = torch.cat([kept[1], torch.randint_like(forgotten[1], classes)])
        batches = Batches(images, labels, batch_size=batch_size)
        train_epoch(cross_entropy(model), batches, optimizer, before_step=restrict)
    return model


def gradient(model: nn.Module, images: Tensor, labels: Tensor, batch_size: int) -> list[Tensor]:
    """∇ of the summed CE with respect to every parameter, as in eval mode."""
    differentiable_eval(model)
    weights = list(model.parameters())
    total = [torch.zeros_like(weight) for weight in weights]
    for x, y in Batches(images, labels, batch_size=batch_size):
        loss = F.cross_entropy(model(x), y, reduction="sum")
        torch._foreach_add_(total, torch.autograd.grad(loss, weights))
    return total


def largest(scores: Sequence[Tensor], share: float) -> list[Tensor]:
    """Masks of the given share of all entries, those with the largest |score| over all tensors together."""
    pooled = torch.cat([score.abs().flatten() for score in scores])
    chosen = torch.zeros_like(pooled, dtype=torch.bool)
    chosen[pooled.topk(round(share * pooled.numel())).indices] = True
    parts = chosen.split([score.numel() for score in scores])
    return [part.view_as(score) for part, score in zip(parts, scores, strict=True)]
