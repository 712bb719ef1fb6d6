"""Entries found by folder, tiny models, and the digits problem with its original."""

from __future__ import annotations

import copy
import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from unlearn_bench.sandbox import names
from unlearn_bench.sandbox.inside.loaders import ResidentLoader, make_loaders
from unlearn_bench.sandbox.inside.models import build

names.provide()  # of the baselines, which are read from their files
ROOT = Path(__file__).parents[2]
BASELINES = ROOT / "baselines"
ENTRIES = sorted(
    p for folder in ("baselines", "submissions") for p in (ROOT / folder).glob("*.py") if p.stem != "__init__"
)
DIGITS = {"name": "resnet18_narrow", "classes": 10, "channels": 1, "width": 8}
SPECS = {
    "resnet": {"name": "resnet18_narrow", "classes": 4, "channels": 1, "width": 4},
    "tinyvit": {
        "name": "tiny_vit",
        "classes": 4,
        "channels": 1,
        "embed_dims": (16, 24, 32, 48),
        "depths": (1, 1, 1, 1),
        "num_heads": (1, 2, 2, 3),
        "window_sizes": (7, 4, 2, 1),
    },
}
VGG = """
from torch import nn
from torchvision.models.vgg import make_layers

def build(classes, channels, image_size, width=8):
    widths = [width, "M", 2 * width, "M", *[4 * width] * 2, "M", *[8 * width] * 2, "M", *[8 * width] * 2, "M"]
    features = make_layers(widths, batch_norm=True)
    features[0] = nn.Conv2d(channels, width, 3, padding=1)
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(8 * width, classes))
"""
RESNET50 = """
from timm.models.resnet import Bottleneck, ResNet

def build(classes, channels, image_size, widths=(8, 16, 24, 32)):
    return ResNet(Bottleneck, (3, 4, 6, 3), num_classes=classes, in_chans=channels, channels=widths)
"""
NETWORKS: dict[str, dict[str, Any]] = {
    "vgg11_bn": {"file": "vgg.py", "sha256": "", "source": VGG},
    "resnet50": {"file": "resnet50.py", "sha256": "", "source": RESNET50},
    "mobilenet_v3_small": {"name": "torchvision:mobilenet_v3_small", "width_mult": 0.25, "reduced_tail": True},
    "convnext_tiny": {"name": "timm:convnext_tiny", "depths": (1, 1, 2, 1), "dims": (8, 16, 24, 32)},
    "vit_tiny": {
        "name": "timm:vit_tiny_patch16_224",
        "patch_size": 8,
        "embed_dim": 24,
        "depth": 2,
        "num_heads": 3,
    },
    "swin_tiny": {
        "name": "timm:swin_tiny_patch4_window7_224",
        "window_size": 2,
        "embed_dim": 12,
        "depths": (1, 1, 2, 1),
        "num_heads": (1, 2, 2, 4),
    },
}
"""Networks of libraries and of a file, narrowed; images of 32 × 32 pixels."""

Loaders = tuple[ResidentLoader, ResidentLoader, ResidentLoader]


def load_entry(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"entry_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tiny_problem(architecture: str, device: str = "cpu") -> tuple[nn.Module, Loaders]:
    """A small untrained model and the sandbox's loaders; the last batch of R and of F has one sample."""
    model, data, generator_state = _built_once(architecture)
    torch.set_rng_state(generator_state)
    data = {name: tensor.clone() for name, tensor in data.items()}
    return copy.deepcopy(model).to(device), make_loaders(data, (0.5,), (0.25,), 1, 16, 0, device)


@cache
def _built_once(architecture: str) -> tuple[nn.Module, dict[str, Tensor], Tensor]:
    """The model and the data of :func:`tiny_problem`, and the state in which drawing them leaves torch's generator."""
    torch.manual_seed(0)
    size = 8 if architecture == "resnet" else 32
    data: dict[str, Tensor] = {}
    for name, n in (("retain", 33), ("forget", 17), ("val", 16)):
        data[f"{name}_images"] = torch.randint(0, 256, (n, 1, size, size), dtype=torch.uint8)
        data[f"{name}_labels"] = torch.randint(0, 4, (n,))
    spec = SPECS.get(architecture) or {**NETWORKS[architecture], "classes": 4, "channels": 1, "image_size": 32}
    return build(spec), data, torch.get_rng_state()


def accuracy(model: nn.Module, data: tuple[Tensor, Tensor]) -> float:
    model.eval()
    with torch.no_grad():
        return (model(data[0]).argmax(1) == data[1]).float().mean().item()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def entry() -> Callable[[str], ModuleType]:
    return lambda name: load_entry(next(path for path in ENTRIES if path.stem == name))


def rotated_digits() -> dict[str, tuple[Tensor, Tensor]]:
    """scikit-learn's digits, each rotated by its own angle: normalised images [n, 1, 8, 8] and labels by set."""
    from scipy.ndimage import rotate
    from sklearn.datasets import load_digits

    bunch = load_digits()
    draw = np.random.default_rng(0)
    angles = draw.uniform(-180, 180, len(bunch.images))
    turned = [rotate(image, angle, reshape=False, order=1) for image, angle in zip(bunch.images, angles, strict=True)]
    images = torch.from_numpy(np.stack(turned)).float()[:, None]
    images = (images - images.mean()) / images.std()
    order = torch.from_numpy(draw.permutation(len(images)))
    parts = zip(("retain", "forget", "val", "test"), order.split([896, 128, 373, 400]), strict=True)
    return {name: (images[index], torch.from_numpy(bunch.target)[index]) for name, index in parts}


@pytest.fixture(scope="session")
def digits() -> dict[str, tuple[Tensor, Tensor]]:
    return rotated_digits()


def ordinary_loaders(digits: dict[str, tuple[Tensor, Tensor]]) -> tuple[torch.utils.data.DataLoader, ...]:
    """Ordinary loaders, as a participant may have at home."""
    sets = [torch.utils.data.TensorDataset(*digits[name]) for name in ("retain", "forget", "val")]
    return tuple(torch.utils.data.DataLoader(data, batch_size=64, shuffle=True) for data in sets)


@pytest.fixture(scope="session")
def digits_loaders(digits: dict[str, tuple[Tensor, Tensor]]) -> tuple[torch.utils.data.DataLoader, ...]:
    return ordinary_loaders(digits)


def train_original(digits: dict[str, tuple[Tensor, Tensor]]) -> nn.Module:
    """A narrow ResNet18 trained on retain and forget set."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    both = [torch.cat(pair) for pair in zip(digits["retain"], digits["forget"], strict=True)]
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(*both), batch_size=64)
    model: nn.Module = load_entry(BASELINES / "retrain.py").unlearn(build(DIGITS), loader, None, None)
    return model


@pytest.fixture(scope="session")
def _trained(digits: dict[str, tuple[Tensor, Tensor]]) -> nn.Module:
    return train_original(digits)


@pytest.fixture
def original(_trained: nn.Module) -> nn.Module:
    """A model of its own for every test, trained on retain and forget set."""
    return copy.deepcopy(_trained)


@pytest.fixture
def tiny() -> Callable[[str], tuple[nn.Module, Loaders]]:
    return tiny_problem
