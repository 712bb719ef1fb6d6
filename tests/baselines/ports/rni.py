"""RNI as released: tensors are told apart by "bn" in their names, epochs are counted, every fine epoch has its rate."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, cast

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
    noise_ratio: float,
    origin_noise: float,
    epochs: int,
    reset_epochs: int,
    fine_rates: Sequence[float],
    batch_size: int,
    lr: float,
    weight_decay: float,
) -> nn.Module:
    draw = random.Random(int(torch.randint(1 << 30, ())))
    batches = DataLoader(retain.dataset, batch_size, shuffle=True)
    parameters = dict(model.named_parameters())
    norms = {name for name in parameters if "bn" in name}
    tensors = sorted(set(parameters) - norms)
    cast(Any, model.fc).reset_parameters()

    trained_before: set[str] = set()
    for epoch in range(epochs):
        left = epochs - epoch
        rate, chosen = lr, set(parameters)
        if left > len(fine_rates):
            picked = draw.sample(tensors, min(9, len(tensors)))
            if epoch >= reset_epochs:
                for name in set(draw.sample(picked, int(noise_ratio * 9))) - trained_before:
                    parameters[name].data += origin_noise * torch.randn(parameters[name].shape)
            trained_before |= set(picked)
            chosen = norms | set(picked)
        else:
            rate = fine_rates[-left]
        for name, p in parameters.items():
            p.requires_grad = name in chosen
        optimizer = torch.optim.SGD(parameters.values(), rate, momentum=0.9, weight_decay=weight_decay)
        model.train()
        for x, y in batches:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model
