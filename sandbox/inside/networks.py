"""Networks that the benchmark does not build itself: of torchvision, of timm, and of an organiser's own file.

All are built without pretrained weights, for a number of classes, channels and pixels.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

SIZE_ARGUMENTS = {"vit_": "image_size", "maxvit_": "input_size"}
"""What torchvision's builders call the size of the images, by the beginning of a network's name."""
WITHOUT_SIDE_HEADS = {"googlenet", "inception_v3"}
"""Networks of torchvision that answer with more than logits unless told otherwise."""
LIBRARIES: dict[str, tuple[str, ...]] = {"torchvision": ("torchvision",), "timm": ("torchvision", "timm")}
"""Libraries whose image classifiers a track can name, ``LIBRARY:NAME``, and the packages that an image needs."""


class NetworkError(ValueError):
    """A network that does not exist, cannot be built with these arguments, or is no image classifier."""


def from_library(library: str, name: str, classes: int, channels: int, size: int, **arguments: Any) -> nn.Module:
    """Build an image classifier of a library; ``arguments`` go to the library's own builder.

    Raises:
        NetworkError: the library has no such classifier, or does not take the arguments.
    """
    build = _torchvision if library == "torchvision" else _timm
    return build(name, classes, channels, size, arguments)


def from_source(source: str, file: str, classes: int, channels: int, size: int, **arguments: Any) -> nn.Module:
    """Build the network that ``build(classes, channels, image_size, **arguments)`` of a Python source returns.

    Raises:
        NetworkError: the source or its function fails, there is no such function, or it does not take the arguments.
    """
    namespace: dict[str, Any] = {"__name__": "network"}
    try:
        exec(compile(source, file, "exec"), namespace)
    except Exception as error:  # whatever the file raises is the file's fault
        raise NetworkError(f"{file} cannot be run: {type(error).__name__}: {error}") from error
    build = namespace.get("build")
    if not callable(build):
        raise NetworkError(f"{file} defines no function build(classes, channels, image_size)")
    values = {"classes": classes, "channels": channels, "image_size": size, **arguments}
    try:
        inspect.signature(build).bind(**values)
    except TypeError as error:
        raise NetworkError(f"build of {file} does not take the keys of [model]: {error}") from None
    try:
        model: nn.Module = build(**values)
    except Exception as error:
        raise NetworkError(f"build of {file} failed: {type(error).__name__}: {error}") from error
    return model


def check(model: object, name: str, classes: int, channels: int, size: int) -> None:
    """Check that images [n, channels, size, size] are answered with logits [n, classes], in train and in eval mode.

    Raises:
        NetworkError: they are not, or the state has types that no unit may return.
    """
    if not isinstance(model, nn.Module):
        raise NetworkError(f"{name} is built as a {type(model).__name__}, not as a torch.nn.Module")
    odd = sorted({str(t.dtype) for t in model.state_dict().values()} - {"torch.float32", "torch.int64", "torch.bool"})
    if odd:
        raise NetworkError(f"the state of {name} has tensors of type {', '.join(odd)}; allowed: float32, int64, bool")
    for training in (True, False):
        answer = _answer(model.train(training), name, channels, size)
        if not isinstance(answer, Tensor) or answer.shape != (2, classes):
            shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            what = f"{name} answers two images with {shape} instead of logits (2, {classes})"
            raise NetworkError(f"{what}: it is no image classifier for this track")


def _torchvision(name: str, classes: int, channels: int, size: int, arguments: dict[str, Any]) -> nn.Module:
    from torchvision import models as zoo

    names = zoo.list_models(module=zoo)  # image classifiers only
    if name not in names:
        raise NetworkError(_unknown("torchvision", name, names))
    own: dict[str, Any] = {"num_classes": classes}
    for beginning, argument in SIZE_ARGUMENTS.items():
        if name.startswith(beginning):
            own[argument] = size if argument == "image_size" else (size, size)
    if name in WITHOUT_SIDE_HEADS:
        own |= {"aux_logits": False, "init_weights": True}
    try:
        model: nn.Module = zoo.get_model(name, weights=None, **own, **arguments)
    except (TypeError, ValueError) as error:
        raise NetworkError(f"torchvision does not build {name} with these arguments: {error}") from None
    if isinstance(model, zoo.MNASNet):  # its own method refuses tensors by name, which have no version
        model._load_from_state_dict = partial(nn.Module._load_from_state_dict, model)
    return model if channels == 3 else _with_channels(model, channels)


def _timm(name: str, classes: int, channels: int, size: int, arguments: dict[str, Any]) -> nn.Module:
    import timm

    if not timm.is_model(name):
        raise NetworkError(_unknown("timm", name, timm.list_models()))
    own: dict[str, Any] = {"num_classes": classes, "in_chans": channels}
    configuration = timm.get_pretrained_cfg(name)
    if configuration is not None and configuration.fixed_input_size and "img_size" not in arguments:
        own["img_size"] = size
    try:
        model: nn.Module = timm.create_model(name, pretrained=False, **own, **arguments)
    except (TypeError, ValueError, AssertionError) as error:
        raise NetworkError(f"timm does not build {name} with these arguments: {error}") from None
    return model


def _unknown(library: str, name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"; near it: {', '.join(near)}" if near else ""
    return f"{library} has no image classifier {name!r}{hint}"


def _with_channels(model: nn.Module, channels: int) -> nn.Module:
    """Replace the first convolution, which torchvision's builders make for three channels."""
    path, first = next((path, module) for path, module in model.named_modules() if isinstance(module, nn.Conv2d))
    parent, _, child = path.rpartition(".")
    convolution = nn.Conv2d(
        channels,
        first.out_channels,
        first.kernel_size,  # type: ignore[arg-type]
        first.stride,  # type: ignore[arg-type]
        first.padding,  # type: ignore[arg-type]
        bias=first.bias is not None,
    )
    setattr(model.get_submodule(parent), child, convolution)
    return model


@torch.no_grad()
def _answer(model: nn.Module, name: str, channels: int, size: int) -> object:
    with torch.random.fork_rng(devices=[]):
        try:
            return model(torch.rand(2, channels, size, size))
        except (RuntimeError, ValueError, TypeError, AssertionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise NetworkError(f"{name} does not take images of {channels} × {size} × {size}: {reason}") from None
