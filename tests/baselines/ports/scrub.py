"""SCRUB as released: the teacher answers beside the student, and states are kept for a rewind."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader


def unlearn(
    model: nn.Module,
    retain: DataLoader[Any],
    forget: DataLoader[Any],
    val: DataLoader[Any],
    *,
    alpha: float,
    gamma: float,
    temperature: float,
    epochs: int,
    msteps: int,
    decay_epochs: Sequence[int],
    retain_batch_size: int,
    forget_batch_size: int,
    lr: float,
    weight_decay: float,
    decay: float,
    rewind: bool,
) -> nn.Module:
    teacher = copy.deepcopy(model).eval()
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9, weight_decay=weight_decay)
    present = {label for _, y in forget for label in y.tolist()}

    def distance(student: Tensor, x: Tensor) -> Tensor:
        with torch.no_grad():
            target = F.softmax(teacher(x) / temperature, dim=1)
        total = F.kl_div(F.log_softmax(student / temperature, dim=1), target, reduction="sum")
        return total * temperature**2 / len(x)

    def one_pass(loader: DataLoader[Any], size: int, maximise: bool) -> None:
        model.train()
        for x, y in DataLoader(loader.dataset, size, shuffle=True):
            logits = model(x)
            loss = distance(logits, x)
            loss = -loss if maximise else gamma * F.cross_entropy(logits, y) + alpha * loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def error(loader: DataLoader[Any]) -> float:
        model.eval()
        with torch.no_grad():
            pairs = [(p, t) for x, y in loader for p, t in zip(model(x).argmax(1).tolist(), y.tolist(), strict=True)]
        wrong = [p != t for p, t in pairs if t in present]
        return sum(wrong) / len(wrong)

    states: list[dict[str, Tensor]] = []
    errors = []
    for epoch in range(1, epochs + 1):
        for group in optimizer.param_groups:
            group["lr"] = lr * decay ** sum(epoch > end for end in decay_epochs)
        if epoch <= msteps:
            one_pass(forget, forget_batch_size, maximise=True)
        one_pass(retain, retain_batch_size, maximise=False)
        states.append(copy.deepcopy(model.state_dict()))
        errors.append(error(forget))
    if rewind:
        target = error(val)
        model.load_state_dict(states[min(range(epochs), key=lambda epoch: abs(errors[epoch] - target))])
    return model
