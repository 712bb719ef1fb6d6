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
"""Confuse, finetune, weaken: noise in the first convolution, weighted repair, and a little noise again near the end.

3rd place of the NeurIPS 2023 Machine Unlearning competition, https://www.kaggle.com/competitions/\
neurips-2023-machine-unlearning/discussion/459334; Deep Unlearn, section 3.2.

Idea: strong noise in the weights that read the image confuses what has been memorised; SGD on the class-weighted
cross-entropy of R, cosine per epoch, repairs; weak noise before the last epoch blurs what the repair brought back.
Reads: R. Cost: ``epochs`` passes over R.
Decisions: the competition's code looks for "conv" in the names of the model's own children, which on a ResNet is the
stem alone; here it is the first Conv2d by position, so that a transformer has one too. ``layers`` = "all" is a second
variant: noise in every Conv2d, where a standard deviation counts in units of the spread of each layer's own weights.
The balanced class weights n / (C·n_c) act on each sample within the cross-entropy (a weighted mean); the competition's
code multiplies the mean loss by the mean weight, which weighs no class. A class that R lacks has weight 0. With one
epoch there is no second noise, as in the competition's code, so the search starts at two.
Defaults: all from the competition's notebook, as Deep Unlearn's code quotes it; its class weights for 10 age groups are
replaced by balanced ones, as in Deep Unlearn.
"""

from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, head, recipe_schedule, sgd, tensors, train_epoch

SEARCH_SPACE = {
    "start_std": ("log", 1e-2, 1.0),
    "final_std": ("log", 1e-3, 1e-1),
    "lr": ("rate", 1e-5, 1.0),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 2, "max_epochs"),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    start_std: float = 0.6,
    final_std: float = 0.005,
    layers: Literal["first", "all"] = "first",
    epochs: int = 4,
    batch_size: int = 64,
    lr: float = 7e-4,
    weight_decay: float = 5e-4,
) -> nn.Module:
    model.train()
    batches = Batches(*tensors(retain), batch_size=batch_size)
    weights = balanced(batches.data[1], head(model).out_features)
    optimizer = sgd(model.parameters(), lr, weight_decay)
    schedule = recipe_schedule(optimizer, "cosine", lr, epochs, len(batches))

    def error(images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(model(images), labels, weights)

    add_noise(model, start_std, layers)
    for epoch in range(epochs):
        if 0 < epoch == epochs - 1:
            add_noise(model, final_std, layers)
        train_epoch(error, batches, optimizer, schedule)
    return model


@torch.no_grad()
def add_noise(model: nn.Module, std: float, layers: Literal["first", "all"]) -> None:
    """Add N(0, std²) to the first Conv2d weight in place, or N(0, (std·s)²) to each one, s its own spread."""
    weights = [module.weight for module in model.modules() if isinstance(module, nn.Conv2d)]
    if layers == "first":
        weights[0].add_(torch.randn_like(weights[0]), alpha=std)
        return
    for weight in weights:
        weight.add_(torch.randn_like(weight) * weight.std(correction=0), alpha=std)


def balanced(labels: Tensor, classes: int) -> Tensor:
    """Class weights n / (C·n_c), float32 [classes], of labels [n]; 0 for a class without samples."""
    counts = labels.bincount(minlength=classes)
    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), 0.0)
