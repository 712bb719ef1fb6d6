"""What published methods return instead of the plain model."""

from __future__ import annotations

import copy
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm
from torch.optim.swa_utils import AveragedModel

from unlearn_bench.sandbox.inside import models
from unlearn_bench.sandbox.inside.adapter import ContractError
from unlearn_bench.sandbox.inside.request import DeletionRequest

SPEC = {"name": "resnet18_narrow", "classes": 3, "width": 2, "channels": 1, "image_size": 8}


class Wrapper(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.backbone = model


def pruned(model: Any) -> Any:
    prune.l1_unstructured(model.fc, "weight", amount=0.5)
    return model


def changed(model: Any) -> Any:
    with torch.no_grad():
        model.fc.bias.fill_(2.0)
    return model


def larger(model: Any) -> Any:
    model.fc = nn.Linear(model.fc.in_features, 4)
    return model


@pytest.fixture
def unlearned(data: dict[str, torch.Tensor]) -> Callable[[Any], dict[str, torch.Tensor]]:
    """``unlearned(function)``: the state that comes of a function of the model in the place of ``unlearn``."""

    def run(function: Any) -> dict[str, torch.Tensor]:
        torch.manual_seed(0)
        state = models.build(SPEC).state_dict()
        request = DeletionRequest(SPEC, state, data, mean=(0.5,), std=(0.5,), batch_size=4, seed=1, device="cpu")
        entry: Any = SimpleNamespace(unlearn=lambda model, retain: function(changed(model)))
        return request.unlearn(lambda: entry, {})

    return run


@pytest.mark.parametrize(
    "function",
    [
        nn.DataParallel,
        AveragedModel,
        lambda model: torch.compile(model, backend="eager"),
        lambda model: nn.DataParallel(torch.compile(AveragedModel(model), backend="eager")),
        lambda model: parametrizations.orthogonal(model.fc) and None,
        lambda model: spectral_norm(model.conv1) and None,
        lambda model: weight_norm(model.conv1) and model,
        lambda model: (model, [0.5, 0.4]),
        lambda model: model.state_dict(),
        lambda model: nn.DataParallel(model).state_dict(),
        lambda model: (copy.deepcopy(model).state_dict(), {"loss": 1.0}),
    ],
)
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_model_in_another_form_counts(unlearned: Callable[[Any], dict[str, torch.Tensor]], function: Any) -> None:
    assert unlearned(function)["fc.bias"].tolist() == [2.0, 2.0, 2.0]


def test_pruned_weights_are_zero_in_what_counts(unlearned: Callable[[Any], dict[str, torch.Tensor]]) -> None:
    weight = unlearned(pruned)["fc.weight"]
    assert (weight == 0).sum() == weight.numel() // 2


@pytest.mark.parametrize("function", [lambda model: (model, 1), lambda model: model.state_dict()])
def test_a_guess_at_what_was_meant_is_in_the_log(
    unlearned: Callable[[Any], dict[str, torch.Tensor]], function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    unlearned(function)
    assert "counts" in caplog.text


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (Wrapper, "a Wrapper around the model; return the model inside it, which is its `backbone`"),
        (larger, "'fc.weight' has 4 rows, not 3; return it with the rows of the classes 0 to 2 only"),
        (lambda model: {"fc.bias": torch.zeros(3)}, "no state dict of the architecture"),
        (lambda model: (model, copy.deepcopy(model)), "returned tuple"),
        (lambda model: {}, "returned dict"),
    ],
)
def test_what_cannot_count_says_what_to_return(
    unlearned: Callable[[Any], dict[str, torch.Tensor]], function: Any, words: str
) -> None:
    with pytest.raises(ContractError, match=words):
        unlearned(function)
