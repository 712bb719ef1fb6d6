# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "CFW"
# authors = "3rd place, NeurIPS 2023 Machine Unlearning"
# paper = "https://www.kaggle.com/competitions/neurips-2023-machine-unlearning/discussion/459334"
# licence = "Apache-2.0"
# ///
"""Confuse, finetune, weaken: noise in every convolution, weighted repair, and a little noise again near the end.

3rd place of the NeurIPS 2023 Machine Unlearning competition, https://www.kaggle.com/competitions/\
neurips-2023-machine-unlearning/discussion/459334; Deep Unlearn, section 3.2.

Idea: strong noise in the convolution weights confuses what has been memorised; SGD on the class-weighted cross-entropy
of R, cosine per epoch, repairs; weak noise before the last epoch blurs what the repair brought back.
Reads: R. Cost: ``epochs`` passes over R.
Decisions: noise goes into every Conv2d weight by module type, so also on a transformer. The balanced class weights
n / (C·n_c) act on each sample within the cross-entropy (a weighted mean); a class that R lacks has weight 0.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, recipe_schedule, sgd, tensors, train_epoch

SEARCH_SPACE = {
    "start_std": ("uniform", 0.0, 1.0),
    "final_std": ("uniform", 0.0, 1.0),
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
    start_std: float = 0.6,
    final_std: float = 0.005,
    epochs: int = 4,
    batch_size: int = 64,
    lr: float = 7e-4,
    weight_decay: float = 5e-4,
) -> nn.Module:
    model.train()
    batches = Batches(*tensors(retain), batch_size=batch_size)
    *_, head = (module for module in model.modules() if isinstance(module, nn.Linear))
    weights = balanced(batches.data[1], head.out_features)
    optimizer = sgd(model.parameters(), lr, weight_decay)
    schedule = recipe_schedule(optimizer, "cosine", lr, epochs, len(batches))

    def error(images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(model(images), labels, weights)

    add_noise(model, start_std)
    for epoch in range(epochs):
        if epoch == epochs - 1:
            add_noise(model, final_std)
        train_epoch(error, batches, optimizer, schedule)
    return model


@torch.no_grad()
def add_noise(model: nn.Module, std: float) -> None:
    """Add N(0, std²) to every Conv2d weight in place."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.add_(torch.randn_like(module.weight), alpha=std)


def balanced(labels: Tensor, classes: int) -> Tensor:
    """Class weights n / (C·n_c), float32 [classes], of labels [n]; 0 for a class without samples."""
    counts = labels.bincount(minlength=classes)
    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), 0.0)
