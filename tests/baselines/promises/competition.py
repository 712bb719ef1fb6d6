"""What the names of the competition's methods promise, watched while they run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.baselines.recording import changed, parameters, weights

Run = Callable[[], nn.Module]


def watched(
    monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str, watch: Callable[..., AbstractContextManager[None]]
) -> None:
    """Let every call of a function of the module happen within ``watch(*arguments)``."""
    step = getattr(module, name)

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with watch(*args, **kwargs):
            return step(*args, **kwargs)

    monkeypatch.setattr(module, name, wrapper)


def training(monkeypatch: pytest.MonkeyPatch, module: ModuleType, events: list[Any]) -> None:
    """Note in ``events`` the name ``train`` for every pass of training that has moved weights."""

    @contextmanager
    def train(objective: Any, batches: Any, optimizer: torch.optim.Optimizer, *_: Any) -> Iterator[None]:
        held = [p for group in optimizer.param_groups for p in group["params"]]
        before = [p.detach().clone() for p in held]
        yield
        if any(not torch.equal(old, p) for old, p in zip(before, held, strict=True)):
            events.append("train")

    watched(monkeypatch, module, "train_epoch", train)


def cfw(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise in a convolution, fine-tuning, and weaker noise before more of it."""
    events: list[Any] = []
    training(monkeypatch, module, events)

    @contextmanager
    def noise(model: nn.Module, std: float, layers: str) -> Iterator[None]:
        before = parameters(model)
        yield
        hit = changed(before, parameters(model))
        assert hit and hit <= set(weights(model, nn.Conv2d))
        events.append(std)

    watched(monkeypatch, module, "add_noise", noise)
    run()
    epochs = events.count("train")
    assert epochs > 1 and events[1:-2] == ["train"] * (epochs - 1) and events[-1] == "train"
    assert events[0] > 0 and events[-2] > 0


def rni(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise in at least one tensor after training has begun, and training after it."""
    events: list[Any] = []
    training(monkeypatch, module, events)

    @contextmanager
    def noise(tensors: Sequence[Tensor], std: float) -> Iterator[None]:
        before = [tensor.detach().clone() for tensor in tensors]
        yield
        if any(not torch.equal(old, new) for old, new in zip(before, tensors, strict=True)):
            events.append(std)

    watched(monkeypatch, module, "add_noise", noise)
    run()
    assert events[0] == events[-1] == "train"
    assert any(event > 0 for event in events if event != "train")


def prmq(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some weights re-drawn, labels and entropies matched, and numbers of half precision in the end."""
    events: list[Any] = []
    entropies: list[Tensor] = []
    training(monkeypatch, module, events)

    @contextmanager
    def prune(model: nn.Module, share: float) -> Iterator[None]:
        before = parameters(model)
        yield
        after = parameters(model)
        redrawn = torch.cat([(before[name] != after[name]).flatten() for name in weights(model, nn.Conv2d, nn.Linear)])
        assert 0 < redrawn.sum() < len(redrawn)
        events.append("prune")

    entropy = module.entropy

    def noted(logits: Tensor) -> Tensor:
        entropies.append(entropy(logits))
        return entropies[-1]

    monkeypatch.setattr(module, "entropy", noted)
    watched(monkeypatch, module, "redraw_smallest", prune)
    state = run().state_dict().values()
    assert events == ["prune", "train"]
    assert [found.requires_grad for found in entropies] == [False] + [True] * (len(entropies) - 1)
    assert all(torch.equal(tensor, tensor.half().float()) for tensor in state if tensor.is_floating_point())


def kde(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fresh first and last layer, then distillation on V and on R."""
    events: list[Any] = []
    losses: list[float] = []
    sets: list[Any] = []
    training(monkeypatch, module, events)

    @contextmanager
    def renew(model: nn.Module) -> Iterator[None]:
        before = parameters(model)
        yield
        first, last = weights(model, nn.Conv2d)[0], weights(model, nn.Linear)[-1]
        renewed = changed(before, parameters(model))
        assert {first, last} <= renewed and len(renewed) <= 3
        events.append("renew")

    divergence = module.divergence

    def noted(*args: Any) -> Tensor:
        loss = divergence(*args)
        losses.append(float(loss.detach()))
        return loss

    @contextmanager
    def train(objective: Any, batches: Any, *_: Any) -> Iterator[None]:
        sets.append(batches)
        yield

    monkeypatch.setattr(module, "divergence", noted)
    watched(monkeypatch, module, "renew", renew)
    watched(monkeypatch, module, "train_epoch", train)
    run()
    assert events == ["renew"] + ["train"] * len(sets)
    assert sets[0] is not sets[-1]
    assert losses[0] > 0


def fcs(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass that forgets, then contrast and strengthening in turn, each of which moves weights."""
    events: list[Any] = []
    training(monkeypatch, module, events)
    for name in ("divergence_from_uniform", "contrast_loss", "cross_entropy"):

        @contextmanager
        def called(*_: Any, name: str = name) -> Iterator[None]:
            yield
            if events[-1:] != [name]:
                events.append(name)

        watched(monkeypatch, module, name, called)
    run()
    assert events[:2] == ["divergence_from_uniform", "train"]
    rounds = (len(events) - 2) // 4
    assert rounds and events[2:] == ["contrast_loss", "train", "cross_entropy", "train"] * rounds


def msg(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some but not all convolution weights re-drawn, those of the smallest gradients, then training."""
    events: list[Any] = []
    training(monkeypatch, module, events)

    @contextmanager
    def redraw(tensors: Sequence[Tensor], gradient: Sequence[Tensor], share: float) -> Iterator[None]:
        before = [tensor.detach().clone() for tensor in tensors]
        yield
        for old, new, slope in zip(before, tensors, gradient, strict=True):
            redrawn = old != new
            assert 0 < redrawn.sum() < redrawn.numel()
            assert slope[redrawn].abs().max() <= slope[~redrawn].abs().min()
            assert slope.abs().max() > 0
        events.append("redraw")

    watched(monkeypatch, module, "redraw", redraw)
    run()
    assert events[0] == "redraw" and "train" in events


def ct(module: ModuleType, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kernels that are their own transpose no longer, then training."""
    events: list[Any] = []

    @contextmanager
    def transpose(model: nn.Module) -> Iterator[None]:
        before = parameters(model)
        yield
        after = parameters(model)
        moved = changed(before, after)
        assert moved and moved <= set(weights(model, nn.Conv2d))
        assert all(torch.equal(after[name], before[name].mT) for name in moved)
        events.append("transpose")

    @contextmanager
    def fit(model: nn.Module, *_: Any, **__: Any) -> Iterator[None]:
        before = parameters(model)
        yield
        assert changed(before, parameters(model))
        events.append("train")

    watched(monkeypatch, module, "transpose", transpose)
    watched(monkeypatch, module, "fit", fit)
    run()
    assert events == ["transpose", "train"]
