"""PRMQ as released: torch's own global pruning, a teacher asked anew in every step, a step too many, half and back."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    prune_amount: float,
    epochs: float,
    batch_size: int,
    lr: float,
    weight_decay: float,
) -> nn.Module:
    batches = DataLoader(retain.dataset, batch_size, shuffle=True)
    weights = torch.bincount(torch.cat([y for _, y in batches])).float() ** -0.1
    teacher = copy.deepcopy(model).eval()
    prune_and_redraw(model, prune_amount)
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=weight_decay)
    model.train()
    steps, last = 0, int(len(batches) * epochs)
    while steps <= last:
        for x, y in batches:
            with torch.no_grad():
                target = entropy(teacher(x))
            output = model(x)
            optimizer.zero_grad()
            loss = F.cross_entropy(output, y, weight=weights) + ((entropy(output) - target) ** 2).mean()
            loss.backward()
            optimizer.step()
            steps += 1
            if steps > last:
                break
    return model.half().float()


def entropy(logits: Tensor) -> Tensor:
    return torch.distributions.Categorical(logits=logits).entropy()


def prune_and_redraw(model: nn.Module, amount: float) -> None:
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    tensors = [(layer, name) for layer in layers for name, p in layer.named_parameters() if p is not None]
    prune.global_unstructured(tensors, prune.L1Unstructured, amount=amount)
    for layer, name in tensors:
        prune.remove(layer, name)
    for layer in layers:
        weight = layer.weight.data
        bound = 1 / weight[0].numel() ** 0.5
        weight[weight == 0] = (2 * torch.rand(weight.shape) - 1)[weight == 0] * bound
