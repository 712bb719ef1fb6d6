"""Weights that are cast together: the numbers of autocast, which casts each one where it is used."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from unlearn_bench.harness.training.compilation import sgd_update
from unlearn_bench.harness.training.mixed_precision import Bfloat16Copies
from unlearn_bench.sandbox.inside.models import build

SPEC = {"name": "resnet18_narrow", "classes": 5, "channels": 1, "width": 8}
LABELS = torch.arange(12) % 5


def images(seed: int) -> Tensor:
    return torch.randn(12, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def backward(network: nn.Module, seed: int) -> None:
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        logits = network(images(seed))
    cross_entropy(logits.float(), LABELS).backward()


def sgd(network: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)


def test_training_with_half_weights_gives_the_bits_of_autocast() -> None:
    torch.manual_seed(0)
    plain = build(SPEC).train()
    network = copy.deepcopy(plain)
    half, one, other = Bfloat16Copies(network), sgd(plain), sgd(network)
    assert {weight.dtype for weight in half.copies} == {torch.bfloat16}
    assert len(half.copies) == 22, "20 convolutions and the weight and bias of the last layer"
    for seed in range(3):
        one.zero_grad()
        other.zero_grad()
        backward(plain, seed)
        backward(half.network, seed)
        half.move_gradients()
        one.step()
        other.step()
        half.refresh()
    for name, value in plain.state_dict().items():  # statistics of batch-norm are shared
        assert torch.equal(value, network.state_dict()[name]), name
    assert not torch.equal(network.state_dict()["fc.weight"], build(SPEC).state_dict()["fc.weight"])


@pytest.mark.parametrize("rate", [0.1, torch.tensor(0.1, dtype=torch.float64)])
def test_an_update_is_a_step_of_sgd(rate: Tensor | float) -> None:
    torch.manual_seed(0)
    weights = [torch.randn(4, 3, dtype=torch.float64), torch.randn(5, dtype=torch.float64)]
    expected = [nn.Parameter(weight.clone()) for weight in weights]
    optimizer = torch.optim.SGD(expected, lr=0.1, momentum=0.9, weight_decay=0.05)
    copies = [torch.zeros(4, 3, dtype=torch.bfloat16)]
    momenta = [torch.zeros_like(weight) for weight in weights]
    for _ in range(3):
        gradients = [torch.randn(4, 3).bfloat16(), torch.randn(5, dtype=torch.float64)]
        for weight, gradient in zip(expected, gradients, strict=True):
            weight.grad = gradient.double()
        optimizer.step()
        sgd_update(weights, copies, momenta, gradients, rate, 0.9, 0.05)
        for weight, other in zip(weights, expected, strict=True):
            torch.testing.assert_close(weight, other.detach())
        assert torch.equal(copies[0], weights[0].bfloat16())
