"""NG+ as released: F is cycled beside R and starts over with every epoch; SGD has neither momentum nor decay."""

from __future__ import annotations

from itertools import cycle
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
    a: float,
    epochs: int,
    batch_size: int,
    lr: float,
) -> nn.Module:
    retained, forgotten = (DataLoader(loader.dataset, batch_size, shuffle=True) for loader in (retain, forget))
    optimizer = torch.optim.SGD(model.parameters(), lr)
    for _ in range(epochs):
        model.train()
        for (x, y), (x_forget, y_forget) in zip(retained, cycle(forgotten), strict=False):
            held, lost = F.cross_entropy(model(x), y), F.cross_entropy(model(x_forget), y_forget)
            optimizer.zero_grad()
            (a * held - (1 - a) * lost).backward()
            optimizer.step()
    return model
