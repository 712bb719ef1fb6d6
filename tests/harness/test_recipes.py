"""Recipes of reference models: each setting does to a step what it says, for one model and for several at once."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.harness.conftest import SMALL
from unlearn_bench.harness.entries.entry import retrain
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.support.seeds import derive
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import Recipe
from unlearn_bench.harness.training.draws import mixup_shares
from unlearn_bench.harness.training.plan import _can_group
from unlearn_bench.harness.training.recipe import train
from unlearn_bench.harness.training.step import rates
from unlearn_bench.sandbox.inside.models import build
from unlearn_bench.sandbox.toolkit import Batches, fit

PLAIN = Recipe(epochs=3, batch_size=24, lr=0.05, schedule="cosine", seed=0, weight_decay=0.01)
CHANGES: dict[str, dict[str, Any]] = {
    "sgd": {},
    "nesterov": {"nesterov": True},
    "adamw": {"optimizer": "adamw", "lr": 0.01},
    "warmup": {"warmup": 2.0},
    "label smoothing": {"label_smoothing": 0.2},
    "clip": {"clip": 0.05},
}


def network() -> nn.Module:
    torch.manual_seed(0)
    return build({"name": "resnet18_narrow", "classes": 4, "channels": 1, "width": 4}).double()


@pytest.fixture
def data() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (24, 1, 8, 8), dtype=torch.uint8, generator=generator)
    return images, torch.arange(24) % 4


def to_input(images: Tensor) -> Tensor:
    return images.double() / 255 - 0.5


def plainly(model: nn.Module, recipe: Recipe, images: Tensor, labels: Tensor) -> nn.Module:
    """Train with batches of everything, as plain PyTorch would."""
    settings: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "adamw":
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(model.parameters(), **settings)
    else:
        optimizer = torch.optim.SGD(model.parameters(), momentum=0.9, nesterov=recipe.nesterov, **settings)
    loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
    model.train()
    for epoch in range(recipe.epochs):
        rise = min(1.0, (epoch + 1) / recipe.warmup) if recipe.warmup else 1.0
        optimizer.param_groups[0]["lr"] = recipe.lr * rise * (1 + np.cos(np.pi * epoch / recipe.epochs)) / 2
        optimizer.zero_grad()
        loss(model(to_input(images)), labels).backward()
        if recipe.clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimizer.step()
    return model


def close(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(torch.allclose(p, q, atol=1e-8, rtol=1e-6) for p, q in pairs)


@pytest.mark.parametrize("change", ["sgd", "nesterov", "adamw", "warmup", "label smoothing", "clip"])
def test_reference_models_and_the_toolkit_take_the_steps_of_plain_pytorch(
    change: str, data: tuple[Tensor, Tensor]
) -> None:
    recipe, (images, labels) = replace(PLAIN, **CHANGES[change]), data
    expected = plainly(network(), recipe, images, labels)
    model = network()
    train([model], images, labels, [np.arange(24)], [5], recipe, to_input)
    assert close(model, expected)
    settings = {key: getattr(recipe, key) for key in ("optimizer", "nesterov", "warmup", "label_smoothing", "clip")}
    batches = Batches(to_input(images), labels, batch_size=24)
    toolkit = fit(network(), batches, epochs=3, lr=recipe.lr, weight_decay=recipe.weight_decay, **settings)
    assert close(toolkit, expected)
    if change != "sgd":
        assert not close(model, plainly(network(), PLAIN, images, labels))


AUGMENTED: dict[str, dict[str, Any]] = {
    "random resized crop": {"random_resized_crop": 0.3},
    "randaugment": {"randaugment": 20},
    "mixup": {"mixup": 0.5},
    "all": {"random_resized_crop": 0.3, "flip": True, "randaugment": 9, "mixup": 0.5, "label_smoothing": 0.1},
}
CHANGES |= AUGMENTED


@pytest.mark.parametrize("change", AUGMENTED)
def test_augmentation_follows_from_the_models_seed_and_changes_what_is_learnt(
    change: str, data: tuple[Tensor, Tensor]
) -> None:
    models = []
    for recipe, seed in ((PLAIN, 5), *((replace(PLAIN, **AUGMENTED[change]), seed) for seed in (5, 5, 6))):
        torch.manual_seed(len(models))
        models.append(train_one(recipe, seed, *data))
    assert close(models[1], models[2])
    assert not close(models[1], models[3]) and not close(models[1], models[0])


def train_one(recipe: Recipe, seed: int, images: Tensor, labels: Tensor) -> nn.Module:
    model = network()
    train([model], images, labels, [np.arange(24)], [seed], recipe, to_input)
    return model


def test_mixup_takes_the_step_of_mixed_targets(data: tuple[Tensor, Tensor]) -> None:
    recipe, (images, labels) = replace(PLAIN, epochs=1, mixup=0.5), data
    share = float(mixup_shares(0.5, 1, derive(5, 3, 0)))
    order = torch.randperm(24, generator=torch.Generator().manual_seed(5))
    mixed = share * to_input(images[order]) + (1 - share) * to_input(images[order]).roll(1, 0)
    hot = torch.nn.functional.one_hot(labels[order], 4).double()
    expected = network().train()
    optimizer = torch.optim.SGD(expected.parameters(), lr=0.05, momentum=0.9, weight_decay=0.01)
    torch.nn.functional.cross_entropy(expected(mixed), share * hot + (1 - share) * hot.roll(1, 0)).backward()
    optimizer.step()
    assert close(train_one(recipe, 5, *data), expected)


@pytest.mark.parametrize("change", ["adamw", "nesterov", "label smoothing", *AUGMENTED])
def test_models_that_are_trained_together_are_those_that_are_trained_alone(
    change: str, data: tuple[Tensor, Tensor]
) -> None:
    recipe, (images, labels) = replace(PLAIN, batch_size=8, **CHANGES[change]), data
    alone, together = [network(), network()], [network(), network()]
    for seed, model in enumerate(alone):
        train([model], images, labels, [np.arange(24)], [seed], recipe, to_input)
    train(together, images, labels, [np.arange(24)] * 2, [0, 1], recipe, to_input)
    assert all(close(one, other) for one, other in zip(alone, together, strict=True))


def test_a_clipped_gradient_is_that_of_one_model_so_models_are_trained_one_by_one(tmp_path: Path) -> None:
    track = load_track(str(written(tmp_path, "")))
    model = build(track.model_spec)
    assert _can_group(track, model)
    assert not _can_group(replace(track, recipe=replace(track.recipe, clip=1.0)), copy.deepcopy(model))


def test_the_rate_rises_step_by_step() -> None:
    rising = rates(replace(PLAIN, epochs=4, warmup=1.5), 2)
    assert rising[:2] == pytest.approx((0.05 / 3, 0.05 * 2 / 3))
    assert rising[2:] == rates(replace(PLAIN, epochs=4), 2)[2:]


def test_dropout_draws_the_same_in_every_process(data: tuple[Tensor, Tensor]) -> None:
    models = []
    for before in (1, 2):
        model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.5), nn.Linear(16, 4)).double()
        torch.manual_seed(0)
        for p in model.parameters():
            nn.init.normal_(p, std=0.1)
        torch.manual_seed(before)
        train([model], *data, [np.arange(24)], [5], PLAIN, to_input)
        models.append(model)
    assert all(torch.equal(p, q) for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True))


def written(folder: Path, keys: str) -> Path:
    path = folder / "mine.toml"
    path.write_text(SMALL.replace("[recipe]", f"[recipe]\n{keys}"))
    return path


def test_retrain_is_timed_with_the_tracks_recipe(tmp_path: Path) -> None:
    keys = 'optimizer = "adamw"\nlabel_smoothing = 0.1\nclip = 1.0\n'
    keys += "random_resized_crop = 0.2\nrandaugment = 9\nmixup = 0.2"
    overrides = retrain(load_track(str(written(tmp_path, keys)))).overrides
    assert (overrides["optimizer"], overrides["label_smoothing"], overrides["clip"]) == ("adamw", 0.1, 1.0)
    assert (overrides["random_resized_crop"], overrides["randaugment"], overrides["mixup"]) == (0.2, 9, 0.2)


@pytest.mark.parametrize(
    ("keys", "what"),
    [
        ("warmup = 1.0", "recipe.warmup is 1.0; allowed: 0 or more epochs, with schedule = 'cosine'"),
        ('optimizer = "adamw"\nnesterov = true', "recipe.nesterov goes with"),
        ("label_smoothing = 1.0", "recipe.label_smoothing"),
        ("clip = 0.0", "recipe.clip"),
        ("crop = 1\nrandom_resized_crop = 0.5", "exclude each other"),
        ("random_resized_crop = 1.5", "a share of the area"),
        ("randaugment = 31", "a magnitude of 1"),
        ("mixup = -1", "recipe.mixup is -1"),
        ('optimizer = "lion"', "recipe.optimizer is 'lion'"),
    ],
)
def test_settings_that_contradict_one_another_are_refused(tmp_path: Path, keys: str, what: str) -> None:
    with pytest.raises(TrackError, match=what):
        load_track(str(written(tmp_path, keys)))
