# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "NG+"
# authors = "M. Kurmanji, P. Triantafillou, J. Hayes, E. Triantafillou"
# paper = "https://arxiv.org/abs/2302.09880"
# licence = "Apache-2.0"
# ///
"""Negative gradient plus: descend on the retain set while ascending on the forget set.

Kurmanji, Triantafillou, Hayes and Triantafillou 2023, "Towards Unbounded Machine Unlearning", arXiv:2302.09880
(NegGrad+); Deep Unlearn, section 3.2.

Idea: gradient ascent on F, held in place by a descent on R. SGD on a·CE(R batch) − (1−a)·CE(F batch), constant rate.
Reads: R and F. Cost: ``epochs`` passes over R, each R batch with an F batch beside it.
Decision: train mode throughout; every R batch is paired, F starts over, newly shuffled, when it runs out.
"""

from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader

from sandbox.toolkit import cross_entropy, forever, rebatch, sgd, train_epoch

SEARCH_SPACE = {
    "a": ("uniform", 0.5, 1.0),
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
    a: float = 0.95,
    epochs: int = 10,
    batch_size: int = 256,
    lr: float = 0.01,
    weight_decay: float = 0.0,
) -> nn.Module:
    model.train()
    optimizer = sgd(model.parameters(), lr, weight_decay)
    error = cross_entropy(model)

    def mix(kept: tuple[Tensor, Tensor], forgotten: tuple[Tensor, Tensor]) -> Tensor:
        return a * error(*kept) - (1 - a) * error(*forgotten)

    retained, forgotten = rebatch(retain, batch_size), forever(rebatch(forget, batch_size))
    for _ in range(epochs):
        train_epoch(mix, zip(retained, forgotten, strict=False), optimizer)
    return model
