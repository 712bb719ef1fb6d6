# /// script
# requires-python = ">=3.11"
# dependencies = ["torch"]
#
# [tool.bench]
# title = "SRL"
# authors = "A. Golatkar, A. Achille, S. Soatto"
# paper = "https://arxiv.org/abs/1911.04933"
# licence = "Apache-2.0"
# ///
"""Successive random labels: train on all data, the forget set with labels that are drawn anew in every epoch.

Golatkar, Achille and Soatto 2020, "Eternal Sunshine of the Spotless Net", arXiv:1911.04933 (its "random labels");
Deep Unlearn, section 3.1.

Idea: labels that never stay the same leave nothing to learn about F, while R goes on as before. SGD on the
cross-entropy of R and relabelled F, shuffled together, at a constant rate.
Reads: R and F. Cost: ``epochs`` passes over R and F.
Decision: the labels are uniform over all classes, the true one included, and really fresh in every epoch; labels drawn
once would be memorised. Golatkar et al. describe the method without publishing code for it; the joint stream, train
mode and momentum are Deep Unlearn's.
Defaults: all from Deep Unlearn's code.
"""

from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from sandbox.toolkit import Batches, cross_entropy, head, sgd, tensors, train_epoch

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
    kept, forgotten = tensors(retain), tensors(forget)
    images, classes = torch.cat([kept[0], forgotten[0]]), head(model).out_features
    optimizer = sgd(model.parameters(), lr, weight_decay)
    model.train()
    for _ in range(epochs):
        labels = torch.cat([kept[1], torch.randint_like(forgotten[1], classes)])
        train_epoch(cross_entropy(model), Batches(images, labels, batch_size=batch_size), optimizer)
    return model
