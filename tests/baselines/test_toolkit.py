"""The public toolkit: batches, augmentation, schedules, re-initialisation."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.lr_scheduler import CosineAnnealingWarmRestarts
from torch.utils.data import DataLoader, TensorDataset

from tests.baselines.conftest import SPECS
from unlearn_bench.sandbox import toolkit
from unlearn_bench.sandbox.inside.models import build


@pytest.mark.parametrize(
    ("n", "size", "sizes"), [(896, 128, [128] * 7), (900, 128, [113] * 4 + [112] * 4), (65, 64, [33, 32])]
)
def test_batches_are_even_and_cover_every_sample_once(n: int, size: int, sizes: list[int]) -> None:
    batches = toolkit.Batches(torch.arange(n), torch.arange(n), batch_size=size)
    first, second = (list(batches) for _ in range(2))
    assert len(batches) == len(sizes) and [len(x) for x, _ in first] == sizes
    assert all(torch.equal(x, y) for x, y in first)
    order, again = (torch.cat([x for x, _ in epoch]) for epoch in (first, second))
    assert torch.equal(order.sort().values, torch.arange(n))
    assert not torch.equal(order, again)


@pytest.mark.parametrize("n", range(2, 20))
@pytest.mark.parametrize("size", [1, 2, 3, 16])
def test_no_batch_has_one_sample(n: int, size: int) -> None:
    assert min(len(x) for (x,) in toolkit.Batches(torch.arange(n), batch_size=size)) >= 2


@pytest.mark.parametrize("plain", [True, False])
def test_rebatch_gives_the_same_pairs_as_the_loader(plain: bool, tiny: Callable[[str], Any]) -> None:
    _, (loader, _, _) = tiny("resnet")
    if plain:
        loader = DataLoader(TensorDataset(*toolkit.tensors(loader)), batch_size=5, shuffle=True)
    expected = {
        (label.item(), image.sum().item())
        for images, labels in loader
        for image, label in zip(images, labels, strict=True)
    }
    got = {
        (label.item(), image.sum().item())
        for images, labels in toolkit.rebatch(loader, 7)
        for image, label in zip(images, labels, strict=True)
    }
    assert got == expected and len(got) == 33


def test_forever_goes_on() -> None:
    endless = toolkit.forever(toolkit.Batches(torch.arange(6), batch_size=3))
    assert torch.cat([next(endless)[0] for _ in range(6)]).bincount().tolist() == [3] * 6


def test_augment_crops_the_padded_image_and_flips_half() -> None:
    images = torch.randint(1, 256, (200, 2, 5, 6), dtype=torch.uint8)
    before = images.clone()
    out = toolkit.augment(images, crop=2, flip=True)
    assert out.dtype == torch.uint8 and torch.equal(images, before)
    flips, shifts = 0, set()
    for image, got in zip(images, out, strict=True):
        padded = nn.functional.pad(image, (2,) * 4)  # with black, 0
        views = {
            (dy, dx, flip): (view.flip(2) if flip else view)
            for dy in range(5)
            for dx in range(5)
            for flip in (False, True)
            for view in [padded[:, dy : dy + 5, dx : dx + 6]]
        }
        (match,) = [key for key, view in views.items() if torch.equal(view, got)]
        flips += match[2]
        shifts.add(match[:2])
    assert len(shifts) == 25 and 70 < flips < 130


def test_augment_does_nothing_unasked() -> None:
    images = torch.rand(3, 1, 4, 4)
    assert torch.equal(toolkit.augment(images), images)


def test_augmenting_normalised_images_equals_normalising_augmented_ones() -> None:
    raw = torch.randint(0, 256, (64, 3, 8, 8), dtype=torch.uint8)
    raw[0, :, 0, 0] = 0
    mean, std = torch.rand(2, 3, 1, 1)

    def normalise(images: torch.Tensor) -> torch.Tensor:
        return (images / 255 - mean) / std

    torch.manual_seed(1)
    late = normalise(toolkit.augment(raw, crop=2, flip=True))
    torch.manual_seed(1)
    images = normalise(raw)
    early = toolkit.augment(images, crop=2, flip=True, fill=images.amin(dim=(0, 2, 3), keepdim=True))
    assert torch.equal(early, late)


def rates(kind: Any, epochs: int, steps: int) -> list[float]:
    optimizer = toolkit.sgd([nn.Parameter(torch.zeros(1))], lr=7.0)
    schedule = toolkit.recipe_schedule(optimizer, kind, 0.2, epochs, steps)
    out = []
    for _ in range(epochs * steps):
        out.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert optimizer.param_groups[0]["momentum"] == 0.9
    return out


def test_one_cycle_rises_to_the_peak_and_falls_to_nothing() -> None:
    lr = rates("one-cycle", 10, 10)
    assert lr[0] == pytest.approx(0.2 / 25) and lr[29] == max(lr) == pytest.approx(0.2)
    assert lr[-1] == pytest.approx(0.2 / 25 / 1e4)
    assert lr[:30] == sorted(lr[:30]) and lr[29:] == sorted(lr[29:], reverse=True)


def test_cosine_is_constant_within_an_epoch() -> None:
    expected = [0.1 * (1 + math.cos(math.pi * epoch / 4)) for epoch in range(4) for _ in range(3)]
    assert rates("cosine", 4, 3) == pytest.approx(expected)


@pytest.mark.parametrize("epochs", [1, 20])
def test_restarts_are_those_of_torch_once_an_epoch(epochs: int) -> None:
    optimizer = toolkit.sgd([nn.Parameter(torch.zeros(1))], lr=0.2)
    schedule = CosineAnnealingWarmRestarts(optimizer, T_0=1, T_mult=2, eta_min=0.01)
    expected = []
    for _ in range(epochs):
        expected += [optimizer.param_groups[0]["lr"]] * 3
        optimizer.step()
        schedule.step()
    assert rates("restarts", epochs, 3) == pytest.approx(expected)


def test_an_unknown_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="one-cycle, cosine, restarts"):
        rates("linear", 1, 1)


@pytest.mark.parametrize(
    "spec",
    [
        {"name": "resnet18_narrow", "classes": 10, "channels": 1, "width": 16},
        {"name": "resnet18", "classes": 10},
        {**SPECS["tinyvit"], "embed_dims": (32, 64, 96, 160), "num_heads": (1, 2, 3, 5)},
    ],
    ids=lambda spec: spec["name"],
)
def test_reinitialise_draws_from_the_distribution_of_a_new_model(spec: dict[str, Any]) -> None:
    fresh, model = build(spec), build(spec)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.copy_(torch.full_like(tensor, 3))
    model.eval()
    model(torch.zeros(2, spec.get("channels", 3), 32, 32))  # fills TinyViT's cache of attention biases
    old = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    toolkit.reinitialise(model)

    state = model.state_dict()
    for name, expected in fresh.state_dict().items():
        got = state[name]
        assert not torch.equal(got, old[name]), name
        if expected.float().std(correction=0) == 0:  # constants, and all batch-norm statistics
            assert torch.equal(got, expected), name
        else:
            assert got.numel() < 50 or not torch.equal(got, expected), name
            tolerance = 6 / math.sqrt(got.numel())
            assert got.std().item() == pytest.approx(expected.std().item(), rel=tolerance), name
            assert abs(got.mean().item()) < tolerance * expected.std().item(), name
            assert got.abs().max() < 2 * expected.abs().max(), name
    images = torch.randn(2, spec.get("channels", 3), 32, 32)
    twin = build(spec).eval()
    twin.load_state_dict(state)
    assert torch.equal(model(images), twin(images))


def test_reinitialise_names_what_it_does_not_know() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(1))

    with pytest.raises(toolkit.NotApplicable, match="a new Odd is initialised"):
        toolkit.reinitialise(nn.Sequential(Odd()))


def test_a_1x1_convolution_is_the_head_of_a_network_without_a_linear_layer() -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 7, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    head = toolkit.head(model)
    assert head is model[2] and head.out_features == 7
    assert toolkit.head(nn.Sequential(nn.Linear(2, 3), nn.Conv2d(4, 7, 1))).out_features == 3


@pytest.mark.parametrize("layers", [[nn.Conv2d(1, 4, 1), nn.Conv2d(4, 7, 3)], [nn.BatchNorm2d(7)]])
def test_a_network_without_a_linear_layer_or_a_last_1x1_convolution_has_no_head(layers: list[nn.Module]) -> None:
    with pytest.raises(toolkit.NotApplicable, match="no linear layer or 1×1 convolution"):
        toolkit.head(nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten()))


def test_train_epoch_lets_gradients_be_changed_before_the_step() -> None:
    weight = nn.Parameter(torch.ones(1))

    def halve() -> None:
        assert weight.grad is not None
        weight.grad.mul_(0.5)

    toolkit.train_epoch(
        lambda x: (weight * x).sum(), [(torch.ones(1),)] * 2, toolkit.sgd([weight], 0.1, 0, 0), None, halve
    )
    assert weight.item() == pytest.approx(0.9)


@pytest.mark.parametrize("longest", [1e-3, 1e3])
def test_fit_clips_the_gradient_of_all_parameters_together(longest: float) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    images, labels = torch.randn(8, 3), torch.randint(0, 2, (8,))
    parameters = list(model.parameters())
    slopes = torch.autograd.grad(nn.functional.cross_entropy(model(images), labels), parameters)
    norm = torch.cat([slope.flatten() for slope in slopes]).norm()
    expected = [p - 0.1 * min(1, longest / norm) * slope for p, slope in zip(parameters, slopes, strict=True)]
    batches = toolkit.Batches(images, labels, batch_size=8)
    toolkit.fit(model, batches, epochs=1, lr=0.1, weight_decay=0.0, clip=longest)
    torch.testing.assert_close(parameters, expected)


def test_fit_leaves_what_requires_no_gradient() -> None:
    model = build(SPECS["resnet"])
    model.layer1.requires_grad_(False)
    before = {name: p.clone() for name, p in model.named_parameters()}
    batches = toolkit.Batches(torch.randn(8, 1, 8, 8), torch.randint(0, 4, (8,)), batch_size=8)
    toolkit.fit(model, batches, epochs=1, lr=0.1, weight_decay=0.1)
    still = {name for name, p in model.named_parameters() if torch.equal(p, before[name])}
    assert still == {name for name in before if name.startswith("layer1.")}


@pytest.mark.parametrize(
    ("share", "k"), [(0.0, 1), (0.09, 1), (0.1, 2), (0.5, 10), (0.99, 20), (1.0, 20)], ids=lambda value: str(value)
)
def test_last_layers_count_backwards_and_leave_the_first(share: float, k: int) -> None:
    model = build(SPECS["resnet"])
    layers = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    last = list(toolkit.last_layers(model, share).modules())
    assert len(layers) == 21 and layers[-1] is model.fc
    assert [any(layer is module for module in last) for layer in layers] == [False] * (21 - k) + [True] * k
    assert not any(module is model.bn1 for module in last)


@pytest.mark.parametrize("architecture", SPECS)
def test_predict_is_eval_mode_in_the_order_of_the_images(architecture: str) -> None:
    size = 32 if architecture == "tinyvit" else 8
    model, images = build(SPECS[architecture]), torch.randn(7, 1, size, size)
    model.train()(images)  # statistics that are not those of a new model
    expected = model.eval()(images).detach()
    found = toolkit.predict(model.train(), images, batch_size=3)
    torch.testing.assert_close(found, expected)
    assert not found.requires_grad and toolkit.head(model).out_features == found.shape[1]


def test_divergence_is_the_kl_of_tempered_softmaxes() -> None:
    student, teacher = torch.randn(2, 5, 3).double()
    p, q = ((logits / 2.5).softmax(1) for logits in (teacher, student))
    expected = (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(toolkit.divergence(student, teacher, 2.5), expected)
    assert toolkit.divergence(teacher, teacher, 2.5).abs() < 1e-12


def test_finite_sees_every_part_of_the_state() -> None:
    model = build(SPECS["resnet"])
    assert toolkit.finite(model, torch.ones(2))
    assert not toolkit.finite(model, torch.tensor([1.0, math.nan]))
    model.get_buffer("bn1.running_var")[0] = math.inf
    assert not toolkit.finite(model)
