"""NG+, SCRUB, BT and SalUN take the steps of their authors' code, restated."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.baselines.conftest import DIGITS
from tests.baselines.ports.peers import SETTINGS, port
from tests.baselines.recording import Digits, Entry, assert_close
from unlearn_bench.sandbox.inside.models import build

EXACT: dict[str, dict[str, Any]] = {
    "ng_plus": {"epochs": 4, "batch_size": 1024},
    "scrub": {"lr": 0.02, "weight_decay": 0.05, "retain_batch_size": 1024, "forget_batch_size": 1024},
    "scrub rewinding": {"lr": 0.1, "decay": 1.0, "retain_batch_size": 1024, "forget_batch_size": 1024, "rewind": True},
    "bt": {"retain_share": 1.0, "batch_size": 1024, "weight_decay": 0.05},
    "salun": {"batch_size": 1024, "weight_decay": 0.05},
    "salun shuffled": {"batch_size": 1024, "weight_decay": 0.05, "order": "shuffled"},
}
"""One step a pass, so that the order of the samples plays no part."""
COUNT = 96
"""Examples of each set; double precision is slow."""


@pytest.mark.slow
@pytest.mark.parametrize("case", sorted(EXACT))
def test_takes_the_steps_of_the_authors(
    case: str, entry: Entry, original: nn.Module, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    sets = {part: TensorDataset(images[:COUNT].double(), labels[:COUNT]) for part, (images, labels) in digits.items()}
    loaders = [DataLoader(sets[part], 1024) for part in ("retain", "forget", "val")]
    name, untrained = case.split()[0], build(DIGITS).double()
    module, settings = entry(name), SETTINGS[name].common | EXACT[case]

    def reinitialise(model: nn.Module) -> nn.Module:
        model.load_state_dict(untrained.state_dict())
        return model

    monkeypatch.setattr(module, "reinitialise", reinitialise, raising=False)
    monkeypatch.setattr(torch, "randint_like", lambda labels, high: (labels + 1) % high)  # in place of random labels
    monkeypatch.setattr(torch, "randint", lambda low, high, size: (digits["forget"][1][:COUNT] + 1) % high)
    ours = module.unlearn(copy.deepcopy(original).double(), *loaders, **settings)
    more = {"untrained": untrained} if name == "bt" else {}
    theirs = port(name)(copy.deepcopy(original).double(), *loaders, **settings, **SETTINGS[name].theirs, **more)
    assert_close(ours, theirs, atol=1e-9)
    for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(mine, other)
    assert not torch.allclose(ours.conv1.weight, original.conv1.weight.double(), atol=1e-4)
