"""EU-k as its authors' code runs it (shash42/Evaluating-Inexact-Unlearning, src/methods.py and src/models.py)."""

from __future__ import annotations

from typing import Any

from torch import nn

from tests.baselines.ports.cf_k import thaw, train


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
    for module in thaw(model, k):
        if isinstance(module, (nn.Conv2d, nn.Linear)):  # batch norms keep what they have learned
            nn.init.kaiming_normal_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return train(model, retain, epochs, batch_size, lr, **more)
