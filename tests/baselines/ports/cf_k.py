"""CF-k as its authors' code runs it (shash42/Evaluating-Inexact-Unlearning, src/methods.py and src/learn.py)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts


def unlearn(
    model: nn.Module,
    retain: Any,
    forget: Any,
    val: Any,
    *,
    k: int,
    epochs: int,
    batch_size: int,
    lr: float,
    **more: Any,
) -> nn.Module:
    thaw(model, k)
    return train(model, retain, epochs, batch_size, lr, **more)


def thaw(model: nn.Module, k: int) -> list[nn.Module]:
    """Freeze the model, then go backwards through what has weights until k convolutions or linear maps are met."""
    for p in model.parameters():
        p.requires_grad = False
    thawed: list[nn.Module] = []
    for module in reversed([m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.BatchNorm2d, nn.Linear))]):
        for p in module.parameters():
            p.requires_grad = True
        thawed.append(module)
        k -= not isinstance(module, nn.BatchNorm2d)
        if not k:
            break
    return thawed


def train(
    model: nn.Module, retain: Any, epochs: int, batch_size: int, lr: float, weight_decay: float = 5e-5
) -> nn.Module:
    images, labels = (torch.cat(tensors) for tensors in zip(*retain, strict=True))
    trained: list[Tensor] = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=lr, momentum=0.9, weight_decay=weight_decay)
    schedule = CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=2, eta_min=lr / 20)
    for _ in range(epochs):
        model.train()
        for index in torch.randperm(len(labels)).split(batch_size):
            optimizer.zero_grad()
            F.cross_entropy(model(images[index]), labels[index]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 10.0)
            optimizer.step()
        schedule.step()
    return model
