# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "FCS"
# authors = "1st place, NeurIPS 2023 Machine Unlearning"
# paper = "https://www.kaggle.com/competitions/neurips-2023-machine-unlearning/discussion/458721"
# licence = "Apache-2.0"
# ///
"""Forget, contrast, strengthen: make the forget set unrecognisable, then alternate with repair on the retain set.

1st place of the NeurIPS 2023 Machine Unlearning competition, https://www.kaggle.com/competitions/\
neurips-2023-machine-unlearning/discussion/458721; Deep Unlearn, section 3.2.

Idea: one pass over F of KL(uniform ‖ softmax). Then ``epochs`` times a contrast round, which makes each output on F
equally alike to all outputs on R, −log_softmax(z_F z_Rᵀ / T) averaged over R, and one epoch of cross-entropy on R.
Reads: R and F. Cost: ``epochs`` passes over R and 1 + ``epochs`` over F, each F batch of a contrast round with an R
batch beside it for inference.
Decisions: three SGD optimizers over the same weights, so no momentum crosses between the objectives; one batch size. A
contrast round takes one step per F batch; R, newly shuffled, starts over should it run out, where the competition's
code ends the round. z_R is taken in train mode, without gradient. The rate of the contrast falls to the part
``eta_ratio`` of ``forget_lr`` (the published 1e-6 is a 300th of 3e-4), as a cosine over the steps of all rounds; the
other rates are constant, and that on R grows with the batch, ``retain_lr`` being for 64.
Defaults: all from the competition's notebook, as Deep Unlearn's code quotes it.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

from sandbox.toolkit import cross_entropy, forever, rebatch, sgd, train_epoch

SEARCH_SPACE = {
    "temperature": ("uniform", 0.1, 5.0),
    "eta_ratio": ("log", 1e-3, 1.0),
    "uniform_lr": ("rate", 1e-5, 1.0),
    "uniform_weight_decay": ("log", 1e-5, 1e-1),
    "forget_lr": ("rate", 1e-5, 1.0),
    "forget_weight_decay": ("log", 1e-5, 1e-1),
    "retain_lr": ("rate", 1e-5, 1.0),
    "retain_weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    epochs: int = 8,
    batch_size: int = 256,
    temperature: float = 1.15,
    eta_ratio: float = 0.00333,
    uniform_lr: float = 0.005,
    uniform_weight_decay: float = 0.0,
    forget_lr: float = 3e-4,
    forget_weight_decay: float = 0.0,
    retain_lr: float = 1e-3,
    retain_weight_decay: float = 1e-2,
) -> nn.Module:
    model.train()
    retained, forgotten = rebatch(retain, batch_size), rebatch(forget, batch_size)
    confusion = sgd(model.parameters(), uniform_lr, uniform_weight_decay)
    contrast = sgd(model.parameters(), forget_lr, forget_weight_decay)
    strengthening = sgd(model.parameters(), retain_lr * batch_size / 64, retain_weight_decay)
    schedule = CosineAnnealingLR(contrast, epochs * len(forgotten), eta_ratio * forget_lr)

    def unlikeness(forgotten: tuple[Tensor, Tensor], retained: tuple[Tensor, Tensor]) -> Tensor:
        logits = model(forgotten[0])
        with torch.no_grad():
            targets = model(retained[0])
        return contrast_loss(logits, targets, temperature)

    train_epoch(lambda images, labels: divergence_from_uniform(model(images)), forgotten, confusion)
    for _ in range(epochs):
        train_epoch(unlikeness, zip(forgotten, forever(retained), strict=False), contrast, schedule)
        train_epoch(cross_entropy(model), retained, strengthening)
    return model


def divergence_from_uniform(logits: Tensor) -> Tensor:
    """Mean KL(uniform ‖ softmax) in nats of logits [n, C]."""
    return -logits.log_softmax(1).mean() - math.log(logits.shape[1])


def contrast_loss(forgotten: Tensor, retained: Tensor, temperature: float) -> Tensor:
    """Mean of −log_softmax over m of the products of logits [n, C] and [m, C], divided by the temperature."""
    return -(forgotten @ retained.T / temperature).log_softmax(1).mean()
