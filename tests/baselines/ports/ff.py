"""Fisher forgetting as its authors' notebook runs it (AdityaGolatkar/SelectiveForgetting, Forgetting.ipynb)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def unlearn(
    model: nn.Module, retain: Any, forget: Any, val: Any, *, alpha: float, power: float = 1.0, classes: int = 10
) -> nn.Module:
    information = [torch.zeros_like(p) for p in model.parameters()]
    images, labels = (torch.cat(tensors) for tensors in zip(*retain, strict=True))
    model.eval()
    for image in images:
        scores = model(image[None])
        for label, probability in enumerate(scores.detach().softmax(1)[0]):
            loss = F.cross_entropy(scores, torch.tensor([label]))
            slopes = torch.autograd.grad(loss, list(model.parameters()), retain_graph=True)
            for total, slope in zip(information, slopes, strict=True):
                total += probability * slope**2
    with torch.no_grad():
        for p, total in zip(model.parameters(), information, strict=True):
            p += variance(total / len(labels), alpha, power, classes).sqrt() * torch.empty_like(p).normal_()
    return model


def variance(information: Tensor, alpha: float, power: float, classes: int) -> Tensor:
    classifies = information.shape[0] == classes
    inverse = (1 / (information + 1e-8)) ** power
    inverse = alpha * inverse.clamp(max=100 if classifies else 1000)
    if information.ndim > 1:
        inverse = inverse.mean(dim=1, keepdim=True).expand_as(information)
    return 10 * inverse if classifies or information.ndim == 1 else inverse
