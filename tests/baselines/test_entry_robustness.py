"""Conditions that every file in baselines/ and submissions/ must bear; minutes in all, so marked slow."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.baselines.conformity import shortened
from tests.baselines.conftest import ENTRIES, SPECS, Loaders, load_entry
from unlearn_bench.harness.entries import entry
from unlearn_bench.sandbox.inside import adapter, models
from unlearn_bench.sandbox.inside.loaders import make_loaders

pytestmark = pytest.mark.slow

each_entry = pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.stem)
# what a harness or an earlier method may leave a model in; none of them may matter or break anything
ODD_STATES: dict[str, Callable[[nn.Module], Any]] = {
    "as training leaves it": lambda model: [setattr(p, "grad", torch.ones_like(p)) for p in model.train().parameters()],
    "frozen": lambda model: model.requires_grad_(False),
    "partly frozen, batch norm in eval mode": lambda model: [
        *[p.requires_grad_(i % 2 == 0) for i, p in enumerate(model.parameters())],
        *[m.eval() for m in model.modules() if isinstance(m, nn.BatchNorm2d)],
    ],
}


def problem(
    architecture: str,
    classes: int = 4,
    counts: tuple[int, int, int] = (33, 17, 16),
    absent: bool = False,
    seed: int = 0,
) -> tuple[nn.Module, Loaders]:
    torch.manual_seed(0)
    size = 32 if architecture == "tinyvit" else 8
    data: dict[str, Tensor] = {}
    for name, count in zip(("retain", "forget", "val"), counts, strict=True):
        data[f"{name}_images"] = torch.randint(0, 256, (count, 1, size, size), dtype=torch.uint8)
        data[f"{name}_labels"] = torch.randint(int(absent), classes, (count,))
    model = models.build({**SPECS[architecture], "classes": classes})
    return model, make_loaders(data, (0.5,), (0.25,), 1, 16, seed, "cpu")


def unlearn(path: Path, model: nn.Module, loaders: Loaders, seed: int = 3, **changed: Any) -> dict[str, Tensor]:
    torch.manual_seed(seed)
    result = adapter.call(load_entry(path), model, loaders, shortened(path) | changed)
    state = adapter.state(result, adapter.layout(model))
    assert all(tensor.isfinite().all() for tensor in state.values())
    return state


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@each_entry
def test_one_seed_one_result_and_another_seed_another_where_anything_is_drawn(path: Path) -> None:
    first, again, other = (unlearn(path, *problem("resnet", seed=seed), seed=seed) for seed in (3, 3, 4))
    assert same(first, again)
    untouched = same(first, problem("resnet")[0].state_dict())
    assert same(first, other) == untouched, "the order of the batches, at least, is drawn"


@each_entry
@pytest.mark.parametrize("architecture", SPECS)
@pytest.mark.parametrize("classes", [2, 100])
def test_any_number_of_classes(path: Path, architecture: str, classes: int) -> None:
    unlearn(path, *problem(architecture, classes, (20, 8, 8)))


@each_entry
@pytest.mark.parametrize("architecture", SPECS)
def test_a_class_that_is_absent(path: Path, architecture: str) -> None:
    unlearn(path, *problem(architecture, absent=True))


@each_entry
@pytest.mark.parametrize("counts", [(17, 17, 17), (33, 2, 16), (18, 33, 2)], ids=str)
def test_last_batches_of_one_sample_and_sets_of_two(path: Path, counts: tuple[int, int, int]) -> None:
    unlearn(path, *problem("resnet", counts=counts))


@each_entry
def test_one_epoch(path: Path) -> None:
    defaults = entry.read(path).defaults
    unlearn(path, *problem("resnet"), **{name: 1 for name in defaults if name == "epochs"})


@cache
def of_a_usual_model(path: Path, architecture: str) -> dict[str, Tensor]:
    model, loaders = problem(architecture)
    return unlearn(path, model.eval(), loaders)


@pytest.mark.parametrize("state", ODD_STATES)
@pytest.mark.parametrize("architecture", SPECS)
@each_entry
def test_odd_states_of_the_model_neither_break_nor_matter(path: Path, architecture: str, state: str) -> None:
    expected = of_a_usual_model(path, architecture)
    model, loaders = problem(architecture)
    ODD_STATES[state](model)
    found = unlearn(path, model, loaders)
    if load_entry(path).__name__.endswith("original"):
        return
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0.05, atol=0.05, msg=f"{state}: {name}")


@each_entry
def test_hyper_parameters_are_keyword_only(path: Path) -> None:
    parameters = inspect.signature(load_entry(path).unlearn).parameters.values()
    kinds = [p.kind for p in parameters if p.default is not p.empty]
    assert set(kinds) <= {inspect.Parameter.KEYWORD_ONLY}
