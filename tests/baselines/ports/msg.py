"""MSG as released: gradients pile up over batches of R and of F, the gradient alone is damped, not the decay."""

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
    init_rate: float,
    epochs: int,
    batch_size: int,
    lr: float,
    weight_decay: float,
) -> nn.Module:
    model.train().zero_grad()
    kept, forgotten = (list(loader.dataset) for loader in (retain, forget))  # type: ignore[call-overload]
    subset: Any = [kept[i] for i in torch.randperm(len(kept))[: len(forgotten)].tolist()]
    for sign, data in ((1, subset), (-1, forgotten)):
        for x, y in DataLoader(data, batch_size, shuffle=True):
            (sign * F.cross_entropy(model(x), y)).backward()

    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            assert module.weight.grad is not None
            slope = module.weight.grad.abs().flatten()
            least = slope.sort().indices[: round(init_rate * len(slope))]
            fresh = nn.init.kaiming_normal_(module.weight.detach().clone(), mode="fan_out", nonlinearity="relu")
            module.weight.data.view(-1)[least] = fresh.view(-1)[least]
            factor = torch.full_like(slope, 0.1)
            factor[least] = 1
            module.weight.register_hook(lambda grad, factor=factor: grad * factor.view_as(grad))

    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=weight_decay)
    rising = (epochs + 1) // 2
    for epoch in range(1, epochs + 1):
        part = epoch / rising if epoch <= rising else (epochs + 1 - epoch) / (epochs + 1 - rising)
        optimizer.param_groups[0]["lr"] = lr * part
        for x, y in DataLoader(retain.dataset, batch_size, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model
