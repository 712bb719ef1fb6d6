"""The architectures of the tracks. A specification's ``name`` is the function that builds it.

They live in the sandbox because the model must be built inside it; the host uses the same functions.
torchvision and timm are imported only by the models that need them: the lean image has neither.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from . import networks
from .networks import NetworkError as NetworkError

SafetensorsLayout = dict[str, tuple[str, tuple[int, ...]]]

Architecture = TypeVar("Architecture", bound=Callable[..., nn.Module])
ARCHITECTURES: dict[str, Callable[..., nn.Module]] = {}
"""The functions below by their names, filled by :func:`architecture`."""
NEEDS: dict[str, tuple[str, ...]] = {}
"""Packages beyond torch that an image must carry for a model."""


def architecture(*needs: str) -> Callable[[Architecture], Architecture]:
    """Make a function an architecture that tracks can name; its keyword parameters are the keys of ``[model]``.

    Args:
        needs: packages beyond torch that it imports.
    """

    def register(function: Architecture) -> Architecture:
        ARCHITECTURES[function.__name__], NEEDS[function.__name__] = function, needs
        return function

    return register


@architecture("torchvision")
def resnet18(*, classes: int, channels: int = 3, image_size: int = 32) -> nn.Module:
    """Return torchvision's ResNet18 with its 7×7 stem, as in the paper (section 4)."""
    from torchvision.models import resnet18 as build_resnet18

    model: nn.Module = build_resnet18(num_classes=classes)
    if channels != 3:
        model.conv1 = nn.Conv2d(channels, 64, 7, stride=2, padding=3, bias=False)
    return model


class BasicBlock(nn.Module):
    """Two 3×3 convolutions and a shortcut (He et al. 2016, figure 2)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module | None = None
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Return the features of this block, [n, outputs, h / stride, w / stride]."""
        shortcut = x if self.downsample is None else self.downsample(x)
        x = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(x)) + shortcut)


STEMS = {"cifar": (3, 1, 1), "imagenet": (7, 2, 3)}
"""Size, stride and padding of the first convolution, by the stem's name."""


class NarrowResNet(nn.Module):
    """ResNet18 with ``width`` channels in its first stage.

    Stages and head carry torchvision's names (``layer1`` … ``layer4``, ``fc``). ``stem``: ``"cifar"`` is a 3×3
    convolution of stride 1; ``"imagenet"`` is torchvision's, 7×7 of stride 2 and a max pooling of stride 2.
    """

    def __init__(self, classes: int, channels: int, width: int, stem: str = "cifar") -> None:
        super().__init__()
        if stem not in STEMS:
            raise ValueError(f"stem = {stem!r} is none of {', '.join(STEMS)}")
        kernel, stride, padding = STEMS[stem]
        self.conv1 = nn.Conv2d(channels, width, kernel, stride, padding, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.maxpool: nn.Module | None = nn.MaxPool2d(3, 2, 1) if stem == "imagenet" else None
        widths = [width, width, 2 * width, 4 * width, 8 * width]
        for stage in range(1, 5):
            stride = 1 if stage == 1 else 2
            blocks = nn.Sequential(
                BasicBlock(widths[stage - 1], widths[stage], stride), BasicBlock(widths[stage], widths[stage], 1)
            )
            self.add_module(f"layer{stage}", blocks)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(8 * width, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits of images [n, channels, h, w], [n, classes]."""
        x = torch.relu(self.bn1(self.conv1(x)))
        if self.maxpool is not None:
            x = self.maxpool(x)
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.fc(torch.flatten(self.avgpool(x), 1))


@architecture()
def resnet18_narrow(
    *, classes: int, width: int, channels: int = 3, image_size: int = 32, stem: str = "cifar"
) -> nn.Module:
    """ResNet18 of any width; ``width=64`` is the usual CIFAR network, 8 the digits one (0.18 M parameters).

    With ``stem="imagenet"`` it is the paper's network, made narrower.
    """
    return NarrowResNet(classes, channels, width, stem)


@architecture("torchvision", "timm")
def tiny_vit(
    *,
    classes: int,
    channels: int = 3,
    image_size: int = 32,
    embed_dims: tuple[int, ...] = (64, 128, 256, 448),
    depths: tuple[int, ...] = (2, 2, 6, 2),
    num_heads: tuple[int, ...] = (2, 4, 8, 14),
    window_sizes: tuple[int, ...] = (7, 7, 14, 7),
) -> nn.Module:
    """TinyViT from scratch (Wu et al. 2022); the defaults are the 11M variant with timm's windows.

    A window larger than its stage's feature map is padded up to the window: declare ``window_sizes`` that fit
    the image instead ((7, 4, 2, 1) at 32 pixels), which is another function and therefore part of the track.
    """
    from timm.models.tiny_vit import TinyVit

    return TinyVit(
        in_chans=channels,
        num_classes=classes,
        embed_dims=tuple(embed_dims),
        depths=tuple(depths),
        num_heads=tuple(num_heads),
        window_sizes=tuple(window_sizes),
        drop_path_rate=0.0,
    )


def build(spec: Mapping[str, Any]) -> nn.Module:
    """Build a freshly initialised model from ``{"name": …, "classes": …, …}`` with torch's global generator.

    ``name`` is a function above, or ``torchvision:NAME`` or ``timm:NAME``. With ``file`` in its place, ``source`` is
    the text of a file that defines ``build(classes, channels, image_size)``. The models of these have an attribute
    ``build_again``, by which ``toolkit.reinitialise`` draws their parameters anew.

    Raises:
        NetworkError: the network cannot be built.
    """
    arguments = dict(spec)
    name = arguments.pop("name", "")
    if name in ARCHITECTURES:
        try:
            return ARCHITECTURES[name](**arguments)
        except (RuntimeError, TypeError, ValueError) as error:
            raise NetworkError(f"{name} cannot be built with these arguments: {error}") from error
    model = _network(name, arguments)
    if isinstance(model, nn.Module):  # whatever a file builds, ``check`` tells
        model.build_again = partial(build, dict(spec))  # type: ignore[assignment]
    return model


def _network(name: str, arguments: dict[str, Any]) -> nn.Module:
    """Build a network that is none of the functions above."""
    library, _, network = name.partition(":")
    for key in ("sha256", "needs"):
        arguments.pop(key, None)
    channels, size = arguments.pop("channels", 3), arguments.pop("image_size")
    if "file" in arguments:
        source, file = arguments.pop("source"), arguments.pop("file")
        return networks.from_source(source, file, channels=channels, size=size, **arguments)
    return networks.from_library(library, network, channels=channels, size=size, **arguments)


def check(spec: Mapping[str, Any]) -> None:
    """Build a model and let it answer images of the track's size.

    Raises:
        NetworkError: it cannot be built, or is no image classifier.
    """
    with torch.random.fork_rng(devices=[]):
        name = str(spec.get("name") or spec.get("file"))
        networks.check(build(spec), name, spec["classes"], spec.get("channels", 3), spec["image_size"])


def needs(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the packages beyond torch that an image must carry for a specification."""
    if "file" in spec:
        return tuple(spec.get("needs", ()))
    return NEEDS.get(spec["name"]) or networks.LIBRARIES.get(spec["name"].partition(":")[0], ())


def layout(spec: Mapping[str, Any]) -> SafetensorsLayout:
    """Return the names, dtypes (by safetensors' names) and shapes of a model's state."""
    dtype_names = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL"}
    with torch.random.fork_rng(devices=[]):  # torch's meta device would import its whole compiler first
        model = build(spec)
    return {name: (dtype_names[t.dtype], tuple(t.shape)) for name, t in model.state_dict().items()}


def load(spec: Mapping[str, Any], state: Mapping[str, Tensor]) -> nn.Module:
    """Build a model with the given state; torch's global generator is left where it was."""
    with torch.random.fork_rng(devices=[]):
        model = build(spec)
    model.load_state_dict(dict(state))
    return model
