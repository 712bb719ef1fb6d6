"""Baselines of the competition beside what their authors' code does, restated: the same models, within seed noise."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from tests.baselines.ports.peers import port
from tests.baselines.recording import Digits, Entry, assert_close

WHOLE = {"batch_size": 1024, "epochs": 3}
"""One step an epoch, so that the order of the samples plays no part."""
EXACT: dict[str, dict[str, Any]] = {
    "ct": WHOLE | {"lr": 0.02, "weight_decay": 0.01},
    "fcs": WHOLE
    | {"temperature": 1.3, "uniform_lr": 0.02, "forget_lr": 0.01, "retain_lr": 0.001}
    | {"retain_weight_decay": 0.01},
    "kde": WHOLE
    | {"lr": 0.02, "weight_decay": 0.01, "temperature": 3.0}
    | {"warmup_epochs": 2, "warmup_lr": 0.02, "warmup_batch_size": 1024, "warmup_weight_decay": 0.02},
    "msg": WHOLE | {"init_rate": 0.4, "lr": 0.01, "weight_decay": 0.0},
}
EXACT_OURS = {"fcs": {"eta_ratio": 0.25}}
EXACT_THEIRS = {"fcs": {"eta_min": 0.0025}}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(EXACT))
def test_takes_the_steps_of_the_authors(
    name: str, entry: Entry, original: nn.Module, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def drawn(scale: float) -> Callable[..., Tensor]:
        return lambda weight, *_, **__: weight.copy_(torch.linspace(-scale, scale, weight.numel()).view_as(weight))

    for scale, draw in ((0.3, "kaiming_normal_"), (0.2, "kaiming_uniform_"), (0.1, "uniform_")):
        monkeypatch.setattr(nn.init, draw, torch.no_grad()(drawn(scale)))
    n = 64  # of R as of F, which leaves MSG no choice of samples
    sets = [TensorDataset(digits[part][0][:n].double(), digits[part][1][:n]) for part in ("retain", "forget", "val")]
    models = []
    for method, more in ((entry(name).unlearn, EXACT_OURS), (port(name), EXACT_THEIRS)):
        torch.manual_seed(3)
        given = copy.deepcopy(original).double()
        models.append(method(given, *(DataLoader(data, 64) for data in sets), **EXACT[name], **more.get(name, {})))
    ours, theirs = models
    assert_close(ours, theirs, atol=1e-9)
    for found, expected in zip(ours.buffers(), theirs.buffers(), strict=True):
        torch.testing.assert_close(found, expected)
