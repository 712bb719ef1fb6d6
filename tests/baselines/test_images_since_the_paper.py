"""Behaviour of entries since Deep Unlearn that make images, labels or noise."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.baselines.recording import Entry, assert_close, recorded, stepped
from tests.baselines.tiny_networks import CLASSES, Spy, data, error, fitted, holds, normalised, plain, run

# UNSIR


def test_unsir_makes_noise_that_contradicts_the_model(entry: Entry) -> None:
    targets = torch.arange(CLASSES).repeat(4)
    pair = torch.randn(16, 1, 6, 6), targets
    model = fitted(normalised(), data(20))
    before = copy.deepcopy(model.state_dict())
    noise = entry("unsir").disturb(model, pair[0].clone(), targets, 20, 0.1, 0.01)
    assert error(model, (noise, targets)) > 2 * error(model, pair)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(p.requires_grad for p in model.parameters())


def test_unsir_impairs_with_labelled_noise_beside_the_retain_set_and_repairs_without(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, retain, forget = entry("unsir"), data(20), (data(9)[0], torch.tensor([1, 3, 3] * 3))
    disturbed, trained = Spy(monkeypatch, module, "disturb"), Spy(monkeypatch, module, "train")
    run(module, plain(), retain, forget, retain_share=0.5, noise_share=1.5, batch_size=6, noise_steps=2)
    ((noise,), (_, _, targets, *_)) = disturbed.results, disturbed.calls[0]
    assert sorted(targets.tolist()) == [1, 1, 3, 3, 3, 3]
    impair, repair = (batches.data for _, batches, *_ in trained.calls)
    own = {tuple(image.flatten().tolist()): int(label) for image, label in zip(noise, targets, strict=True)}
    labels_of_noise = [
        (own.get(tuple(image.flatten().tolist())), int(label)) for image, label in zip(*impair, strict=True)
    ]
    assert [expected == label for expected, label in labels_of_noise if expected is not None] == [True] * 15
    assert len(labels_of_noise) == 25 and len(repair[0]) == 10
    assert all(holds(retain[0], image) for image in repair[0])


def test_unsir_loses_a_class_and_keeps_the_others(entry: Entry) -> None:
    centres = 2 * torch.randn(CLASSES, 1, 6, 6)
    labels = torch.arange(CLASSES).repeat(30)
    images = centres[labels] + 0.3 * torch.randn(120, 1, 6, 6)
    retain, forget = (images[labels != 2], labels[labels != 2]), (images[labels == 2], labels[labels == 2])
    model = fitted(plain(), retain, forget)
    assert (model(forget[0]).argmax(1) == 2).all()
    run(entry("unsir"), model, retain, forget, batch_size=32, retain_share=1.0, impair_epochs=3, repair_epochs=3)
    assert (model(forget[0]).argmax(1) == 2).float().mean() < 0.5
    assert (model(retain[0]).argmax(1) == retain[1]).float().mean() > 0.9


# Boundary shrink


def test_boundary_shrink_finds_the_wrong_class_one_signed_step_away(entry: Entry) -> None:
    pair = data(30)
    model = fitted(normalised(), pair, data(10))
    black, white = pair[0].min(), pair[0].max()
    x = pair[0].clone().requires_grad_(True)
    F.cross_entropy(model(x), pair[1]).backward()
    assert x.grad is not None
    logits = model((x + 0.6 * (white - black) * x.grad.sign()).clamp(black, white)).detach()
    expected = [next(c for c in z.argsort(descending=True) if c != y) for z, y in zip(logits, pair[1], strict=True)]
    asked: list[Tensor] = []
    model.register_forward_pre_hook(lambda _, given: asked.append(given[0].detach()))
    found = entry("boundary_shrink").neighbours(model, *pair, 0.6, 7)
    assert all(black <= images.min() and images.max() <= white for images in asked), "the step ends at the range"
    assert found.tolist() == torch.stack(expected).tolist()
    second = entry("boundary_shrink").neighbours(model, *pair, 0.0, 30)
    assert (second != pair[1]).all(), "also where no boundary is crossed"


def test_boundary_shrink_trains_the_forget_set_itself_on_its_neighbours(entry: Entry) -> None:
    forget = data(12)
    model = fitted(plain(), forget)
    labels = entry("boundary_shrink").neighbours(model, *forget, 0.1, 64)
    expected = stepped(model, lambda net: error(net, (forget[0], labels)), lr=0.05)
    assert_close(run(entry("boundary_shrink"), model, data(8), forget, epochs=1, lr=0.05), expected)


# AMUN


def test_amun_finds_the_image_behind_the_nearest_boundary(entry: Entry) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 2))
    images = torch.rand(20, 1, 6, 6)
    images[0, 0, 0, :2] = torch.tensor([0.0, 1.0])  # so that the range of the set is that of its pixels
    weight, bias = model[1].weight, model[1].bias
    distance = ((weight[0] - weight[1]) @ images.flatten(1).T + bias[0] - bias[1]) / (weight[0] - weight[1]).norm()
    labels = (distance < 0).long()
    labels[3] = 1 - labels[3]  # wrong to begin with
    found, answers = entry("amun").adversarial(model, images, labels, 0.01, 20, 8)
    assert len(found) == 20 and (answers != labels).all()
    assert torch.equal(model(found).argmax(1), answers)
    torch.testing.assert_close(found[3], images[3])
    moved = (found - images).flatten(1).norm(dim=1)
    others = torch.arange(20) != 3
    assert (moved[others] >= distance.abs()[others] - 1e-5).all()
    assert (moved[others] <= 2.5 * distance.abs()[others] + 0.01).all()
    assert found.min() >= -1e-6 and found.max() <= 1 + 1e-6


def test_amun_leaves_out_images_that_no_attack_turns(entry: Entry) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, CLASSES))
    nn.init.zeros_(model[1].weight)
    with torch.no_grad():
        model[1].bias.copy_(torch.tensor([1.0, 0, 0, 0]))
    images, labels = torch.rand(6, 1, 6, 6), torch.tensor([0, 0, 0, 1, 2, 3])
    found, answers = entry("amun").adversarial(model, images, labels, 0.04, 3, 64)
    torch.testing.assert_close(found, images[3:])
    assert answers.tolist() == [0, 0, 0]


@pytest.mark.parametrize("with_forget", [True, False])
def test_amun_trains_on_the_retain_set_the_adversarial_images_and_the_forget_set(
    with_forget: bool, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    retain, forget = data(20), data(10)
    model, module = fitted(plain(), retain, forget), entry("amun")
    attacked, batches = Spy(monkeypatch, module, "adversarial"), Spy(monkeypatch, module, "Batches")
    with recorded(model) as steps:
        run(module, model, retain, forget, with_forget=with_forget, epochs=3, decay_epochs=2, batch_size=64, lr=0.5)
    ((images, labels),) = batches.calls
    (found, answers) = attacked.results[0]
    parts = [retain, (found, answers), *([forget] if with_forget else [])]
    assert sorted(zip(images.sum((1, 2, 3)).tolist(), labels.tolist(), strict=True)) == sorted(
        pair for x, y in parts for pair in zip(x.sum((1, 2, 3)).tolist(), y.tolist(), strict=True)
    )
    assert [step.lr for step in steps] == pytest.approx([0.5, 0.5, 0.05])


# JiT


def test_jit_measures_the_mean_steepness_towards_noisy_neighbours(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, module, (images, labels) = plain(), entry("jit"), data(10)
    weights, found = list(model.parameters()), []

    def train_epoch(objective: Callable[..., Tensor], *_: Any) -> None:
        torch.manual_seed(5)
        loss = objective(images, labels)
        found.extend([loss.detach(), *torch.autograd.grad(loss, weights)])

    monkeypatch.setattr(module, "train_epoch", train_epoch)
    run(module, model, data(4), (images, labels), sigma=0.3, samples=2)
    torch.manual_seed(5)
    total = torch.zeros(())
    for _ in range(2):
        noisy = (images + 0.3 * torch.randn_like(images)).clamp(images.min(), images.max())
        rises = (model(images) - model(noisy).detach()).norm(dim=1)
        total = total + (rises / (noisy - images).flatten(1).norm(dim=1)).sum() / 2
    for value, expected in zip(found, [total.detach(), *torch.autograd.grad(total, weights)], strict=True):
        torch.testing.assert_close(value, expected)


def test_jit_flattens_the_network_around_the_forget_set_without_its_labels(entry: Entry) -> None:
    forget = data(12)
    model = fitted(plain(), forget)
    results = []
    for labels in (forget[1], forget[1].flip(0)):
        torch.manual_seed(4)
        results.append(run(entry("jit"), copy.deepcopy(model), data(4), (forget[0], labels), lr=5e-3, epochs=30))
    assert_close(*results, atol=0.0)

    def steepness(net: nn.Module) -> float:
        torch.manual_seed(6)
        noise = 0.01 * torch.randn_like(forget[0])
        return (net(forget[0] + noise) - net(forget[0])).norm(dim=1).mean().item()

    assert steepness(results[0]) < 0.8 * steepness(model)


def test_jit_survives_images_that_noise_cannot_change(entry: Entry) -> None:
    flat = torch.zeros(6, 1, 6, 6), torch.zeros(6, dtype=torch.long)
    model = run(entry("jit"), normalised(), data(4), flat, epochs=2)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


# DELETE


def test_delete_erases_the_true_class_and_keeps_the_ratios_of_the_others(entry: Entry) -> None:
    forget = data(6)
    model = fitted(plain(), forget)
    before = model(forget[0]).detach()
    after = run(entry("delete"), copy.deepcopy(model), data(4), forget, epochs=200, lr=0.4)(forget[0])
    own = F.one_hot(forget[1], CLASSES).bool()
    assert (before.softmax(1)[own] > 0.9).all() and (after.softmax(1)[own] < 0.02).all()
    others = before.masked_fill(own, -torch.inf).softmax(1)
    torch.testing.assert_close(after.softmax(1), others, atol=0.03, rtol=0)
