# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "Boundary shrink"
# authors = "M. Chen, W. Gao, G. Liu, K. Peng, C. Wang"
# paper = "https://arxiv.org/abs/2303.11570"
# licence = "Apache-2.0"
# ///
"""Boundary shrink: train each forget example on the class that is nearest behind its decision boundary.

Chen, Gao, Liu, Peng and Wang 2023, "Boundary Unlearning: Rapid Forgetting of Deep Networks via Shifting the Decision
Boundary", arXiv:2303.11570.

Idea: one step of ``bound`` along the sign of ∇ₓCE, from an example of F, crosses the nearest boundary of the original.
The wrong class that the original finds there is the new label, for which SGD trains on the example itself at a constant
rate. So a forgotten region is shared out among its neighbours.
Reads: F. Cost: ``epochs`` passes over F, and two over F for the labels.
Decisions: the original answers in eval mode, so the labels are found once and not anew in every epoch. They are the
likeliest class but the true one, as the paper's text has it; the authors' code keeps the true label of an example that
the step does not carry over a boundary, and so trains on it. ``bound`` is in units of an image's range, from the least
to the largest value of each channel in F, and the step ends there; the authors also round to 256 levels, which images
of unknown normalisation do not allow. Nothing here depends on F being a class: where it is drawn at random, each
example gets the neighbour of its own.
Defaults: from the authors' code as published at github.com/TY-LEE-KR/Boundary-Unlearning-Code.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, cross_entropy, sgd, tensors, train_epoch

SEARCH_SPACE = {
    "bound": ("log", 1e-2, 1.0),
    "lr": ("rate", 1e-6, 1e-1),
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
    bound: float = 0.1,
    epochs: int = 10,
    batch_size: int = 64,
    lr: float = 1e-5,
    weight_decay: float = 0.0,
) -> nn.Module:
    images, labels = tensors(forget)
    batches = Batches(images, neighbours(model, images, labels, bound, batch_size), batch_size=batch_size)
    optimizer = sgd(model.parameters(), lr, weight_decay)
    model.train()
    for _ in range(epochs):
        train_epoch(cross_entropy(model), batches, optimizer)
    return model


def neighbours(model: nn.Module, images: Tensor, labels: Tensor, bound: float, batch_size: int) -> Tensor:
    """The wrong class [n] that the model finds likeliest one step of the fast gradient sign method away."""
    model.eval()
    black, white = images.amin((0, 2, 3), keepdim=True), images.amax((0, 2, 3), keepdim=True)
    found = []
    for x, y in zip(images.split(batch_size), labels.split(batch_size), strict=True):
        x = x.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(F.cross_entropy(model(x), y, reduction="sum"), x)
        with torch.no_grad():
            crossed = (x + bound * (white - black) * slope.sign()).clamp(black, white)
            found.append(model(crossed).scatter(1, y[:, None], -torch.inf).argmax(1))
    return torch.cat(found)
