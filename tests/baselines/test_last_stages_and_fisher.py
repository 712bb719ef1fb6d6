"""Behaviour of CF-k, EU-k, FF and IU, and of the toolkit's stages and per-sample gradients."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector

from tests.baselines.conftest import SPECS, accuracy
from tests.baselines.recording import recorded
from unlearn_bench.sandbox import toolkit
from unlearn_bench.sandbox.inside.models import build

Entry = Callable[[str], ModuleType]
Tiny = Callable[[str], tuple[nn.Module, Any]]
Digits = dict[str, tuple[Tensor, Tensor]]

STAGES = {"resnet": [f"layer{i}." for i in range(1, 5)], "tinyvit": [f"stages.{i}." for i in range(4)]}
HEAD = {"resnet": "fc.", "tinyvit": "head."}
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


@pytest.mark.parametrize("k", [1, 2, 4])
@pytest.mark.parametrize("architecture", SPECS)
@pytest.mark.parametrize("name", ["cf_k", "eu_k"])
def test_only_the_last_k_stages_and_the_classifier_change(
    name: str, architecture: str, k: int, entry: Entry, tiny: Tiny
) -> None:
    model, loaders = tiny(architecture)
    before = copy.deepcopy(model.state_dict())
    after = entry(name).unlearn(model, *loaders, k=k, epochs=2, batch_size=16).state_dict()
    last = (*STAGES[architecture][-k:], HEAD[architecture])
    for key, old in before.items():
        if "attention_biases" not in key:  # those of a window of one stay at zero
            assert torch.equal(old, after[key]) != key.startswith(last), key


@pytest.mark.parametrize("k", [0, 5])
@pytest.mark.parametrize("name", ["cf_k", "eu_k"])
def test_k_must_not_exceed_the_number_of_stages(name: str, k: int, entry: Entry, tiny: Tiny) -> None:
    model, loaders = tiny("resnet")
    with pytest.raises(ValueError, match=f"k is {k}; the model has 4 stages"):
        entry(name).unlearn(model, *loaders, k=k)


def test_stages_are_those_of_the_architecture() -> None:
    for spec, names in (
        ({"name": "resnet18", "classes": 3}, ["layer1", "layer2", "layer3", "layer4"]),
        (SPECS["resnet"], ["layer1", "layer2", "layer3", "layer4"]),
        (SPECS["tinyvit"], ["stages.0", "stages.1", "stages.2", "stages.3"]),
    ):
        model = build(spec)
        assert toolkit.stages(model) == [model.get_submodule(name) for name in names]
    with pytest.raises(ValueError, match="no stages in a Linear"):
        toolkit.stages(nn.Linear(2, 2))


@pytest.mark.parametrize("architecture", SPECS)
def test_eu_k_draws_new_weights_and_learns_new_statistics(architecture: str, entry: Entry, tiny: Tiny) -> None:
    model, loaders = tiny(architecture)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            tensor.fill_(1000)
    entry("eu_k").unlearn(model, *loaders, k=4, epochs=2, batch_size=16, lr=0.0)
    stem = "conv1." if architecture == "resnet" else "patch_embed."
    for name, tensor in model.state_dict().items():
        if name.startswith((stem, "bn1.")):
            assert (tensor == 1000).all(), name
        elif name.endswith("num_batches_tracked"):
            assert tensor == 2 * 3, name
        elif "running" not in name:  # the features below are huge, so are statistics
            assert tensor.abs().max() < 5, name
        else:
            assert not (tensor == 1000).any(), name


def test_eu_k_draws_the_convolutions_of_a_transformer_as_its_builder_does(entry: Entry, tiny: Tiny) -> None:
    model, loaders = tiny("tinyvit")
    entry("eu_k").unlearn(model, *loaders, k=4, epochs=1, batch_size=16, lr=0.0)
    for module in model.stages[0].modules():
        if isinstance(module, nn.Conv2d):
            bound = module.weight[0].numel() ** -0.5
            assert 0.9 * bound < module.weight.abs().max() <= bound


def test_cf_k_follows_penalty_and_rate(entry: Entry, original: nn.Module, digits: Digits) -> None:
    images, labels = (tensor[:40] for tensor in digits["retain"])
    expected = copy.deepcopy(original).eval()
    expected.layer4.train()
    trained = [*expected.layer4.parameters(), *expected.fc.parameters()]
    start = [p.detach().clone() for p in trained]
    velocity = [torch.zeros_like(p) for p in trained]
    for factor in (1, 1, 1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.125):
        distance = torch.stack([(p - s).square().sum() for p, s in zip(trained, start, strict=True)]).sum()
        slopes = torch.autograd.grad(F.cross_entropy(expected(images), labels) + 2.0 / 2 * distance, trained)
        with torch.no_grad():
            for p, v, g in zip(trained, velocity, slopes, strict=True):
                p.sub_(v.mul_(0.9).add_(g), alpha=0.05 * factor)

    loaders = [[(images, labels)]] * 3
    entry("cf_k").unlearn(original, *loaders, epochs=10, batch_size=40, lr=0.05, decay=0.5, penalty=2.0)
    for (name, want), got in zip(expected.named_parameters(), original.parameters(), strict=True):
        torch.testing.assert_close(got, want, atol=1e-5, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("name", ["cf_k", "eu_k"])
@pytest.mark.parametrize(
    ("epochs", "factors"),
    [(1, [1]), (2, [1, 0.5]), (5, [1, 1, 1, 0.5, 0.25]), (20, [1] * 10 + [0.5] * 6 + [0.25] * 2 + [0.125] * 2)],
)
def test_rate_decays_at_50_80_and_90_percent_of_the_epochs(
    name: str, epochs: int, factors: list[float], entry: Entry, tiny: Tiny
) -> None:
    model, loaders = tiny("resnet")
    with recorded(model) as steps:
        entry(name).unlearn(model, *loaders, epochs=epochs, batch_size=64, lr=0.01, decay=0.5)
    assert [step.lr for step in steps] == pytest.approx([0.01 * factor for factor in factors])


def test_eu_k_is_pulled_back_to_what_was_drawn(
    entry: Entry, original: nn.Module, digits: Digits, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaders, module = [[tuple(tensor[:64] for tensor in digits["retain"])]] * 3, entry("eu_k")
    drawn: list[Tensor] = []

    def draw(parts: nn.Module) -> nn.Module:
        parts = toolkit.reinitialise(parts)
        drawn.append(parameters_to_vector(parts.parameters()).detach().clone())
        return parts

    monkeypatch.setattr(module, "reinitialise", draw)
    moved = []
    for penalty in (0.0, 10.0):
        torch.manual_seed(4)
        model = module.unlearn(copy.deepcopy(original), *loaders, lr=0.02, decay=1.0, penalty=penalty)
        end = parameters_to_vector([*model.layer4.parameters(), *model.fc.parameters()])
        moved.append((end - drawn[-1]).norm().item())
    assert moved[1] < 0.5 * moved[0]


def test_eu_k_forgets_and_keeps(entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any) -> None:
    before = mean_loss(original, digits["forget"])
    tuned = {"epochs": 5, "lr": 0.1, "penalty": 1e-3, "batch_size": 64}
    unlearned = entry("eu_k").unlearn(original, *digits_loaders, **tuned)
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


@pytest.mark.parametrize(("spec", "size"), MODELS)
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
    for batch_size in (2, 64):
        torch.testing.assert_close(entry("ff").information(model, images, batch_size), expected, atol=1e-6, rtol=1e-3)


@pytest.mark.parametrize("power", [1.0, 0.5])
def test_ff_noise_falls_with_information_up_to_the_cap(power: float, entry: Entry) -> None:
    n, alpha = 4000, 1e-4
    model = nn.Sequential(nn.Linear(n, 4), nn.LayerNorm(n), nn.Linear(n, 1))
    before = [p.detach().clone() for p in model.parameters()]
    half = torch.arange(n) % 2 == 0
    weight = torch.stack([torch.full((n,), 0.04), torch.full((n,), 4.0), torch.zeros(n), torch.where(half, 0.0, 1.0)])
    vector = torch.where(half, 0.0, 0.01)
    f = torch.cat([weight.flatten(), torch.zeros(4), vector, vector, torch.full((n,), 0.04), torch.zeros(1)])

    after = entry("ff").perturb(model, f, alpha, power).parameters()

    filters, _, scale, _, head, _ = ((new - old) / alpha**0.5 for new, old in zip(after, before, strict=True))
    expected = [
        (filters[0], 25**power),
        (filters[1], 0.25**power),
        (filters[2], 1000),
        (filters[3][half], 500.5),  # averaged over the filter
        (filters[3][~half], 500.5),
        (scale[half], 1000),  # but not over a vector
        (scale[~half], 100**power),
        (head[0], 10 * 25**power),
    ]
    for noise, variance in expected:
        assert noise.var().item() == pytest.approx(variance, rel=0.15)
        assert abs(noise.mean().item()) < 4 * (variance / len(noise)) ** 0.5


def test_ff_differentiates_at_most_max_samples(entry: Entry, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    module, (model, loaders) = entry("ff"), tiny("resnet")
    sizes = counted(module, monkeypatch)
    module.unlearn(model, *loaders, max_samples=5, batch_size=3)
    assert sizes == [3] * 4 + [2] * 4


def test_ff_keeps_little_noise_and_suffers_from_much(
    entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    module = entry("ff")
    information = module.information(original, digits["retain"][0][:64], 64)
    noisy = copy.deepcopy(original)
    assert accuracy(module.perturb(original, information, 1e-7, 1.0), digits["retain"]) > 0.98
    assert accuracy(module.perturb(noisy, information, 1e-5, 1.0), digits["forget"]) < 0.9


# IU


def net() -> nn.Module:
    """Some 500 parameters, batch norm among them, in double precision."""
    layers = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(108, 4)
    return nn.Sequential(*layers).double()


@pytest.mark.parametrize("alpha", [0.5, 20.0])
@pytest.mark.parametrize("rows", [1000, 7])
def test_iu_agrees_with_a_dense_solve(alpha: float, rows: int, entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    module, model = entry("iu"), net()
    kept = [(3 * torch.randn(n, 1, 8, 8, dtype=torch.double), torch.randint(0, 4, (n,))) for n in (12, 11)]
    forgotten = [(3 * torch.randn(9, 1, 8, 8, dtype=torch.double), torch.randint(0, 4, (9,)))]
    model(kept[0][0])
    start = parameters_to_vector(model.parameters()).detach()
    g_r, g_f = (
        torch.stack([gradient(model, x, y) for images, labels in part for x, y in zip(images, labels, strict=True)])
        for part in (kept, forgotten)
    )
    v = g_f.sum(0) / 32 - 9 / (32 * 23) * g_r.sum(0)
    h = torch.eye(len(v), dtype=torch.double) + g_r.T @ g_r / 23
    expected = alpha * torch.linalg.solve(h, v)

    monkeypatch.setattr(module, "BATCH", 10)
    monkeypatch.setattr(module, "solve", lambda *a, solve=module.solve: solve(*a, room=rows * len(v)))
    end = parameters_to_vector(module.unlearn(model, kept, forgotten, None, alpha=alpha).parameters())
    torch.testing.assert_close(end - start, expected, atol=1e-9, rtol=1e-6)
    assert not torch.allclose(expected, alpha * v, rtol=0.5)  # the curvature matters here


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
    unlearned = entry("iu").unlearn(original, *digits_loaders, max_samples=200)
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
