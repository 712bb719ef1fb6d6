"""Ours and the authors' code, restated, run on the same models, data and hyper-parameters."""

from __future__ import annotations

import copy
import importlib
import random
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.baselines.conftest import BASELINES, DIGITS, accuracy, load_entry
from tests.baselines.recording import Digits
from unlearn_bench.sandbox.inside.models import build

MEASURES = ("RA", "FA", "VA", "loss on F")


@dataclass(frozen=True)
class Settings:
    """Hyper-parameters of one comparison, few epochs of batches of 64."""

    common: dict[str, Any]
    ours: dict[str, Any] = field(default_factory=dict)
    """What only our file calls so."""
    theirs: dict[str, Any] = field(default_factory=dict)
    """The same by the names of the authors' code."""


DECAY = {"batch_size": 64, "weight_decay": 5e-4}
SETTINGS = {
    "bt": Settings(
        {"temperature": 2.0, "retain_share": 0.3, "epochs": 3, "batch_size": 64, "lr": 3e-3, "weight_decay": 1e-3}
    ),
    "cfw": Settings(DECAY | {"start_std": 0.6, "final_std": 0.05, "epochs": 3, "lr": 0.01}),
    "eu_k": Settings({"epochs": 7, "batch_size": 64, "lr": 0.05}, {"share": 0.45}, {"k": 9}),
    "msg": Settings(DECAY | {"init_rate": 0.5, "epochs": 3, "lr": 0.01}),
    "ng_plus": Settings({"a": 0.9, "epochs": 3, "batch_size": 64, "lr": 0.3}),
    "prmq": Settings(DECAY | {"prune_amount": 0.95, "epochs": 2.5, "lr": 0.01}),
    "rni": Settings(
        DECAY | {"noise_ratio": 0.7, "origin_noise": 0.2, "epochs": 7, "lr": 0.01},
        {"reset_share": 0.2, "fine_share": 0.44, "fine_lr": 0.02},
        {"reset_epochs": 1, "fine_rates": (0.01, 0.01, 0.02)},
    ),
    "salun": Settings(
        DECAY | {"threshold": 0.4, "order": "forget first", "epochs": 3, "lr": 0.05, "momentum": 0.9},
        theirs={"classes": 10},
    ),
    "scrub": Settings(
        {"alpha": 0.3, "gamma": 0.9, "temperature": 3.0, "epochs": 5, "lr": 0.005, "weight_decay": 5e-4}
        | {"decay": 0.1, "retain_batch_size": 64, "forget_batch_size": 16, "rewind": False},
        theirs={"msteps": 3, "decay_epochs": (3, 5, 9)},
    ),
}


def port(name: str) -> Any:
    """Return the authors' code of a method, restated."""
    return importlib.import_module(f"tests.baselines.ports.{name}").unlearn


def measures(model: nn.Module, digits: Digits) -> Tensor:
    """Accuracy on R, F and V, and loss on F."""
    accuracies = [accuracy(model, digits[name]) for name in ("retain", "forget", "val")]
    with torch.no_grad():
        return torch.tensor([*accuracies, F.cross_entropy(model(digits["forget"][0]), digits["forget"][1]).item()])


def run(name: str, ours: bool, seed: int, original: nn.Module, digits: Digits, loaders: Any) -> Tensor:
    """Run one of the two on a copy of the original; return its measures [4]."""
    settings = SETTINGS[name]
    random.seed(seed)
    torch.manual_seed(seed)
    untrained = {"untrained": build(DIGITS)} if name == "bt" and not ours else {}
    unlearn = load_entry(BASELINES / f"{name}.py").unlearn if ours else port(name)
    chosen = settings.common | (settings.ours if ours else settings.theirs | untrained)
    return measures(unlearn(copy.deepcopy(original), *loaders, **chosen), digits)


def compare(name: str, seeds: int, original: nn.Module, digits: Digits, loaders: Any) -> tuple[Tensor, Tensor]:
    """Return the measures of ours and of theirs, each [seeds, 4]."""
    ours, theirs = (
        torch.stack([run(name, own, seed, original, digits, loaders) for seed in range(seeds)]) for own in (True, False)
    )
    return ours, theirs
