# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "FT"
# authors = "A. Golatkar, A. Achille, S. Soatto"
# paper = "https://arxiv.org/abs/1911.04933"
# licence = "Apache-2.0"
# ///
"""Fine-tune: train the original on the retain set alone.

Golatkar, Achille and Soatto 2020, "Eternal Sunshine of the Spotless Net", arXiv:1911.04933 (a baseline there);
Deep Unlearn, section 3.1.

Idea: whatever is no longer trained on is forgotten in time. SGD on the cross-entropy of R, cosine per epoch.
Reads: R. Cost: ``epochs`` passes over R.
Decision: this is Deep Unlearn's form, which trains in train mode with momentum and an ordinary weight decay. Golatkar's
code fine-tunes in eval mode, without momentum, and pulls the weights towards those of the original.
Defaults: all from Deep Unlearn's code. Golatkar's has 10 epochs at a rate of .01.
"""

from typing import Any

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
    epochs: int = 5,
    batch_size: int = 256,
    lr: float = 0.1,
    weight_decay: float = 5e-4,
) -> nn.Module:
    return fit(model, rebatch(retain, batch_size), epochs=epochs, lr=lr, weight_decay=weight_decay)
