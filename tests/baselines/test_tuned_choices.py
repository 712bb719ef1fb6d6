"""Every hyper-parameter choice that ships makes its method do what its name promises."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.baselines.conftest import load_entry
from tests.baselines.promises import competition, teachers, weights
from tests.baselines.recording import Digits
from unlearn_bench.harness.entries.entry import BASELINES
from unlearn_bench.harness.units.tuning import TUNED

Promise = Callable[[ModuleType, Callable[[], nn.Module], pytest.MonkeyPatch], None]
CHOICES = sorted(TUNED.rglob("*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("choice", CHOICES, ids=[str(path.relative_to(TUNED).with_suffix("")) for path in CHOICES])
def test_a_shipped_choice_does_what_the_name_of_its_method_promises(
    choice: Path, original: nn.Module, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    method, parameters = choice.stem, json.loads(choice.read_text())["parameters"]
    module = load_entry(BASELINES / f"{method}.py")
    sets = [TensorDataset(*(part[:size] for part in digits[name])) for name, size in SIZES.items()]

    def run() -> nn.Module:
        loaders = [DataLoader(data, batch_size=64, shuffle=True) for data in sets]
        torch.manual_seed(0)
        model: nn.Module = module.unlearn(original, *loaders, **parameters)
        return model

    promise(method)(module, run, monkeypatch)


SIZES = {"retain": 192, "forget": 64, "val": 64}


def promise(method: str) -> Promise:
    """Return the check of what a method's name promises."""
    (check,) = [getattr(group, method) for group in (competition, teachers, weights) if hasattr(group, method)]
    return check
