"""What the names of FF, CF-k, EU-k and IU promise, seen in one run of each."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from tests.baselines.recording import State, changed, parameters

Run = Callable[[], nn.Module]


def ff(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every weight gets noise, and more of it where R has no information on it."""
    noise: list[Tensor] = []
    known: list[Tensor] = []

    def perturb(model: nn.Module, information: Tensor, *rest: Any, step: Any = module.perturb) -> nn.Module:
        before = parameters(model)
        after = step(model, information, *rest)
        noise.extend(p.detach() - before[name] for name, p in after.named_parameters())
        known.extend(information.split([p.numel() for p in after.parameters()]))
        return after

    monkeypatch.setattr(module, "perturb", perturb)
    run()
    assert noise and all(part.any() for part in noise)
    inner = [(part.flatten(), f) for part, f in zip(noise, known, strict=True) if part.ndim == 4]
    added, information = (torch.cat(parts) for parts in zip(*inner, strict=True))
    order = information.argsort()
    least, most = (added[index].square().mean() for index in (order[: len(order) // 10], order[-len(order) // 10 :]))
    assert most < least


def cf_k(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some layers are trained, the classifier among them, and some are not."""
    before: State = {}
    last: set[str] = set()

    def last_layers(model: nn.Module, *rest: Any, step: Any = module.last_layers) -> nn.ModuleList:
        parts: nn.ModuleList = step(model, *rest)
        before.update(parameters(model))
        last.update(names(model, parts))
        return parts

    monkeypatch.setattr(module, "last_layers", last_layers)
    after = parameters(run())
    assert classifier(before) in changed(before, after) and changed(before, after) <= last < set(before)


def eu_k(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last layers are drawn anew and then trained; the others are neither."""
    before: State = {}
    drawn: State = {}
    last: set[str] = set()

    def renew(model: nn.Module, *rest: Any, step: Any = module.renew) -> nn.ModuleList:
        before.update(parameters(model))
        parts: nn.ModuleList = step(model, *rest)
        drawn.update(parameters(model))
        last.update(names(model, parts))
        return parts

    monkeypatch.setattr(module, "renew", renew)
    after = parameters(run())
    weights = {name for name in last if before[name].ndim > 1 and "attention_biases" not in name}
    assert classifier(before) in weights <= changed(before, drawn) <= last < set(before)
    assert classifier(before) in changed(drawn, after) <= last


def iu(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights move along what the solver returns, which is not what it was given."""
    start: list[Tensor] = []
    given: list[Tensor] = []
    solved: list[Tensor] = []

    def solve(model: nn.Module, images: Tensor, labels: Tensor, v: Tensor, step: Any = module.solve) -> Tensor:
        start.append(parameters_to_vector(model.parameters()).detach().clone())
        given.append(v)
        solved.append(step(model, images, labels, v))
        return solved[0]

    monkeypatch.setattr(module, "solve", solve)
    moved = parameters_to_vector(run().parameters()).detach() - start[0]
    assert len(solved) == 1 and moved.any()
    assert torch.cosine_similarity(moved, solved[0], dim=0) > 0.99
    assert solved[0].norm() < given[0].norm()  # a damped curvature shortens the step


def names(model: nn.Module, parts: nn.Module) -> set[str]:
    held = {id(p) for p in parts.parameters()}
    return {name for name, p in model.named_parameters() if id(p) in held}


def classifier(state: State) -> str:
    """The last weight matrix."""
    return [name for name, p in state.items() if p.ndim == 2][-1]
