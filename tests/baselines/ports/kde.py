"""KDE as released: ``conv1`` and ``fc`` by name, a teacher asked anew in every step, the three losses one by one."""

from __future__ import annotations

import copy
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
    temperature: float,
    warmup_epochs: int,
    warmup_batch_size: int,
    warmup_lr: float,
    warmup_weight_decay: float,
    epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
) -> nn.Module:
    teacher = copy.deepcopy(model).eval().requires_grad_(False)
    for layer in (model.conv1, model.fc):
        cast(Any, layer).reset_parameters()
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), warmup_lr, momentum=0.9, weight_decay=warmup_weight_decay)
    unseen = DataLoader(val.dataset, warmup_batch_size, shuffle=True)
    for x, _ in (batch for _ in range(warmup_epochs) for batch in unseen):
        soft = F.softmax(teacher(x) / temperature, 1)
        optimizer.zero_grad()
        F.kl_div(F.log_softmax(model(x) / temperature, 1), soft, reduction="batchmean").backward()
        optimizer.step()

    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=weight_decay)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for x, y in DataLoader(retain.dataset, batch_size, shuffle=True):
            soft, logits = F.softmax(teacher(x) / temperature, 1), model(x)
            log_p = F.log_softmax(logits / temperature, 1)
            loss = F.kl_div(log_p, soft, reduction="batchmean") + F.cross_entropy(logits, y)
            loss = loss - (soft * log_p).sum() / len(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        cosine.step()
    return model
