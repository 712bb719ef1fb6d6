# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "GA"
# authors = "A. Golatkar, A. Achille, S. Soatto"
# paper = "https://arxiv.org/abs/1911.04933"
# licence = "Apache-2.0"
# ///
"""Gradient ascent: train the original to get the forget set wrong.

Golatkar, Achille and Soatto 2020, "Eternal Sunshine of the Spotless Net", arXiv:1911.04933 (its "negative gradient");
Deep Unlearn, section 3.1.

Idea: undo descent by ascent. SGD on the negated cross-entropy of F at a constant learning rate.
Reads: F. Cost: ``epochs`` passes over F, and as many for inference.
Decision: the loss has no bound, so ascent can leave the numbers that floats have. After every epoch the logits of F in
eval mode and the state are checked; at the first value that is not finite the epoch before it is the result.
Defaults: all from Deep Unlearn's code; the argument parser of github.com/OPTML-Group/Unlearn-Saliency has the same.
"""

from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from sandbox.toolkit import cross_entropy, finite, predict, rebatch, sgd, train_epoch

SEARCH_SPACE = {
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
    epochs: int = 10,
    batch_size: int = 256,
    lr: float = 0.01,
    weight_decay: float = 5e-4,
) -> nn.Module:
    batches = rebatch(forget, batch_size)
    optimizer = sgd(model.parameters(), lr, weight_decay)
    likelihood = cross_entropy(model)
    for _ in range(epochs):
        before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        model.train()
        train_epoch(lambda images, labels: -likelihood(images, labels), batches, optimizer)
        if not finite(model, predict(model, batches.data[0])):
            model.load_state_dict(before)
            break
    return model
