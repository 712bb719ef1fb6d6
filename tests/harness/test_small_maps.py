"""The matrix products on small maps are the convolutions: outputs and gradients, in float64."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.harness.training import small_maps
from unlearn_bench.harness.training.recipe import train
from unlearn_bench.harness.training.small_maps import SMALL, SmallMapConv2d, with_small_map_convolutions
from unlearn_bench.sandbox.inside.models import build


def outcomes(layer: nn.Module, images: torch.Tensor) -> list[torch.Tensor]:
    """Output, and gradients of the input and of every parameter."""
    images = images.clone().requires_grad_()
    out = layer(images)
    weights = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view(out.shape).sin()
    return [out, *torch.autograd.grad((out * weights).sum(), [images, *layer.parameters()])]


@pytest.mark.parametrize(
    "layer",
    [
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "stride": 2},
        {"kernel_size": 3, "padding": 1, "groups": 2, "bias": True},
        {"kernel_size": 3, "padding": 1, "groups": 2, "stride": 2},
        {"kernel_size": 5, "padding": 2},
        {"kernel_size": 1},
        {"kernel_size": 1, "stride": 2, "groups": 2},
        {"kernel_size": 1, "stride": 3, "bias": True},
        {"kernel_size": (3, 1), "padding": (1, 0)},
        {"kernel_size": 1, "padding": 1},
        {"kernel_size": 3, "padding": 2, "dilation": 2},
        {"kernel_size": 3, "padding": "same"},
        {"kernel_size": 3, "padding": 1, "padding_mode": "circular"},
        {"kernel_size": 3, "padding": 1, "groups": 4},
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 3), (3, 3), (4, 4)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_small_maps_change_no_result(layer: dict[str, Any], size: tuple[int, int], layout: torch.memory_format) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(4, 4, **{"bias": False, **layer}).double()
    images = torch.randn(3, 4, *size, dtype=torch.float64).contiguous(memory_format=layout)
    for one, other in zip(outcomes(with_small_map_convolutions(plain), images), outcomes(plain, images), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kernel", [1, 3])
def test_a_map_of_one_pixel_lies_in_memory_as_its_gradient_does(kernel: int) -> None:
    """What lies otherwise, batch norm's gradient meets with a loop that takes ten times as long."""
    layer = SmallMapConv2d(4, 6, kernel, padding=kernel // 2)
    out = layer(torch.zeros(3, 4, 1, 1))
    assert out.stride() == torch.zeros(3, 6, 1, 1).stride()


@pytest.mark.parametrize(("name", "more", "size"), [("resnet18_narrow", {"width": 8}, 8), ("resnet18", {}, 32)])
def test_a_network_shares_its_parameters_and_keeps_its_results(name: str, more: dict[str, int], size: int) -> None:
    torch.manual_seed(0)
    plain = build({"name": name, "classes": 5, "channels": 1, **more}).double()
    fitted = with_small_map_convolutions(plain)
    assert not any(type(module) is nn.Conv2d for module in fitted.modules())
    assert all(one is other for one, other in zip(fitted.parameters(), plain.parameters(), strict=True))
    images = torch.randn(4, 1, size, size, dtype=torch.float64)
    for one, other in zip(outcomes(fitted, images), outcomes(plain, images), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
    assert sorted(fitted.state_dict()) == sorted(plain.state_dict())


def test_the_product_is_taken_only_where_the_map_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = SmallMapConv2d(2, 2, 3, padding=1)
    taken: list[int] = []
    monkeypatch.setattr(layer, "_conv_forward", lambda x, *_: taken.append(x.shape[-1]) or x)
    for size in (1, 2, 3):
        layer(torch.zeros(1, 2, size, size))
    assert taken == [size for size in (1, 2, 3) if size * size > SMALL]


@pytest.mark.parametrize("count", [1, 2])
def test_training_takes_the_products(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    dense = small_maps._dense
    monkeypatch.setattr(small_maps, "_dense", lambda x, layer: (taken.append(layer.groups), dense(x, layer))[1])
    models = [build({"name": "resnet18_narrow", "classes": 3, "channels": 1, "width": 8}) for _ in range(count)]
    before = [model.fc.weight.clone() for model in models]
    images, rows = torch.randint(0, 256, (8, 1, 8, 8), dtype=torch.uint8), np.arange(8)
    recipe = Recipe(epochs=1, batch_size=8, lr=0.1, schedule="one-cycle", seed=0)
    train(models, images, torch.arange(8) % 3, [rows] * count, range(count), recipe, lambda x: x.float() / 255)
    assert set(taken) == {count}
    assert all(not torch.equal(old, model.fc.weight) for old, model in zip(before, models, strict=True))
    assert all(type(model.conv1) is nn.Conv2d for model in models), "the models themselves are as they were"


FAULTS = """
import resource, torch
from unlearn_bench.harness.training.memory import keep_memory
keep_memory()
for step in range(20):
    if step == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    [torch.zeros(1 << 20) for _ in range(4)]
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.slow
def test_kept_memory_is_not_faulted_in_anew() -> None:
    """Let go, 16 MB at each of ten steps are 40,000 pages; whether glibc does so depends on what lies above them."""
    faults = [int(subprocess.check_output([sys.executable, "-c", FAULTS])) for _ in range(3)]
    assert max(faults) < 1000, faults
