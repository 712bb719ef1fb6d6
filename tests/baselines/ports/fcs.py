"""FCS as released: three optimizers, a cosine down to ``eta_min``, contrast rounds that end with the shorter set."""

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
    epochs: int,
    batch_size: int,
    temperature: float,
    eta_min: float,
    uniform_lr: float,
    forget_lr: float,
    retain_lr: float,
    retain_weight_decay: float,
) -> nn.Module:
    model.train()
    retained, forgotten = (DataLoader(loader.dataset, batch_size, shuffle=True) for loader in (retain, forget))
    rates = {"uniform": uniform_lr, "forget": forget_lr, "retain": retain_lr * batch_size / 64}
    steps = {name: torch.optim.SGD(model.parameters(), rate, momentum=0.9) for name, rate in rates.items()}
    steps["retain"].param_groups[0]["weight_decay"] = retain_weight_decay
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(steps["forget"], epochs * len(forgotten), eta_min)

    def descend(name: str, loss: torch.Tensor) -> None:
        steps[name].zero_grad()
        loss.backward()
        steps[name].step()

    for x, _ in forgotten:
        logits = model(x)
        descend(
            "uniform",
            F.kl_div(logits.log_softmax(1), torch.full_like(logits, 1 / logits.shape[1]), reduction="batchmean"),
        )
    for _ in range(epochs):
        for (x, _), (kept, _) in zip(forgotten, retained, strict=False):
            alike = model(x) @ model(kept).detach().T / temperature
            descend("forget", (alike.logsumexp(1, keepdim=True) - alike).mean())
            cosine.step()
        for x, y in retained:
            descend("retain", F.cross_entropy(model(x), y))
    return model
