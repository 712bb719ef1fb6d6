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

Idea: choose the share ``threshold`` of all weights with the largest |∇CE(F)|. Train these alone, at a constant rate: in
every epoch on F with labels drawn anew, and then on R. With ``order="shuffled"`` an epoch mixes the two sets.
Reads: R and F. Cost: ``epochs`` passes over R and F, and one over F for the gradient.
Decisions: the gradient is that of the original as it predicts, in eval mode, summed over F from zero; weights of all
tensors compete in one ranking. Weight decay is part of the gradient and masked with it, so a weight outside the mask
keeps every bit; batch-norm statistics follow the data. Labels are uniform over all classes. The share is of the weights
with a gradient that is not 0: on small images most of a kernel meets padding alone, so that a share of all weights
could hold every one that matters. The authors take F first on CIFAR-10 and SVHN and shuffle on CIFAR-100 and Tiny
ImageNet.
Defaults: all from the authors' code (github.com/OPTML-Group/Unlearn-Saliency, ``Classification``): ``lr``, ``epochs``
and ``threshold`` from its example for ResNet-18 on CIFAR-10, the others from its argument parser. Deep Unlearn shuffles
and has neither momentum nor weight decay, at a rate of .01.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, cross_entropy, differentiable_eval, head, sgd, tensors, train_epoch

SEARCH_SPACE = {
    "threshold": ("uniform", 0.1, 0.9),
    "order": ("choice", ("forget first", "shuffled")),
    "lr": ("rate", 1e-5, 1.0),
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
    order: Literal["forget first", "shuffled"] = "forget first",
    epochs: int = 10,
    batch_size: int = 256,
    lr: float = 0.013,
    momentum: float = 0.9,
    weight_decay: float = 5e-4,
) -> nn.Module:
    kept, forgotten = tensors(retain), tensors(forget)
    images, classes = torch.cat([forgotten[0], kept[0]]), head(model).out_features
    parts = [len(images)] if order == "shuffled" else [len(forgotten[0]), len(kept[0])]
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
        labels = torch.cat([torch.randint_like(forgotten[1], classes), kept[1]])
        for part in zip(images.split(parts), labels.split(parts), strict=True):
            batches = Batches(*part, batch_size=batch_size)
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
    """Masks of the given share of the entries that are not 0, those with the largest |score| over all tensors."""
    pooled = torch.cat([score.abs().flatten() for score in scores])
    chosen = torch.zeros_like(pooled, dtype=torch.bool)
    chosen[pooled.topk(int(share * int(pooled.count_nonzero()))).indices] = True
    parts = chosen.split([score.numel() for score in scores])
    return [part.view_as(score) for part, score in zip(parts, scores, strict=True)]
