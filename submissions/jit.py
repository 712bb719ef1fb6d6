# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "JiT"
# authors = "J. Foster, K. Fogarty, S. Schoepf, Z. Dugue, C. Öztireli, A. Brintrup"
# paper = "https://arxiv.org/abs/2402.01401"
# licence = "Apache-2.0"
# ///
"""Just in time: smooth the network around the forget set, so that its answers there no longer stand out.

Foster, Fogarty, Schoepf, Dugue, Öztireli and Brintrup 2024, "An Information Theoretic Approach to Machine Unlearning",
arXiv:2402.01401 (first as "Zero-Shot Machine Unlearning at Scale via Lipschitz Regularization").

Idea: a memorised example is a place where the logits f are steep. SGD without momentum, one pass over F, on the local
Lipschitz constant: the sum over a batch of the mean of ‖f(x) − f(x + ξ)‖ / ‖ξ‖ over ``samples`` draws of ξ ~ N(0,
``sigma``²). Neither labels nor R are needed.
Reads: F. Cost: ``epochs`` passes over F for gradients, and ``samples`` times as many for inference.
Decisions: the answers to noisy images are targets without a gradient, noisy images keep within the least and the
largest value of the batch, the loss is a sum over the batch, and the network is in train mode: all as in the authors'
code. ξ is in units of the normalised image, as there.
Defaults: all from the authors' code for a VGG and random subsets of CIFAR-10
(github.com/jwf40/Information-Theoretic-Unlearning, ``forget_random_main.py``). For a class it takes σ = .5, and for a
ViT σ from .5 to 1.5 at rates from .1 to 1.5.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import rebatch, sgd, train_epoch

SEARCH_SPACE = {
    "sigma": ("log", 1e-3, 2.0),
    "lr": ("rate", 1e-6, 2.0),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    sigma: float = 0.01,
    samples: int = 25,
    epochs: int = 1,
    batch_size: int = 128,
    lr: float = 3e-4,
) -> nn.Module:
    def steepness(images: Tensor, _: Tensor) -> Tensor:
        answers = model(images)
        least, largest = images.min(), images.max()
        total = answers.new_zeros(())
        for _draw in range(samples):
            noisy = (images + sigma * torch.randn_like(images)).clamp(least, largest)
            with torch.no_grad():
                shifted = model(noisy)
            distance = length(noisy - images).clamp(min=torch.finfo(images.dtype).tiny)
            total = total + (length(answers - shifted) / distance).sum()
        return total / samples

    batches = rebatch(forget, batch_size)
    optimizer = sgd(model.parameters(), lr, momentum=0.0)
    model.train()
    for _ in range(epochs):
        train_epoch(steepness, batches, optimizer)
    return model


def length(data: Tensor) -> Tensor:
    """L2 norm of each of n entries, [n]."""
    return torch.linalg.vector_norm(data.flatten(1), dim=1)
