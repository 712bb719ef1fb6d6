# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "CF-k"
# authors = "S. Goel, A. Prabhu, A. Sanyal, S.-N. Lim, P. Torr, P. Kumaraguru"
# paper = "https://arxiv.org/abs/2201.06640"
# licence = "Apache-2.0"
# ///
"""Catastrophic forgetting of the last k layers: train only the last layers, on the retain set.

Goel, Prabhu, Sanyal, Lim, Torr and Kumaraguru 2022, "Towards Adversarial Evaluations for Inexact Machine Unlearning",
arXiv:2201.06640 (CF-k); Deep Unlearn, section 3.2.

Idea: the last layers memorise most, so fine-tune them alone, as the original was trained. SGD on the cross-entropy of
R; the rate falls as a half cosine from ``lr`` towards lr/20 in cycles of 1, 2, 4, … epochs (warm restarts), and the
norm of the gradient is at most 10.
Reads: R. Cost: ``epochs`` passes over R, backwards through the last layers alone.
Decisions: k is the share ``share`` of the layers, rounded down, since k layers are another part of another network; one
layer at least is trained and one at least is frozen. Layers are counted as the authors do: convolutions and linear
maps, backwards from the classifier, which is the first; normalisation goes along (``sandbox.toolkit.last_layers``).
As in the authors' code, all of the model is in train mode, so the statistics of frozen batch norms follow R, too.
Deep Unlearn's code, which counts stages, trains in eval mode and adds a pull back to the start, is another method.
Defaults: the authors' code; ``share`` is its k of 10 in ResNet-20 and of 50 in ResNet-110.
"""

from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from sandbox.toolkit import fit, last_layers, rebatch

SEARCH_SPACE = {
    "share": ("uniform", 0.0, 1.0),
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
    share: float = 0.5,
    epochs: int = 30,
    batch_size: int = 64,
    lr: float = 0.1,
    weight_decay: float = 5e-5,
) -> nn.Module:
    model.requires_grad_(False)
    last_layers(model, share).requires_grad_(True)
    batches = rebatch(retain, batch_size)
    return fit(model, batches, epochs=epochs, lr=lr, weight_decay=weight_decay, schedule="restarts", clip=10.0)
