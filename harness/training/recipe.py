"""The track's recipe on a CPU, for one model or for several small ones at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unlearn_bench.harness.references.roles import Role, initial_seed
from unlearn_bench.harness.tracks.specification import Recipe, Track
from unlearn_bench.harness.training.checkpoints import Checkpoint
from unlearn_bench.harness.training.grouped import Grouped
from unlearn_bench.harness.training.pretrained import initialise
from unlearn_bench.harness.training.small_maps import with_small_map_convolutions
from unlearn_bench.harness.training.step import TrainingLoop
from unlearn_bench.sandbox.inside.models import build


def initial_model(track: Track, role: Role) -> nn.Module:
    """Build a reference model as it is before its training: from the role's seed, or from pretrained weights.

    Raises:
        DataError: pretrained weights are missing or damaged.
        TrackError: they are those of another network.
    """
    torch.manual_seed(initial_seed(track, role))
    model = build(track.model_spec)
    initialise(model, track)
    return model


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
        to_input: from uint8 to the model's input, see ``harness.training.inference.normaliser``.
        on_epoch: called after every epoch.
        checkpoint: where a long training is saved, and resumed from.
    """
    grouped = Grouped(members) if len(members) > 1 else None
    network = with_small_map_convolutions(members[0]) if grouped is None else grouped
    groups = None if grouped is None else len(members)
    loop = TrainingLoop(network, images, labels, len(subsets[0]), recipe, to_input, groups)
    state = None if checkpoint is None else checkpoint.read()
    if state is not None:
        loop.restore(state.tensors)
    done = 0 if state is None else state.epochs
    epochs = count(done + 1)

    def end_epoch() -> None:
        on_epoch()
        if checkpoint is not None:
            checkpoint.offer(next(epochs), loop.state)

    for _ in loop.train(subsets, seeds, end_epoch, done):
        pass
    if grouped is not None:
        grouped.write_back(members)
