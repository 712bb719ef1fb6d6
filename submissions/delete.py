# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "DELETE"
# authors = "Y. Zhou, D. Zheng, Q. Mo, R. Lu, K.-Y. Lin, W.-S. Zheng"
# paper = "https://arxiv.org/abs/2503.23751"
# licence = "Apache-2.0"
# ///
"""DELETE: distil from the original, on the forget set alone, what it would answer if the true class did not exist.

Zhou, Zheng, Mo, Lu, Lin and Zheng 2025, "Decoupled Distillation to Erase: A General Unlearning Method for Any
Class-centric Tasks", arXiv:2503.23751.

Idea: the original's logits on F, with that of the true class at −∞, are the teacher. SGD at a constant rate on
KL(teacher ‖ student) drives the probability of the true class to 0, and keeps the ratios between all others.
Reads: F. Cost: ``epochs`` passes over F, and one over F for the teacher's answers.
Decisions: the teacher answers in eval mode and does not change, so every example is asked about once. Each example
masks its own label, as in the authors' code, so the method also runs where F is drawn at random; there it claims that
every forgotten example is wrong, which a model that never saw it would not. Train mode; the authors' option to freeze
batch norm is off by default there.
Defaults: all from the authors' code for a ResNet18 on CIFAR-10 (github.com/shaaaaron/DELETE).
"""

from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, divergence, predict, sgd, tensors, train_epoch

SEARCH_SPACE = {
    "lr": ("rate", 1e-6, 1.0),
    "weight_decay": ("log", 1e-5, 1e-1),
    "batch_size": ("choice", (64, 128, 256)),
    "epochs": ("int", 1, "max_epochs"),
}

NEVER = -1e10
"""The logit of a class that does not exist; −∞ itself would make 0·∞ of the KL."""


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    epochs: int = 20,
    batch_size: int = 128,
    lr: float = 1e-4,
    weight_decay: float = 0.0,
) -> nn.Module:
    images, labels = tensors(forget)
    teacher = predict(model, images).scatter(1, labels[:, None], NEVER)

    def imitate(x: Tensor, answers: Tensor) -> Tensor:
        return divergence(model(x), answers)

    batches = Batches(images, teacher, batch_size=batch_size)
    optimizer = sgd(model.parameters(), lr, weight_decay)
    model.train()
    for _ in range(epochs):
        train_epoch(imitate, batches, optimizer)
    return model
