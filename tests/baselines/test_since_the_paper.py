"""Behaviour of the entries from papers since Deep Unlearn, and of the two controls, on networks of a few weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.baselines.recording import Entry, assert_close, changed, loaders, parameters, recorded, stepped

CLASSES = 4
Pair = tuple[Tensor, Tensor]


def data(n: int) -> Pair:
    return torch.randn(n, 1, 6, 6), torch.randint(CLASSES, (n,))


def plain() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, CLASSES)).eval()


def normalised() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(48, CLASSES)).eval()


def fitted(model: nn.Module, *pairs: Pair) -> nn.Module:
    """The model after a training that learns the pairs by heart."""
    images, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    for _ in range(60):
        optimizer.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimizer.step()
    model.zero_grad()
    return model


def error(model: nn.Module, pair: Pair) -> Tensor:
    return F.cross_entropy(model(pair[0]), pair[1])


def run(module: ModuleType, model: nn.Module, retain: Pair, forget: Pair, **chosen: Any) -> nn.Module:
    result: nn.Module = module.unlearn(model, *loaders(retain, forget, forget), **chosen)
    return result


class Spy:
    """Replaces a function of an entry, keeps the arguments of every call and calls it all the same."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.results: list[Any] = []
        self.real: Callable[..., Any] = getattr(module, name)
        monkeypatch.setattr(module, name, self)

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self.calls.append(arguments)
        self.results.append(self.real(*arguments, **named))
        return self.results[-1]


def holds(images: Tensor, image: Tensor) -> bool:
    return bool((images == image).flatten(1).all(1).any())


# SSD


def test_ssd_dampens_what_matters_more_to_the_forget_set_and_nothing_else(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, module = plain(), entry("ssd")
    before = parameters(model)
    of_forgotten, of_everything = ([torch.rand_like(p) for p in model.parameters()] for _ in range(2))
    answers = iter([of_forgotten, of_everything])
    monkeypatch.setattr(module, "importance", lambda *_: next(answers))
    after = parameters(run(module, model, data(8), data(4), alpha=1.5, lambda_=2.0))
    for (name, old), f, d in zip(before.items(), of_forgotten, of_everything, strict=True):
        chosen = f > 1.5 * d
        assert torch.equal(after[name][~chosen], old[~chosen])
        torch.testing.assert_close(after[name][chosen], (old * (2 * d / f).clamp(max=1))[chosen])
        assert (after[name].abs() <= old.abs()).all()


def test_ssd_measures_importance_as_the_model_predicts(entry: Entry) -> None:
    model, pair = normalised(), data(12)
    before = copy.deepcopy(model.state_dict())
    slopes = torch.autograd.grad(error(model, pair), list(model.parameters()))
    found = entry("ssd").importance(model.train(), *pair, 12)
    for importance, slope in zip(found, slopes, strict=True):
        torch.testing.assert_close(importance, slope.square())
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


# L1-sparse


def test_l1_sparse_steps_on_error_and_size_of_all_weights(entry: Entry) -> None:
    retain, forget = data(20), data(4)
    model = normalised()
    start = copy.deepcopy(model)
    found = run(entry("l1_sparse"), model, retain, forget, gamma=0.03, epochs=1, lr=0.1, weight_decay=0.2)

    def objective(net: nn.Module) -> Tensor:
        return error(net, retain) + 0.03 * torch.stack([p.abs().sum() for p in net.parameters()]).sum()

    assert_close(found, stepped(start, objective, lr=0.1, decay=0.2))


def test_l1_sparse_lets_the_penalty_fade(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    model, module, retain = plain(), entry("l1_sparse"), data(20)
    weights = []

    def train_epoch(objective: Callable[..., Tensor], *_: Any) -> None:
        size = torch.stack([p.abs().sum() for p in model.parameters()]).sum()
        weights.append(((objective(*retain) - error(model, retain)) / size).item())

    monkeypatch.setattr(module, "train_epoch", train_epoch)
    run(module, model, retain, data(4), gamma=0.8, unpenalised=0.5, epochs=8)
    assert weights == pytest.approx([0.8, 0.6, 0.4, 0.2, 0, 0, 0, 0], abs=1e-4)


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


# SFR-on


def sfr_steps(module: ModuleType, monkeypatch: pytest.MonkeyPatch, model: nn.Module) -> list[dict[str, Any]]:
    """Every step of a run, with its rate of ascent (None on the retain set) and the weights before and after."""
    steps: list[dict[str, Any]] = []
    real = module.train_epoch

    def train_epoch(objective: Any, batches: list[Pair], *rest: Any, before_step: Any = None) -> None:
        rate = None
        if before_step is not None:
            mode = copy.deepcopy(model.state_dict())
            rate = (-objective(*batches[0]) / module.adaptive(model(batches[0][0]), batches[0][1], 0.5)).item()
            model.load_state_dict(mode)
        before = parameters(model)
        real(objective, batches, *rest, before_step=before_step)
        steps.append({"rate": rate, "before": before, "after": parameters(model), "batch": batches[0]})

    monkeypatch.setattr(module, "train_epoch", train_epoch)
    return steps


def test_sfr_on_ascends_at_every_kth_step_less_and_less(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    model, module = normalised(), entry("sfr_on")
    steps = sfr_steps(module, monkeypatch, model)
    retain, forget = data(24), data(8)
    run(module, model, retain, forget, batch_size=8, epochs=2, forget_every=2, alpha=3.0)
    rates = [step["rate"] for step in steps]
    expected = [3 * (1 + math.cos(math.pi * k / 6)) / 2 for k in (0, 2, 4)]
    assert [rate is None for rate in rates] == [False, True, True] * 3
    assert [rate for rate in rates if rate is not None] == pytest.approx(expected, rel=1e-3)
    for step in steps:
        source = retain if step["rate"] is None else forget
        assert all(holds(source[0], image) for image in step["batch"][0])


def test_sfr_on_moves_salient_weights_alone_up_the_loss_and_no_further_than_the_clip(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    retain, forget = data(24), data(8)
    model, module = fitted(plain(), data(24)), entry("sfr_on")
    steps, masks = sfr_steps(module, monkeypatch, model), Spy(monkeypatch, module, "salient")
    start = copy.deepcopy(model)
    run(module, model, retain, forget, batch_size=8, epochs=1, alpha=1e4, clip=0.5, lr=0.01, weight_decay=0.0)
    moved = {name: steps[0]["after"][name] - old for name, old in steps[0]["before"].items()}
    for mask, shift in zip(masks.results[0], moved.values(), strict=True):
        assert not shift[~mask].any()
    assert any((~mask).any() for mask in masks.results[0])
    length = torch.cat([shift.flatten() for shift in moved.values()]).norm()
    assert length.item() == pytest.approx(0.01 * 0.5, rel=1e-3)
    risen = copy.deepcopy(start)
    risen.load_state_dict(steps[0]["after"])
    assert error(risen, forget) > error(start, forget)


def test_sfr_on_takes_weights_for_salient_by_the_ratio_of_informations(entry: Entry) -> None:
    kept, forgotten = data(8), data(8)
    model = plain()
    of_forgotten, of_kept = (
        [slope.square() for slope in torch.autograd.grad(error(model, pair), list(model.parameters()))]
        for pair in (forgotten, kept)
    )
    masks = entry("sfr_on").salient(model, kept, forgotten, 8, 2.0)
    for mask, f, r in zip(masks, of_forgotten, of_kept, strict=True):
        assert torch.equal(mask, f >= 2 * r)


def test_sfr_on_spares_what_is_forgotten_already(entry: Entry) -> None:
    logits = torch.randn(6, CLASSES, requires_grad=True)
    labels = torch.randint(CLASSES, (6,))
    losses = F.cross_entropy(logits, labels, reduction="none").detach()
    share = losses**-0.5 / (losses**-0.5).sum()
    (found,) = torch.autograd.grad(entry("sfr_on").adaptive(logits, labels, 0.5), logits)
    torch.testing.assert_close(found, (logits.softmax(1) - F.one_hot(labels, CLASSES)).detach() * share[:, None])
    certain = torch.tensor([[200.0, 0, 0, 0], [0.0, 0, 0, 0]], requires_grad=True)
    (found,) = torch.autograd.grad(entry("sfr_on").adaptive(certain, torch.tensor([0, 0]), 0.5), certain)
    assert found[1].norm() > 1e-4, "a loss of 0 does not silence the others"


def test_sfr_on_ends_while_everything_is_finite(entry: Entry) -> None:
    model = run(entry("sfr_on"), normalised(), data(24), data(8), lr=1e30, alpha=1e30, epochs=3)
    assert all(tensor.isfinite().all() for tensor in model.state_dict().values())


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


# NegMerge


def test_neg_merge_subtracts_the_mean_of_what_all_fine_tunings_agree_about(
    entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, module, forget = normalised(), entry("neg_merge"), data(12)
    start, vectors = copy.deepcopy(model), []
    rates = []

    def tune(net: nn.Module, batches: Any, epochs: int, lr: float, real: Any = module.tune) -> None:
        assert_close(net, start, atol=0.0)
        real(net, batches, epochs, lr)
        vectors.append([p.detach() - q.detach() for p, q in zip(net.parameters(), start.parameters(), strict=True)])
        rates.append(lr)

    monkeypatch.setattr(module, "tune", tune)
    run(module, model, data(4), forget, models=3, spread=100.0, scale=0.7, epochs=2, lr=0.1, batch_size=6)
    assert rates == pytest.approx([0.1, 0.01, 0.001])
    disagreed = 0
    for old, new, *parts in zip(start.parameters(), model.parameters(), *vectors, strict=True):
        stacked = torch.stack(parts)
        agree = stacked.sign().sum(0).abs() == 3
        torch.testing.assert_close(new, old - 0.7 * torch.where(agree, stacked.mean(0), 0), atol=1e-6, rtol=1e-4)
        disagreed += int((~agree & stacked.any(0)).sum())
    assert disagreed > 0
    assert all(torch.equal(old, new) for old, new in zip(start.buffers(), model.buffers(), strict=True))


def test_neg_merge_raises_the_error_on_the_forget_set(entry: Entry) -> None:
    forget, retain = data(12), data(30)
    model = fitted(plain(), retain)
    before = error(model, forget)
    assert error(run(entry("neg_merge"), model, retain, forget, lr=0.05), forget) > before


# Controls


def test_brief_retraining_keeps_nothing_of_the_original_and_is_brief(entry: Entry, tiny: Callable[[str], Any]) -> None:
    results = []
    for spoilt in (1.0, 7.0):
        model, sets = tiny("resnet")
        with torch.no_grad():
            for weight in model.parameters():
                weight.mul_(spoilt)
        torch.manual_seed(3)
        with recorded(model) as steps:
            results.append(entry("brief_retraining").unlearn(model, *sets, batch_size=16, crop=1, flip=True))
        assert len(steps) == 2 * 3
    states = [model.state_dict() for model in results]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_original_with_noise_is_disturbed_in_proportion_to_each_layer(entry: Entry) -> None:
    model = nn.Sequential(nn.Linear(200, 300), nn.BatchNorm1d(300), nn.Linear(300, 50, bias=False))
    with torch.no_grad():
        model[0].weight.mul_(40)
    start = copy.deepcopy(model)
    found = entry("original_with_noise").unlearn(model, None, None, None, scale=0.05)
    for old, new in zip(start.parameters(), found.parameters(), strict=True):
        if old.any():
            relative = (new - old).square().mean().sqrt() / old.square().mean().sqrt()
            assert relative.item() == pytest.approx(0.05, rel=0.2)
        else:
            assert torch.equal(old, new)
    assert changed(dict(start.named_buffers()), dict(found.named_buffers())) == set()
