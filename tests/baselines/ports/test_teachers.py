"""NG+, SCRUB, BT and SalUN beside what their authors' code does, restated: the same models, within seed noise."""

from __future__ import annotations

import copy
import importlib
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.baselines.conftest import DIGITS, accuracy
from tests.baselines.recording import Digits, Entry, assert_close
from unlearn_bench.sandbox.inside.models import build

SEEDS = 5
SETTINGS: dict[str, dict[str, Any]] = {
    "ng_plus": {"a": 0.9, "epochs": 3, "batch_size": 64, "lr": 0.3},
    "scrub": {"alpha": 0.3, "gamma": 0.9, "temperature": 3.0, "epochs": 5, "lr": 0.005, "weight_decay": 5e-4}
    | {"decay": 0.1, "retain_batch_size": 64, "forget_batch_size": 16, "rewind": False},
    "bt": {"temperature": 2.0, "retain_share": 0.3, "epochs": 3, "batch_size": 64, "lr": 3e-3, "weight_decay": 1e-3},
    "salun": {"threshold": 0.4, "order": "forget first", "epochs": 3, "batch_size": 64, "lr": 0.05}
    | {"momentum": 0.9, "weight_decay": 5e-4},
}
EXACT: dict[str, dict[str, Any]] = {
    "ng_plus": {"epochs": 4, "batch_size": 1024},
    "scrub": {"lr": 0.02, "weight_decay": 0.05, "retain_batch_size": 1024, "forget_batch_size": 1024},
    "scrub rewinding": {"lr": 0.1, "decay": 1.0, "retain_batch_size": 1024, "forget_batch_size": 1024, "rewind": True},
    "bt": {"retain_share": 1.0, "batch_size": 1024, "weight_decay": 0.05},
    "salun": {"batch_size": 1024, "weight_decay": 0.05},
    "salun shuffled": {"batch_size": 1024, "weight_decay": 0.05, "order": "shuffled"},
}
"""One step a pass, so that the order of the samples plays no part."""


def port(name: str, settings: dict[str, Any], untrained: nn.Module) -> Callable[..., nn.Module]:
    """What the authors' code does, with its own parameters in place of ours that mean the same."""
    unlearn = importlib.import_module(f"tests.baselines.ports.{name}").unlearn
    own = {"scrub": {"msteps": 3, "decay_epochs": (3, 5, 9)}, "salun": {"classes": 10}, "bt": {"untrained": untrained}}
    return lambda model, *loaders: unlearn(model, *loaders, **settings, **own.get(name, {}))


def measures(model: nn.Module, digits: Digits) -> Tensor:
    """Accuracy on R, F and V, and loss on F."""
    accuracies = [accuracy(model, digits[name]) for name in ("retain", "forget", "val")]
    with torch.no_grad():
        return torch.tensor([*accuracies, F.cross_entropy(model(digits["forget"][0]), digits["forget"][1]).item()])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_agrees_with_the_authors(
    name: str, entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    def run(seed: int, ours: bool) -> Tensor:
        random.seed(seed)
        torch.manual_seed(seed)
        model, settings = copy.deepcopy(original), SETTINGS[name]
        if ours:
            return measures(entry(name).unlearn(model, *digits_loaders, **settings), digits)
        return measures(port(name, settings, build(DIGITS))(model, *digits_loaders), digits)

    ours, theirs = (torch.stack([run(seed, own) for seed in range(SEEDS)]) for own in (True, False))
    error = ((ours.var(0) + theirs.var(0)) / SEEDS).sqrt()
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 3 * error + 0.01).all(), (ours.mean(0), theirs.mean(0), error)
    assert measures(original, digits)[3] < ours[:, 3].min() - 0.05  # there was something to agree on


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(EXACT))
def test_takes_the_steps_of_the_authors(
    case: str, entry: Entry, original: nn.Module, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = {part: TensorDataset(images[:256].double(), labels[:256]) for part, (images, labels) in digits.items()}
    loaders = [DataLoader(sets[part], 1024) for part in ("retain", "forget", "val")]
    name, untrained = case.split()[0], build(DIGITS).double()
    module, settings = entry(name), SETTINGS[name] | EXACT[case]

    def reinitialise(model: nn.Module) -> nn.Module:
        model.load_state_dict(untrained.state_dict())
        return model

    monkeypatch.setattr(module, "reinitialise", reinitialise, raising=False)
    monkeypatch.setattr(torch, "randint_like", lambda labels, high: (labels + 1) % high)  # in place of random labels
    monkeypatch.setattr(torch, "randint", lambda low, high, size: (digits["forget"][1] + 1) % high)
    ours = module.unlearn(copy.deepcopy(original).double(), *loaders, **settings)
    theirs = port(name, settings, untrained)(copy.deepcopy(original).double(), *loaders)
    assert_close(ours, theirs, atol=1e-9)
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other)
    assert not torch.allclose(ours.conv1.weight, original.conv1.weight.double(), atol=1e-4)
