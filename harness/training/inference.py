"""Logits of a trained model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.sandbox.inside import models
from unlearn_bench.sandbox.inside.loaders import normalise

EVALUATION_BATCH = 512
"""Examples at a time; with 1,024 the maps of a full-width network leave a CPU's cache, and it takes a fifth longer."""
_precision_lock = threading.Lock()


def normaliser(track: Track, device: str = "cpu") -> Callable[[Tensor], Tensor]:
    """Return the function from uint8 images [n, c, h, w] to the float32 input that entries' loaders give a model."""
    shape = (track.model_spec.get("channels", 3), 1, 1)
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1).expand(shape) for values in (track.data.mean, track.data.std)
    )
    return lambda images: normalise(images, mean, std)


@torch.inference_mode()
def infer(
    model: nn.Module, images: Tensor, to_input: Callable[[Tensor], Tensor], device: str = "cpu"
) -> NDArray[np.float32]:
    """Compute the logits [n, classes] of a model in eval mode in one pass.

    Always in full float32: a GPU's TF32 would show in the margins.

    Args:
        model: is moved to ``device``.
        images: uint8 [n, c, h, w], on any device.
        to_input: from uint8 to the model's input, on ``device``; see :func:`normaliser`.
        device: ``cpu``, ``cuda:0``, ….
    """
    model.eval().to(device)
    with nullcontext() if device == "cpu" else full_precision():
        blocks = [model(to_input(block.to(device))) for block in images.split(EVALUATION_BATCH)]
        return torch.cat(blocks).float().cpu().numpy()


def logits_of(
    track: Track, weights: Mapping[str, NDArray[Any]], images: NDArray[np.uint8], device: str = "cpu"
) -> NDArray[np.float32]:
    """Compute the logits [n, classes] of the track's network with these weights on images [n, c, h, w]."""
    model = models.load(track.model_spec, {name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    return infer(model, torch.from_numpy(images), normaliser(track, device), device)


@contextmanager
def full_precision() -> Iterator[None]:
    """Compute a GPU's convolutions and matrix products in float32 instead of TF32 inside; one thread at a time."""
    with _precision_lock:
        before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
