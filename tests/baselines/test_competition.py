"""Methods of the NeurIPS 2023 competition: FCS and CFW, and that all five forget and keep."""

from __future__ import annotations

import copy
import math
from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.baselines.conftest import accuracy
from tests.baselines.recording import (
    Digits,
    Entry,
    State,
    Tiny,
    assert_close,
    both_architectures,
    changed,
    cosine,
    images,
    loaders,
    parameters,
    recorded,
    stepped,
    weights,
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "settings", "floor"),
    [
        (
            "fcs",
            {"uniform_lr": 0.05, "forget_lr": 0.01, "retain_lr": 0.02, "retain_weight_decay": 5e-4, "epochs": 6},
            0.95,
        ),
        ("cfw", {"start_std": 1.0, "final_std": 0.1, "lr": 0.03}, 0.9),
        ("prmq", {"prune_amount": 0.8, "lr": 0.05, "epochs": 6.5}, 0.85),
        ("kde", {"lr": 0.1, "warmup_lr": 0.05, "warmup_epochs": 1, "epochs": 7}, 0.8),
        ("rni", {"lr": 0.03, "fine_lr": 0.05, "origin_noise": 0.2, "epochs": 9}, 0.9),
    ],
)
def test_forgets_and_keeps(
    name: str,
    settings: dict[str, Any],
    floor: float,
    entry: Entry,
    original: nn.Module,
    digits: Digits,
    digits_loaders: Any,
) -> None:
    unlearned = entry(name).unlearn(original, *digits_loaders, batch_size=64, **settings)
    kept, forgotten = accuracy(unlearned, digits["retain"]), accuracy(unlearned, digits["forget"])
    assert kept > floor
    assert forgotten < kept - 0.03


# FCS


@pytest.mark.slow
def test_fcs_first_pass_brings_the_forget_set_nearer_to_uniform(
    entry: Entry, original: nn.Module, digits: Digits, digits_loaders: Any
) -> None:
    def distance(model: nn.Module) -> float:
        with torch.no_grad():
            log_p = model.eval()(digits["forget"][0]).log_softmax(1)
        return F.kl_div(log_p, torch.full_like(log_p, 0.1), reduction="batchmean").item()

    runs = []
    for lr in (0.0, 0.1):  # the pass without a step shows what batch-norm statistics alone do
        rates = {"uniform_lr": lr, "forget_lr": 0.0, "retain_lr": 0.0}
        runs.append(entry("fcs").unlearn(copy.deepcopy(original), *digits_loaders, epochs=1, batch_size=64, **rates))
    assert distance(runs[1]) < 0.7 * distance(runs[0])


def test_fcs_objectives_are_those_of_the_paper(entry: Entry) -> None:
    method = entry("fcs")
    forgotten, retained = torch.randn(3, 4), torch.randn(5, 4)
    terms = []
    for z in forgotten:
        alike = [(z @ other).item() / 0.7 for other in retained]
        terms += [math.log(sum(math.exp(a) for a in alike)) - one for one in alike]
    assert method.contrast_loss(forgotten, retained, 0.7).item() == pytest.approx(sum(terms) / 15, rel=1e-5)
    assert method.divergence_from_uniform(torch.full((2, 4), 3.0)).item() == pytest.approx(0, abs=1e-6)
    p = forgotten.softmax(1)
    expected = (0.25 * (0.25 / p).log()).sum(1).mean().item()
    assert method.divergence_from_uniform(forgotten).item() == pytest.approx(expected, rel=1e-5)


def test_fcs_takes_three_steps_of_three_optimizers(entry: Entry, tiny: Tiny) -> None:
    model, _ = tiny("resnet")
    kept, forgotten = ((images("resnet", 40), torch.randint(0, 4, (40,))) for _ in range(2))

    def uniform(m: nn.Module) -> Tensor:
        return F.kl_div(m(forgotten[0]).log_softmax(1), torch.full((40, 4), 0.25), reduction="batchmean")

    def contrast(m: nn.Module) -> Tensor:
        return -F.log_softmax(m(forgotten[0]) @ m(kept[0]).detach().T / 0.8, dim=1).mean()

    # No momentum reaches over: each step is plain.
    expected = stepped(model, uniform, 0.05, decay=0.1)
    expected = stepped(expected, contrast, 0.1, decay=0.2)
    expected = stepped(expected, lambda m: F.cross_entropy(m(kept[0]), kept[1]), 0.04 * 50 / 64, decay=0.3)
    found = entry("fcs").unlearn(
        model,
        *loaders(kept, forgotten, kept),
        epochs=1,
        batch_size=50,
        temperature=0.8,
        uniform_lr=0.05,
        uniform_weight_decay=0.1,
        forget_lr=0.1,
        forget_weight_decay=0.2,
        retain_lr=0.04,
        retain_weight_decay=0.3,
    )
    assert_close(found, expected)


def test_fcs_alternates_a_falling_contrast_with_a_constant_rate(entry: Entry, tiny: Tiny) -> None:
    model, sets = tiny("resnet")  # 33 samples of R in 3 batches, 17 of F in 2
    with recorded(model) as steps:
        entry("fcs").unlearn(
            model, *sets, epochs=3, batch_size=16, uniform_lr=0.03, forget_lr=0.01, retain_lr=0.2, eta_ratio=0.2
        )
    assert len({id(step.optimizer) for step in steps}) == 3
    assert [step.lr for step in steps[:2]] == [0.03] * 2
    rounds = [steps[start : start + 5] for start in range(2, len(steps), 5)]
    contrast = [step.lr for round in rounds for step in round[:2]]
    falling = [0.002 + 0.008 * (1 + math.cos(math.pi * i / 6)) / 2 for i in range(6)]
    assert contrast == pytest.approx(falling)
    assert [step.lr for round in rounds for step in round[2:]] == pytest.approx([0.2 * 16 / 64] * 9)


def test_fcs_contrasts_all_of_a_forget_set_larger_than_the_retain_set(entry: Entry, tiny: Tiny) -> None:
    model, (retain, forget, val) = tiny("resnet")
    with recorded(model) as steps:
        entry("fcs").unlearn(model, forget, retain, val, epochs=2, batch_size=8)
    assert len(steps) == 5 + 2 * (5 + 3)


# CFW


def noise_of_cfw(entry: Entry, problem: Any, **settings: Any) -> list[State]:
    """The weights in the beginning and before each of three epochs, which move nothing themselves."""
    model, sets = problem
    before = parameters(model)
    still = {"epochs": 3, "batch_size": 64, "lr": 0.0, "weight_decay": 0.0}
    with recorded(model) as steps:
        entry("cfw").unlearn(model, *sets, **still, **settings)
    return [before, *(step.before for step in steps)]


@both_architectures
def test_cfw_adds_the_stated_noise_to_the_first_convolution(architecture: str, entry: Entry, tiny: Tiny) -> None:
    found = noise_of_cfw(entry, tiny(architecture), start_std=0.6, final_std=0.05)
    first = "conv1.weight" if architecture == "resnet" else "patch_embed.conv1.conv.weight"
    assert [changed(old, new) for old, new in pairwise(found)] == [{first}, set(), {first}]
    start, _, final = (new[first] - old[first] for old, new in pairwise(found))
    assert start.std().item() == pytest.approx(0.6, rel=0.3)  # of 36 entries in the ResNet
    assert final.std().item() == pytest.approx(0.05, rel=0.3)


@both_architectures
def test_cfw_can_scale_noise_to_the_spread_of_every_convolution(architecture: str, entry: Entry, tiny: Tiny) -> None:
    model, sets = tiny(architecture)
    convolutions = weights(model, nn.Conv2d)
    assert len(convolutions) > 10
    with torch.no_grad():
        model.get_parameter(convolutions[3]).mul_(100)
    found = noise_of_cfw(entry, (model, sets), start_std=0.6, final_std=0.05, layers="all")
    assert [changed(old, new) for old, new in pairwise(found)] == [set(convolutions), set(), set(convolutions)]
    for std, (old, new) in ((0.6, found[:2]), (0.05, found[2:])):
        scaled = [((new[name] - old[name]) / old[name].std()).flatten() for name in convolutions]
        assert scaled[3].std().item() == pytest.approx(std, rel=0.3)
        assert torch.cat(scaled).std().item() == pytest.approx(std, rel=0.1)


def test_cfw_adds_no_second_noise_to_a_single_epoch(entry: Entry, tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    model, sets = tiny("resnet")
    method, stds = entry("cfw"), []
    monkeypatch.setattr(method, "add_noise", lambda model, std, layers: stds.append(std))
    method.unlearn(model, *sets, epochs=1, batch_size=64)
    assert stds == [0.6]


def test_cfw_balanced_weights_leave_an_absent_class_out(entry: Entry) -> None:
    labels = torch.tensor([0, 0, 0, 1, 3, 3])
    found = entry("cfw").balanced(labels, 5)
    torch.testing.assert_close(found, torch.tensor([6 / 15, 6 / 5, 0, 6 / 10, 0]))


def test_cfw_weighs_each_sample_and_follows_a_cosine(entry: Entry, tiny: Tiny) -> None:
    model, _ = tiny("resnet")
    x, y = images("resnet", 40), torch.tensor([0] * 30 + [1] * 8 + [3] * 2)
    share = torch.tensor([1 / 30, 1 / 8, 0, 1 / 2])[y] / 3  # every class that is there weighs the same
    before = copy.deepcopy(model)
    settings = {"batch_size": 64, "lr": 0.1, "weight_decay": 0.0, "start_std": 0.0, "final_std": 0.0}
    with recorded(model) as steps:
        found = entry("cfw").unlearn(copy.deepcopy(model), *loaders((x, y), (x, y), (x, y)), epochs=1, **settings)
        entry("cfw").unlearn(model, *loaders((x, y), (x, y), (x, y)), epochs=3, **settings)

    def loss(m: nn.Module) -> Tensor:
        return (share * F.cross_entropy(m(x), y, reduction="none")).sum()

    assert_close(found, stepped(before, loss, 0.1))
    assert all(tensor.isfinite().all() for tensor in found.state_dict().values())
    assert [step.lr for step in steps[1:]] == pytest.approx(cosine(0.1, 3))
