"""Behaviour of CF-k, EU-k, FF and IU, and of the toolkit's per-sample gradients."""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.baselines.conftest import SPECS, accuracy
from tests.baselines.recording import changed, parameters, recorded
from unlearn_bench.sandbox import toolkit
from unlearn_bench.sandbox.inside.models import build

Entry = Callable[[str], ModuleType]
Tiny = Callable[[str], tuple[nn.Module, Any]]
Digits = dict[str, tuple[Tensor, Tensor]]

FIRST = {
    ("resnet", 0.0): "fc.weight",
    ("resnet", 0.5): "layer3.0.conv2.weight",  # the last 10 of 21 layers
    ("resnet", 1.0): "layer1.0.conv1.weight",
    ("tinyvit", 0.0): "head.fc.weight",
    ("tinyvit", 0.5): "stages.2.downsample.conv3.conv.weight",  # the last 15 of 30
    ("tinyvit", 1.0): "patch_embed.conv2.conv.weight",
}
"""The first parameter that is trained, by the share of the layers."""
WIDE = {**SPECS["tinyvit"], "window_sizes": (7, 4, 2, 2)}  # a window of one has biases without effect


def lived_in(spec: dict[str, Any], size: int) -> tuple[nn.Module, Tensor, Tensor]:
    """A model in eval mode whose weights and statistics are not those of a new one, and 7 samples."""
    torch.manual_seed(2)
    model, images = build(spec), torch.randn(7, 1, size, size)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.1 * torch.randn_like(p))
        for _ in range(20):
            model.train()(torch.randn(16, 1, size, size))
        model.eval()(images)  # fills TinyViT's cache of attention biases, without gradients
    return model, images, torch.randint(0, 4, (7,))


MODELS = [pytest.param(SPECS["resnet"], 8, id="resnet"), pytest.param(WIDE, 32, id="tinyvit")]


def gradient(model: nn.Module, image: Tensor, label: Tensor) -> Tensor:
    """Of one sample's cross-entropy with eval-mode statistics, by ordinary autograd: [P]."""
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    loss = F.cross_entropy(model(image[None]), label[None])
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(model.parameters()))])


def mean_loss(model: nn.Module, data: tuple[Tensor, Tensor]) -> float:
    with torch.no_grad():
        return F.cross_entropy(model.eval()(data[0]), data[1]).item()


def counted(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many samples are differentiated at once, call by call."""
    sizes: list[int] = []

    def count(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
        sizes.append(len(images))
        return toolkit.sample_gradients(model, images, labels)

    monkeypatch.setattr(module, "sample_gradients", count)
    return sizes


# CF-k and EU-k


@pytest.mark.parametrize(("architecture", "share"), FIRST)
@pytest.mark.parametrize("name", ["cf_k", "eu_k"])
def test_only_the_last_layers_change(name: str, architecture: str, share: float, entry: Entry, tiny: Tiny) -> None:
    model, loaders = tiny(architecture)
    before = parameters(model)
    after = parameters(entry(name).unlearn(model, *loaders, share=share, epochs=2, batch_size=16))
    names = list(before)
    last = names[names.index(FIRST[architecture, share]) :]
    still = {key for key in last if "attention_biases" in key}  # those of a window of one stay at zero
    assert set(last) - still <= changed(before, after) <= set(last)


@pytest.mark.parametrize("name", ["cf_k", "eu_k"])
def test_statistics_of_frozen_batch_norms_follow_the_retain_set(name: str, entry: Entry, tiny: Tiny) -> None:
    model, loaders = tiny("resnet")
    before = model.bn1.running_mean.clone()
    entry(name).unlearn(model, *loaders, share=0.0, epochs=2, batch_size=16)
    assert model.bn1.num_batches_tracked == 2 * 3 and not torch.equal(model.bn1.running_mean, before)


@pytest.mark.parametrize("name", ["cf_k", "eu_k"])
def test_rate_restarts_after_1_3_and_7_epochs(name: str, entry: Entry, tiny: Tiny) -> None:
    model, loaders = tiny("resnet")
    with recorded(model) as steps:
        entry(name).unlearn(model, *loaders, epochs=9, batch_size=64, lr=0.02)
    half = 0.001 + 0.019 / 2
    quarter, three = (0.001 + 0.019 * (1 + turn * 0.5**0.5) / 2 for turn in (1, -1))
    falling = 0.001 + 0.019 * (1 + math.cos(math.pi / 8)) / 2
    assert [step.lr for step in steps] == pytest.approx([0.02, 0.02, half, 0.02, quarter, half, three, 0.02, falling])


@pytest.mark.parametrize("architecture", SPECS)
def test_eu_k_draws_new_weights_and_learns_new_statistics(architecture: str, entry: Entry, tiny: Tiny) -> None:
    model, loaders = tiny(architecture)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(1000)
    entry("eu_k").unlearn(model, *loaders, share=1.0, epochs=2, batch_size=16, lr=0.0)
    frozen = ("conv1.", "bn1.") if architecture == "resnet" else "patch_embed.conv1."
    for name, tensor in model.state_dict().items():
        if name.endswith("num_batches_tracked"):
            assert tensor == 2 * 3 + 1000 * name.startswith(frozen), name
        elif "running" in name:
            assert not (tensor == 1000).any(), name  # the features below are huge, so are statistics
        elif name.startswith(frozen):
            assert (tensor == 1000).all(), name
        else:
            assert tensor.abs().max() < 5, name


def test_eu_k_draws_a_transformer_as_its_builder_does(entry: Entry, tiny: Tiny) -> None:
    model, loaders = tiny("tinyvit")
    with torch.no_grad():
        model.stages[0].blocks[0].conv3.bn.weight.fill_(1)
    entry("eu_k").unlearn(model, *loaders, share=0.9, epochs=1, batch_size=16, lr=0.0)
    for convolution in (module for module in model.stages[1].modules() if isinstance(module, nn.Conv2d)):
        bound = convolution.weight[0].numel() ** -0.5
        assert 0.9 * bound < convolution.weight.abs().max() <= bound
    assert model.head.fc.weight.std().item() == pytest.approx(0.02, rel=0.3)
    assert not model.stages[0].blocks[0].conv3.bn.weight.any()  # though the cut goes through this block


def test_eu_k_forgets_and_keeps(entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any) -> None:
    before = mean_loss(original, digits["forget"])
    unlearned = entry("eu_k").unlearn(original, *digits_loaders, epochs=7)
    assert accuracy(unlearned, digits["retain"]) > 0.97
    assert mean_loss(unlearned, digits["forget"]) > 2 * before


# Gradients of single samples


@pytest.mark.parametrize(("spec", "size"), MODELS)
def test_sample_gradients_equal_those_of_one_sample_at_a_time(spec: dict[str, Any], size: int) -> None:
    model, images, labels = lived_in(spec, size)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = toolkit.sample_gradients(model, images, labels, at_once=3)
    expected = torch.stack([gradient(model, *pair) for pair in zip(images, labels, strict=True)])
    torch.testing.assert_close(rows, expected, atol=1e-5, rtol=1e-3)
    for name, column in zip(
        dict(model.named_parameters()), rows.split([p.numel() for p in model.parameters()], 1), strict=True
    ):
        assert column.abs().max() > 0, name


GHOSTNET = {"name": "timm:ghostnet_050", "classes": 4, "channels": 1, "image_size": 32}
"""It has batch norms that contain an activation, and a dropout that its outermost module applies."""


@pytest.mark.parametrize(("spec", "size"), [*MODELS, pytest.param(GHOSTNET, 32, id="ghostnet")])
def test_differentiable_eval_computes_what_eval_mode_does(spec: dict[str, Any], size: int) -> None:
    model, images, _ = lived_in(spec, size)
    with torch.no_grad():
        torch.testing.assert_close(toolkit.differentiable_eval(model)(images), model.eval()(images))


# FF


@pytest.mark.parametrize(("spec", "size"), MODELS)
def test_ff_information_agrees_with_a_double_loop(spec: dict[str, Any], size: int, entry: Entry) -> None:
    model, images, _ = lived_in(spec, size)
    expected = torch.zeros(sum(p.numel() for p in model.parameters()))
    for image in images:
        probabilities = model.eval()(image[None]).softmax(1)[0].detach()
        for label, probability in enumerate(probabilities):
            expected += probability * gradient(model, image, torch.tensor(label)).square() / len(images)
    model.eval()
    for at_once in (2, 64):
        found = entry("ff").information(model, images, room=at_once * len(expected))
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_ff_noise_falls_with_information_up_to_the_bound(power: float, entry: Entry) -> None:
    """One sample of noise is one of 2,000 outputs; a kernel has two input channels and two positions."""
    n, alpha = 2000, 1e-4
    model = nn.Sequential(nn.Conv2d(2, n, (1, 2)), nn.LayerNorm(n), nn.Linear(2, n))
    before = [p.detach().clone() for p in model.parameters()]
    positions = torch.tensor([[0.04, 0.0], [4.0, 0.0]]).view(1, 2, 1, 2).expand(n, 2, 1, 2)
    of_head = torch.tensor([0.04, 0.0]).expand(n, 2)
    vectors = [torch.full((n,), f) for f in (0.0, 0.01, 0.04, 0.0)]
    f = torch.cat([part.flatten() for part in (positions, *vectors[:3], of_head, vectors[3])])

    after = entry("ff").perturb(model, f, alpha, power).parameters()

    kernel, bias, scale, shift, head, head_bias = ((q - p) / alpha**0.5 for q, p in zip(after, before, strict=True))
    mean = (25**power + 0.25**power) / 2
    expected = [
        *((kernel[:, channel, 0, 0], mean) for channel in (0, 1)),  # averaged over the input channels
        *((kernel[:, channel, 0, 1], 1000) for channel in (0, 1)),  # but not over the positions
        (bias, 10 * 1000),
        (scale, 10 * 100**power),
        (shift, 10 * 25**power),
        *((head[:, channel], 10 * (25**power + 100) / 2) for channel in (0, 1)),
        (head_bias, 10 * 100),
    ]
    for noise, variance in expected:
        assert noise.var().item() == pytest.approx(variance, rel=0.15)
        assert abs(noise.mean().item()) < 4 * (variance / n) ** 0.5


def test_ff_differentiates_at_most_max_samples(entry: Entry, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    module, (model, loaders) = entry("ff"), tiny("resnet")
    sizes = counted(module, monkeypatch)
    module.unlearn(model, *loaders, max_samples=5)
    assert sizes == [5] * 4


def test_ff_keeps_little_noise_and_suffers_from_much(
    entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    module = entry("ff")
    information = module.information(original, digits["retain"][0][:64])
    noisy = copy.deepcopy(original)
    assert accuracy(module.perturb(original, information, 1e-7, 1.0), digits["retain"]) > 0.98
    assert accuracy(module.perturb(noisy, information, 1e-5, 1.0), digits["forget"]) < 0.9


# IU


def net() -> nn.Module:
    """Some 500 parameters, batch norm among them, in double precision."""
    layers = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)
    return nn.Sequential(*layers).double()


def test_iu_holds_two_blocks_of_gradients_at_most(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    module, model = entry("iu"), net()
    sizes, size = counted(module, monkeypatch), sum(p.numel() for p in model.parameters())
    images, labels = torch.randn(10, 1, 8, 8, dtype=torch.double), torch.randint(0, 4, (10,))
    module.solve(model, images, labels, torch.ones(size, dtype=torch.double), room=4 * size + 1)
    assert sizes == [4, 4, 4, 2, 4, 4]


def test_iu_takes_at_most_max_samples(entry: Entry, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    module, (model, loaders), taken = entry("iu"), tiny("resnet"), []
    monkeypatch.setattr(module, "solve", lambda model, images, labels, v: taken.append((len(images), len(labels))) or v)
    module.unlearn(model, *loaders, max_samples=6)
    module.unlearn(model, *loaders)
    assert taken == [(6, 6), (33, 33)]


def test_iu_hurts_the_forget_set_more_than_the_retain_set(
    entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    before = {name: mean_loss(original, digits[name]) for name in ("forget", "retain", "test")}
    unlearned = entry("iu").unlearn(original, *digits_loaders, alpha=5.0, max_samples=200)
    after = {name: mean_loss(unlearned, digits[name]) for name in before}
    assert accuracy(unlearned, digits["retain"]) > 0.95
    assert after["forget"] > 2 * before["forget"] and after["test"] < 1.5 * before["test"]


@pytest.mark.parametrize(("spec", "size"), MODELS)
@pytest.mark.parametrize("name", ["ff", "iu"])
def test_every_parameter_moves_and_no_buffer(name: str, spec: dict[str, Any], size: int, entry: Entry) -> None:
    model, images, labels = lived_in(spec, size)
    before, module = copy.deepcopy(model.state_dict()), entry(name)
    module.BATCH = 2  # several, where IU takes an ordinary gradient
    loaders = [(images[:4], labels[:4])], [(images[4:], labels[4:])], None
    after = module.unlearn(model, *loaders).state_dict()
    moving = dict(model.named_parameters())
    for key, tensor in after.items():
        assert torch.equal(tensor, before[key]) != (key in moving), key
