"""What a method did while it trained: its steps, what moved, and small problems to watch it on."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook
from torch.utils.data import DataLoader, TensorDataset

Entry = Callable[[str], ModuleType]
Digits = dict[str, tuple[Tensor, Tensor]]
Tiny = Callable[[str], Any]
State = dict[str, Tensor]

both_architectures = pytest.mark.parametrize("architecture", ["resnet", "tinyvit"])


class Step:
    """What an optimizer is about to do."""

    def __init__(self, optimizer: torch.optim.Optimizer, model: nn.Module) -> None:
        self.optimizer = optimizer
        self.lr = optimizer.param_groups[0]["lr"]
        held = {id(p) for group in optimizer.param_groups for p in group["params"] if p.grad is not None}
        self.trained = {name for name, p in model.named_parameters() if id(p) in held}
        self.before = parameters(model)


@contextmanager
def recorded(model: nn.Module) -> Iterator[list[Step]]:
    """All optimizer steps within the block."""
    steps: list[Step] = []
    handle = register_optimizer_step_pre_hook(lambda optimizer, *_: steps.append(Step(optimizer, model)))
    try:
        yield steps
    finally:
        handle.remove()


def parameters(model: nn.Module) -> State:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def changed(before: State, after: State) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def weights(model: nn.Module, *kinds: type[nn.Module]) -> list[str]:
    """Names of the weights of all modules of these types, in order."""
    return [f"{name}.weight" for name, module in model.named_modules() if isinstance(module, kinds)]


def loaders(*data: tuple[Tensor, ...]) -> list[DataLoader[Any]]:
    return [DataLoader(TensorDataset(*pair), batch_size=64) for pair in data]


def images(model: str, n: int) -> Tensor:
    return torch.randn(n, 1, *([32, 32] if model == "tinyvit" else [8, 8]))


def stepped(model: nn.Module, objective: Callable[[nn.Module], Tensor], lr: float, decay: float = 0.0) -> nn.Module:
    """A copy of the model in train mode after one plain step on ``objective(model)``, without momentum."""
    model = copy.deepcopy(model).train()
    slopes = torch.autograd.grad(objective(model), list(model.parameters()))
    with torch.no_grad():
        for p, slope in zip(model.parameters(), slopes, strict=True):
            p.sub_(lr * (slope + decay * p))
    return model


def assert_close(found: nn.Module, expected: nn.Module, atol: float = 1e-5) -> None:
    for (name, p), q in zip(found.named_parameters(), expected.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=atol, rtol=1e-3, msg=f"{name}: {{}}".format)


def cosine(lr: float, epochs: int) -> list[float]:
    return [lr * (1 + math.cos(math.pi * epoch / epochs)) / 2 for epoch in range(epochs)]
