"""CFW as released: noise in the model's own children named "conv…", and class weights that act on the mean loss."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    start_std: float,
    final_std: float,
    epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
) -> nn.Module:
    batches = DataLoader(retain.dataset, batch_size, shuffle=True)
    labels = torch.cat([y for _, y in batches])
    counts = torch.bincount(labels)
    weights = len(labels) / (len(counts) * counts)

    def confuse(std: float) -> None:
        for name, child in model.named_children():
            if name.startswith("conv"):
                weight = next(child.parameters())
                weight.data = torch.normal(weight.data, std)

    confuse(start_std)
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=weight_decay)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(1, epochs + 1):
        model.train()
        for x, y in batches:
            optimizer.zero_grad()
            (F.cross_entropy(model(x), y) * weights[y]).mean().backward()
            optimizer.step()
        if epoch == epochs - 1:
            confuse(final_std)
        cosine.step()
    return model
