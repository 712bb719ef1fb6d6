"""The track's recipe for one model, or for several small ones at once, on a CPU; and the logits of a trained model."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unlearn_bench.harness.references.references import Role, initial_seed
from unlearn_bench.harness.tracks.specification import Recipe, Track
from unlearn_bench.harness.training.checkpoints import Checkpoint
from unlearn_bench.harness.training.grouped import Grouped
from unlearn_bench.harness.training.small_maps import adapted
from unlearn_bench.harness.training.steps import Lane
from unlearn_bench.sandbox.inside.loaders import normalise
from unlearn_bench.sandbox.inside.models import build

EVALUATION_BATCH = 512
"""Examples at a time; with 1,024 the maps of a full-width network leave a CPU's cache, and it takes a fifth longer."""
_full = threading.Lock()
_MALLOPT = {"trim threshold": -1, "top pad": -2, "mmap threshold": -3}
"""Options of glibc's mallopt(3)."""


def keep_memory() -> None:
    """Let this process keep the memory that it frees, where its C library is glibc.

    A step frees megabytes and asks for as many again; glibc gives them back and gets new pages, whose faults are a
    tenth of a small network's step.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        for option, value in (("mmap threshold", 32 << 20), ("trim threshold", 1 << 30), ("top pad", 64 << 20)):
            libc.mallopt(_MALLOPT[option], value)


def normaliser(track: Track, device: str = "cpu") -> Callable[[Tensor], Tensor]:
    """uint8 images [n, c, h, w] → the model's float32 input, as the entries' loaders do it."""
    shape = (track.model_spec.get("channels", 3), 1, 1)
    mean, std = (
        torch.tensor(values, device=device).view(-1, 1, 1).expand(shape) for values in (track.data.mean, track.data.std)
    )
    return lambda images: normalise(images, mean, std)


def initial(track: Track, role: Role) -> nn.Module:
    """A reference model before its training."""
    torch.manual_seed(initial_seed(track, role))
    return build(track.model_spec)


def train(
    members: Sequence[nn.Module],
    images: Tensor,
    labels: Tensor,
    subsets: Sequence[NDArray[np.int64]],
    seeds: Sequence[int],
    recipe: Recipe,
    to_input: Callable[[Tensor], Tensor],
    on_epoch: Callable[[], None] = lambda: None,
    checkpoint: Checkpoint | None = None,
) -> None:
    """Train models of one architecture in place on a CPU, each on its own subset, in its own order.

    Args:
        members: the models; more than one must be groupable (``harness.training.grouped.can_group``).
        images: uint8 [n, c, h, w].
        labels: int64 [n].
        subsets: for each model the indices of its training examples; all of one length.
        seeds: for each model the seed of its data order and augmentation, which depend on nothing else.
        recipe: epochs, batch size, optimizer, schedule, augmentation, precision.
        to_input: from uint8 to the model's input, see :func:`normaliser`.
        on_epoch: called after every epoch.
        checkpoint: where a long training is written down, and goes on from.
    """
    grouped = Grouped(members) if len(members) > 1 else None
    network = adapted(members[0]) if grouped is None else grouped
    groups = None if grouped is None else len(members)
    lane = Lane(network, images, labels, len(subsets[0]), recipe, to_input, groups)
    state = None if checkpoint is None else checkpoint.read()
    if state is not None:
        lane.restore(state.tensors)
    done = 0 if state is None else state.epochs
    epochs = count(done + 1)

    def finished() -> None:
        on_epoch()
        if checkpoint is not None:
            checkpoint.offer(next(epochs), lane.state)

    for _ in lane.train(subsets, seeds, finished, done):
        pass
    if grouped is not None:
        grouped.write_back(members)


@torch.inference_mode()
def infer(
    model: nn.Module, images: Tensor, to_input: Callable[[Tensor], Tensor], device: str = "cpu"
) -> NDArray[np.float32]:
    """Logits [n, classes] of a model in eval mode for uint8 images [n, c, h, w], in one pass.

    On ``device``, where the model then is and where ``to_input`` works; the images may lie elsewhere. Always in full
    float32: a GPU's TF32 would show in the margins.
    """
    model.eval().to(device)
    with nullcontext() if device == "cpu" else full_precision():
        blocks = [model(to_input(block.to(device))) for block in images.split(EVALUATION_BATCH)]
        return torch.cat(blocks).float().cpu().numpy()


@contextmanager
def full_precision() -> Iterator[None]:
    """Convolutions and matrix products of a GPU in float32 instead of TF32; for one thread at a time."""
    with _full:
        before = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        try:
            yield
        finally:
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = before
