# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "Shrink, perturb, repair"
# authors = "unlearn-bench"
# paper = "https://arxiv.org/abs/1910.08475"
# licence = "Apache-2.0"
# ///
"""Pull every weight part of the way to a fresh initialisation, then train on the retain set.

An example entry. Ash and Adams 2020, "On Warm-Starting Neural Network Training", pull the weights of a warm start
towards fresh ones so that it generalises like a cold one; a model that trains like a cold one has also forgotten.

Reads: R. Cost: ``epochs`` passes over R.
"""

import copy
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from sandbox.toolkit import fit, rebatch, reinitialise

SEARCH_SPACE = {
    "keep": ("uniform", 0.0, 1.0),
    "lr": ("log", 1e-3, 1.0),
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
    keep: float = 0.4,
    epochs: int = 8,
    batch_size: int = 64,
    lr: float = 0.05,
    weight_decay: float = 5e-4,
) -> nn.Module:
    fresh = reinitialise(copy.deepcopy(model))
    with torch.no_grad():
        for weight, new in zip(model.parameters(), fresh.parameters(), strict=True):
            weight.lerp_(new, 1 - keep)
    return fit(
        model,
        rebatch(retain, batch_size),
        epochs=epochs,
        lr=lr,
        weight_decay=weight_decay,
        schedule="one-cycle",
    )
