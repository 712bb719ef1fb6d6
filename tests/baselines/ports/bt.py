"""BT as released: samples say which of two teachers to follow, and torch's own mean of the divergence is the loss."""

from __future__ import annotations

import copy
import random
import warnings
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
    untrained: nn.Module,
    temperature: float,
    retain_share: float,
    epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
) -> nn.Module:
    good, bad = copy.deepcopy(model).eval(), untrained.eval()
    kept: list[Any] = list(retain.dataset)
    samples = [(x, 0) for x, _ in random.sample(kept, int(retain_share * len(kept)))]
    samples += [(x, 1) for x, _ in forget.dataset]
    optimizer = torch.optim.Adam(model.parameters(), lr, weight_decay=weight_decay)
    model.train()
    for _ in range(epochs):
        for x, forgotten in DataLoader(samples, batch_size, shuffle=True):
            with torch.no_grad():
                answers = [F.softmax(teacher(x) / temperature, dim=1) for teacher in (good, bad)]
                target = torch.where(forgotten[:, None] == 1, answers[1], answers[0])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of the mean over classes, too
                loss = F.kl_div(F.log_softmax(model(x) / temperature, dim=1), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model
