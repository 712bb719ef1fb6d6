"""Behaviour of entries since Deep Unlearn that choose, shrink or merge weights, and of the two controls."""

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

from tests.baselines.recording import Entry, assert_close, changed, parameters, recorded, stepped
from tests.baselines.tiny_networks import CLASSES, Pair, Spy, data, error, fitted, holds, normalised, plain, run

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
