from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from unlearn_bench.sandbox.inside import models
from unlearn_bench.sandbox.inside.adapter import ContractError, call, layout, state

SPEC = {"name": "resnet18_narrow", "classes": 3, "width": 2, "channels": 1, "image_size": 8}
LOADERS = ("retain", "forget", "val")
MODEL = nn.Linear(1, 1)


def seen(source: str, parameters: dict[str, Any] | None = None) -> Any:
    """Run ``unlearn`` as the adapter calls it; return what it put into the list ``seen``."""
    namespace: dict[str, Any] = {"seen": [], "copy": copy}
    exec(source, namespace)
    call(SimpleNamespace(**namespace), MODEL, LOADERS, parameters or {})
    return namespace["seen"]


@pytest.mark.parametrize(
    "source, expected",
    [
        ("def unlearn(a, b): seen.extend([b])", ["retain"]),
        ("def unlearn(net, r, f): seen.extend([r, f])", ["retain", "forget"]),
        ("def unlearn(net, r, f, v): seen.extend([r, f, v])", ["retain", "forget", "val"]),
        ("def unlearn(net, r, f, v, /, *, lr=1): seen.extend([r, f, v, lr])", ["retain", "forget", "val", 1]),
        ("def unlearn(net, *rest): seen.extend(rest)", ["retain", "forget", "val"]),
        # whatever has a default is a hyper-parameter, in any place
        ("def unlearn(net, r, f, v=None, lr=1): seen.extend([r, f, v, lr])", ["retain", "forget", None, 1]),
        ("def unlearn(net, r, f, v, **more): seen.extend([v, more])", ["val", {}]),
    ],
)
def test_passes_what_is_required(source: str, expected: list[Any]) -> None:
    assert seen(source) == expected


def test_hyper_parameters_go_by_name() -> None:
    assert seen("def unlearn(m, r, f, v, lr=1, *, epochs=2, k=3): seen.extend([lr, epochs, k])", {"lr": 9, "k": 8}) == [
        9,
        2,
        8,
    ]
    assert seen("def unlearn(m, r, *, lr): seen.append(lr)", {"lr": 4}) == [4]
    assert seen("def unlearn(m, r, **more): seen.append(more)", {"x": 1}) == [{"x": 1}]


@pytest.mark.parametrize(
    "source, parameters, words",
    [
        ("unlearn = 3", {}, "defines no function"),
        ("x = 1", {}, "defines no function"),
        ("def unlearn(model): pass", {}, "requires 1 positional"),
        ("def unlearn(a, b, c, d, e): pass", {}, r"requires 5 positional parameters \(a, b, c, d, e\)"),
        ("def unlearn(m, r, *, lr=1): pass", {"learning_rate": 1}, "no hyper-parameter 'learning_rate'; it has: lr"),
        ("def unlearn(m, r, **more): pass", {"m": 1}, "no hyper-parameter 'm'"),
        ("def unlearn(m, r, *, lr): pass", {}, "'lr' of `unlearn` has neither a default nor a value"),
        ("def unlearn(m, r): return {}", {}, "returned dict"),
        ("async def unlearn(m, r): pass", {}, "returned coroutine"),
    ],
)
@pytest.mark.filterwarnings("ignore:coroutine")
def test_breaches_of_the_contract_are_named(source: str, parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(ContractError, match=words):
        seen(source, parameters)


def test_errors_of_the_entry_stay_what_they_are() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        seen("def unlearn(m, r): return m + r")


def test_returns_the_model_or_what_took_its_place() -> None:
    other = nn.Linear(1, 1)
    assert call(SimpleNamespace(unlearn=lambda m, r: None), MODEL, LOADERS, {}) is MODEL
    assert call(SimpleNamespace(unlearn=lambda m, r: other), MODEL, LOADERS, {}) is other


def test_state_casts_half_precision_and_does_not_mind_modes() -> None:
    model = models.build(SPEC)
    wanted = layout(model)
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    model.train().half().requires_grad_(False)
    found = state(model, wanted)
    assert {name: tensor.dtype for name, tensor in found.items()} == {n: t.dtype for n, t in expected.items()}
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-3)


def test_state_owns_its_memory_even_where_parameters_are_tied_or_views() -> None:
    model = models.build(SPEC)
    model.bn1.bias = model.bn1.weight  # type: ignore[union-attr]
    model.fc.weight = nn.Parameter(torch.ones(16, 3).t())  # type: ignore[union-attr]
    found = state(model, layout(model))
    assert found["bn1.bias"].data_ptr() != found["bn1.weight"].data_ptr()
    assert found["fc.weight"].is_contiguous()


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda model: nn.Linear(2, 2), "lacks 'bn1.bias' and has in addition 'bias'"),
        (lambda model: models.build(SPEC | {"classes": 4}), r"'fc.bias' is \[4\], not \[3\]|'fc.weight' is \[4, 16\]"),
        (lambda model: nn.Sequential(model), "lacks 'bn1.bias' and has in addition '0.bn1.bias'"),
    ],
)
def test_state_names_another_architecture(change: Any, words: str) -> None:
    with pytest.raises(ContractError, match=words):
        state(change(models.build(SPEC)), layout(models.build(SPEC)))
