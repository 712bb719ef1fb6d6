"""Grouped training is the arithmetic of individual training: shown in float64."""

from __future__ import annotations

import numpy as np
import torch

from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.harness.training.grouped import Grouped, can_group
from unlearn_bench.harness.training.recipe import train
from unlearn_bench.sandbox.inside.models import build

RECIPE = Recipe(epochs=2, batch_size=16, lr=0.1, schedule="one-cycle", seed=0)


def models(count: int, name: str = "resnet18_narrow", **more: object) -> list[torch.nn.Module]:
    torch.manual_seed(0)
    spec = {"name": name, "classes": 5, "channels": 1, **({"width": 3} if name == "resnet18_narrow" else {}), **more}
    return [build(spec).double() for _ in range(count)]


def test_a_group_trains_exactly_like_its_members_alone() -> None:
    count = 3
    together, alone = models(count), models(count)
    images = torch.randint(0, 256, (64, 1, 8, 8), dtype=torch.uint8)
    labels = torch.arange(64) % 5
    subsets = [np.random.RandomState(i).permutation(64)[:40] for i in range(count)]
    seeds = list(range(10, 10 + count))

    def to_input(x: torch.Tensor) -> torch.Tensor:
        return x.double() / 255

    train(together, images, labels, subsets, seeds, RECIPE, to_input)
    for model, subset, seed in zip(alone, subsets, seeds, strict=True):
        train([model], images, labels, [subset], [seed], RECIPE, to_input)
    for one, other in zip(together, alone, strict=True):
        for key, tensor in one.state_dict().items():
            torch.testing.assert_close(tensor, other.state_dict()[key], rtol=1e-9, atol=1e-11, msg=key)
    first, second = (m.state_dict()["fc.weight"] for m in together[:2])
    assert not torch.allclose(first, second), "members must stay different models"


def test_each_member_sees_only_its_own_images() -> None:
    members = models(3)
    images = torch.randn(3, 4, 1, 8, 8, dtype=torch.float64)
    before = Grouped(members).eval()(images)
    images[1] = 0
    after = Grouped(members).eval()(images)
    assert torch.equal(before[0], after[0])
    assert torch.equal(before[2], after[2])
    assert not torch.equal(before[1], after[1])


def test_torchvisions_resnet_groups_too() -> None:
    members = models(2, "resnet18")
    images = torch.randn(2, 2, 1, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        together = Grouped(members).eval()(images)
        for index, member in enumerate(members):
            torch.testing.assert_close(together[index], member.eval()(images[index]), rtol=1e-10, atol=1e-12)


def test_a_transformer_is_not_grouped() -> None:
    vit = {"embed_dims": (8, 8, 8, 8), "depths": (1, 1, 1, 1), "num_heads": (1, 1, 1, 1), "window_sizes": (7, 4, 2, 1)}
    assert not can_group(models(1, "tiny_vit", **vit)[0])
    assert can_group(models(1)[0])
    assert can_group(models(1, "resnet18")[0])
