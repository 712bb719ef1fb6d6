# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "CT"
# authors = "5th place, NeurIPS 2023 Machine Unlearning"
# paper = "https://www.kaggle.com/competitions/neurips-2023-machine-unlearning/discussion/458531"
# licence = "Apache-2.0"
# ///
"""Convolution transpose: transpose every convolution kernel, then repair on the retain set.

5th place of the NeurIPS 2023 Machine Unlearning competition, https://www.kaggle.com/competitions/\
neurips-2023-machine-unlearning/discussion/458531; Deep Unlearn, section 3.2.

Idea: a transposed kernel keeps its statistics and loses what it has memorised. Swap the two spatial axes of every
Conv2d weight, then SGD on the cross-entropy of R, cosine per epoch.
Reads: R. Cost: ``epochs`` passes over R.
Decision: square kernels only, by module type; 1×1 kernels are their own transpose.
Defaults: all from the competition's notebook, as Deep Unlearn's code quotes it.
"""

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from sandbox.toolkit import fit, rebatch

SEARCH_SPACE = {
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
    epochs: int = 3,
    batch_size: int = 64,
    lr: float = 1e-3,
    weight_decay: float = 5e-4,
) -> nn.Module:
    transpose(model)
    return fit(model, rebatch(retain, batch_size), epochs=epochs, lr=lr, weight_decay=weight_decay)


@torch.no_grad()
def transpose(model: nn.Module) -> None:
    """Swap height and width of every Conv2d weight [out, in, k, k] in place."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            module.weight.copy_(module.weight.transpose(2, 3).clone())
