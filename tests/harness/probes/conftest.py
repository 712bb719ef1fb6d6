"""Contexts of probes: on trained digits models of a few seeds, and on an untrained network of a few channels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.harness.conftest import once, run
from unlearn_bench.harness.probes.context import ProbeContext, seed_context
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.tracks.specification import ProbeSettings, Recipe
from unlearn_bench.sandbox.inside.models import build

SEEDS = {"random": 8, "class": 4}
"""The fewer, the wider the intervals, and with random F probes find less."""
SMALLER = 'retain = 512\n[model]\nname = "resnet18_narrow"\nwidth = 4\nchannels = 1\n[recipe]\nepochs = 12\n'
TRACKS = {
    "random": f'extends = "digits-resnet18"\n[protocol]\nseeds = {SEEDS["random"]}\n[splits]\n{SMALLER}',
    "class": f'extends = "digits-class"\n[protocol]\nseeds = {SEEDS["class"]}\n',
}


@pytest.fixture(scope="session")
def trained_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of two small digits tracks and a store with their reference models."""

    def make(place: Path) -> None:
        for name, text in TRACKS.items():
            (place / f"{name}.toml").write_text(text)
            result = run("prepare", str(place / f"{name}.toml"), "--workers", "1")
            assert result.exit_code == 0, result.output

    return once(tmp_path_factory, "probed", make).parent


@pytest.fixture(scope="session")
def contexts(trained_digits: Path) -> dict[str, list[ProbeContext]]:
    """By kind of forget set, the contexts of all seeds."""
    store = Store(trained_digits / "home")
    tracks = {name: References(load_track(str(trained_digits / f"{name}.toml")), store) for name in TRACKS}
    return {
        name: [seed_context(references, seed) for seed in range(SEEDS[name])] for name, references in tracks.items()
    }


@pytest.fixture
def tiny() -> ProbeContext:
    """An untrained network and random images of three classes."""
    torch.manual_seed(0)
    spec = {"name": "resnet18_narrow", "classes": 3, "channels": 1, "width": 2}
    original, retrained, null = (build(spec).eval().requires_grad_(False) for _ in range(3))
    order = torch.randperm(60)
    parts = dict(zip(("retain", "forget", "val", "test"), order.split([24, 12, 8, 16]), strict=True))
    labels = torch.arange(60) % 3
    recipe = Recipe(epochs=1, batch_size=8, lr=0.1, schedule="one-cycle", seed=0)
    settings = ProbeSettings(relearning_steps=3, few_shot_examples=4, few_shot_draws=2, few_shot_steps=2)
    images = torch.randn(60, 1, 8, 8)
    return ProbeContext(original, original, retrained, null, images, labels, labels, parts, False, 3, recipe, settings)
