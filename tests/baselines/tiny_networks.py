"""Networks of a few weights with images to match, and a spy on an entry's functions."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.baselines.recording import loaders

CLASSES = 4
Pair = tuple[Tensor, Tensor]


def data(n: int) -> Pair:
    return torch.randn(n, 1, 6, 6), torch.randint(CLASSES, (n,))


def plain() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, CLASSES)).eval()


def normalised() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, CLASSES)).eval()


def fitted(model: nn.Module, *pairs: Pair) -> nn.Module:
    """The model after a training that learns the pairs by heart."""
    images, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    model.zero_grad()
    return model


def error(model: nn.Module, pair: Pair) -> Tensor:
    return F.cross_entropy(model(pair[0]), pair[1])


def run(module: ModuleType, model: nn.Module, retain: Pair, forget: Pair, **chosen: Any) -> nn.Module:
    result: nn.Module = module.unlearn(model, *loaders(retain, forget, forget), **chosen)
    return result


class Spy:
    """Replaces a function of an entry, keeps the arguments of every call and calls it all the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.results: list[Any] = []
        self.real: Callable[..., Any] = getattr(module, name)
        monkeypatch.setattr(module, name, self)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls.append(arguments)
        self.results.append(self.real(*arguments, **named))
        return self.results[-1]


def holds(images: Tensor, image: Tensor) -> bool:
    return bool((images == image).flatten(1).all(1).any())
