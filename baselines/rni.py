# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "RNI"
# authors = "7th place, NeurIPS 2023 Machine Unlearning"
# paper = "https://www.kaggle.com/competitions/neurips-2023-machine-unlearning/discussion/459095"
# licence = "Apache-2.0"
# ///
"""Repeated noise injection: renew the head, then train a few noisy layers at a time on the retain set.

7th place of the NeurIPS 2023 Machine Unlearning competition, https://www.kaggle.com/competitions/\
neurips-2023-machine-unlearning/discussion/459095; Deep Unlearn, section 3.2.

Idea: after the head has been re-initialised, every epoch but the last ``fine_epochs`` trains nine weight tensors,
picked anew, and all normalisation tensors; from the epoch ``reset_epochs`` on, a share of those nine gets noise first.
The last epochs train everything without noise. SGD on the cross-entropy of R.
Reads: R. Cost: ``epochs`` passes over R.
Decisions: weight tensors are the weights of Conv2d and Linear layers, normalisation is known by module type, the head
is the last Linear by position; all else waits for the last epochs. Noise hits a share ``noise_ratio`` of the nine
tensors, all their entries, anew in every epoch that has it. Each of these epochs has its own optimizer. In the last
epochs the rate falls from ``fine_lr`` to a tenth of it, as a cosine over the steps. A search space cannot say that
``fine_epochs`` ends at ``epochs`` − 1: a larger one counts as that. ``epochs`` = 1 is a last epoch alone.
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

from sandbox.toolkit import cross_entropy, rebatch, reinitialise, sgd, train_epoch

SEARCH_SPACE = {
    "noise_ratio": ("uniform", 0.0, 1.0),
    "origin_noise": ("uniform", 0.0, 1.0),
    "lr": ("log", 1e-5, 1e-1),
    "fine_lr": ("log", 1e-5, 1e-1),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 2, "max_epochs"),
    "fine_epochs": ("int", 1, "max_epochs"),
}

PICKED = 9
"""Weight tensors that an epoch trains before the last epochs."""

NORMALISATION = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm)


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    noise_ratio: float = 0.7,
    origin_noise: float = 0.04,
    epochs: int = 9,
    fine_epochs: int = 4,
    reset_epochs: int = 1,
    batch_size: int = 64,
    lr: float = 2e-4,
    fine_lr: float = 1e-3,
    weight_decay: float = 5e-4,
) -> nn.Module:
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    normalisation = [p for m in model.modules() if isinstance(m, NORMALISATION) for p in m.parameters()]
    reinitialise([layer for layer in layers if isinstance(layer, nn.Linear)][-1])

    model.train()
    batches = rebatch(retain, batch_size)
    fine_epochs = max(1, min(fine_epochs, epochs - 1))
    for epoch in range(epochs - fine_epochs):
        picked = [layers[index].weight for index in torch.randperm(len(layers))[:PICKED].tolist()]
        if epoch >= reset_epochs:
            add_noise(picked[: round(noise_ratio * len(picked))], origin_noise)
        model.requires_grad_(False)
        trained = [tensor.requires_grad_() for tensor in picked + normalisation]
        train_epoch(cross_entropy(model), batches, sgd(trained, lr, weight_decay))

    optimizer = sgd(model.requires_grad_(True).parameters(), fine_lr, weight_decay)
    schedule = CosineAnnealingLR(optimizer, fine_epochs * len(batches), fine_lr / 10)
    for _ in range(fine_epochs):
        train_epoch(cross_entropy(model), batches, optimizer, schedule)
    return model


@torch.no_grad()
def add_noise(weights: Iterable[Tensor], std: float) -> None:
    """Add N(0, std²) in place."""
    for weight in weights:
        weight.add_(torch.randn_like(weight), alpha=std)
