"""The optimizer and the learning rate of a training recipe, for reference models and entries alike."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

Schedule = Literal["one-cycle", "cosine", "restarts"]
"""How the learning rate changes over the epochs; see :func:`recipe_schedule`."""


def recipe_optimizer(
    parameters: Iterable[Tensor],
    kind: Literal["sgd", "adamw"],
    lr: float | Tensor,
    weight_decay: float,
    momentum: float = 0.9,
    nesterov: bool = False,
    capturable: bool = False,
) -> torch.optim.Optimizer:
    """Return the optimizer of a training recipe, in its fused form.

    Args:
        parameters: what it changes.
        kind: ``sgd``, or ``adamw`` with torch's other defaults (Loshchilov and Hutter 2019).
        lr: the learning rate.
        weight_decay: added to the gradient by ``sgd``, decoupled by ``adamw``.
        momentum: of ``sgd``.
        nesterov: whether ``sgd`` looks ahead (Nesterov 1983).
        capturable: whether steps may be recorded in a CUDA graph, which ``adamw`` must know.
    """
    if kind == "adamw":
        return torch.optim.AdamW(parameters, lr=lr, weight_decay=weight_decay, fused=True, capturable=capturable)
    if kind != "sgd":
        raise ValueError(f"optimizer is {kind!r}; allowed: sgd, adamw")
    return torch.optim.SGD(
        parameters, lr=lr, momentum=momentum, weight_decay=weight_decay, nesterov=nesterov, fused=True
    )


def recipe_schedule(
    optimizer: torch.optim.Optimizer,
    kind: Schedule,
    lr: float,
    epochs: int,
    steps_per_epoch: int,
    warmup: float = 0.0,
) -> LRScheduler:
    """Return the learning rate of a training recipe, to be stepped after every optimizer step.

    Args:
        optimizer: its learning rates are overwritten.
        kind: ``one-cycle`` rises from lr/25 to lr in the first 30 % of the steps and falls to lr/250,000, both as half
            cosines, momentum constant (Smith and Topin 2018); ``cosine`` is lr·½(1 + cos(π·epoch/epochs)), constant
            within an epoch; ``restarts`` falls in the same way from lr towards lr/20, in cycles of 1, 2, 4, … epochs
            that each begin at lr again, whatever ``epochs`` is (both Loshchilov and Hutter 2017).
        lr: the peak.
        warmup: epochs in which the rate rises linearly to what it would be without; not with ``one-cycle``.
    """
    if kind == "one-cycle":
        return OneCycleLR(optimizer, lr, total_steps=epochs * steps_per_epoch, cycle_momentum=False)
    if kind not in ("cosine", "restarts"):
        raise ValueError(f"schedule is {kind!r}; allowed: one-cycle, cosine, restarts")

    def factor(step: int) -> float:
        epoch = step // steps_per_epoch
        rise = min(1.0, (step + 1) / (warmup * steps_per_epoch)) if warmup else 1.0
        if kind == "cosine":
            return rise * _half_cosine(epoch, epochs)
        cycle = 1 << (epoch + 1).bit_length() - 1  # its length, and one more than the epoch that it starts at
        return rise * (0.05 + 0.95 * _half_cosine(epoch + 1 - cycle, cycle))

    for group in optimizer.param_groups:
        group["lr"] = lr
    return LambdaLR(optimizer, factor)


def _half_cosine(position: int, length: int) -> float:
    """Return what falls from 1 to 0 as ``position`` goes from 0 to ``length``, flat at both ends."""
    return (1 + math.cos(math.pi * position / length)) / 2
