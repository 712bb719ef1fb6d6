"""SalUN as released: gradients and momentum are masked, and masked weights are set back after a step."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import ConcatDataset, DataLoader, TensorDataset

Masks = dict[str, Tensor]


def mask(model: nn.Module, forget: DataLoader[Any], *, threshold: float, batch_size: int) -> Masks:
    """1 where a weight is trained, by the rank of its gradient's size."""
    model.eval()
    total = {name: torch.zeros_like(p) for name, p in model.named_parameters()}
    for x, y in DataLoader(forget.dataset, batch_size, shuffle=True):
        model.zero_grad()
        (-F.cross_entropy(model(x), y)).backward()
        for name, p in model.named_parameters():
            total[name] += p.grad
    order = torch.cat([t.abs().flatten() for t in total.values()]).argsort(descending=True)
    trained = torch.zeros(len(order))
    alive = sum(int(t.count_nonzero()) for t in total.values())  # in the authors' networks all are
    trained[order[: int(threshold * alive)]] = 1
    parts = trained.split([t.numel() for t in total.values()])
    return {name: part.view_as(t) for (name, t), part in zip(total.items(), parts, strict=True)}


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    classes: int,
    threshold: float,
    order: str,
    epochs: int,
    batch_size: int,
    lr: float,
    momentum: float,
    weight_decay: float,
) -> nn.Module:
    trained = mask(model, forget, threshold=threshold, batch_size=batch_size)
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=momentum, weight_decay=weight_decay)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    images = torch.stack([x for x, _ in forget.dataset])

    def one_pass(data: Any) -> None:
        for x, y in DataLoader(data, batch_size, shuffle=True):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            for name, p in model.named_parameters():
                assert p.grad is not None
                p.grad *= trained[name]
            optimizer.step()
            for name, p in model.named_parameters():
                p.data = torch.where(trained[name] == 1, p.data, start[name])
                if momentum:
                    optimizer.state[p]["momentum_buffer"] *= trained[name]

    for _ in range(epochs):
        model.train()
        wrong = TensorDataset(images, torch.randint(0, classes, (len(images),)))
        if order == "forget first":
            one_pass(wrong)
            one_pass(retain.dataset)
        else:
            one_pass(ConcatDataset([wrong, retain.dataset]))
    return model
