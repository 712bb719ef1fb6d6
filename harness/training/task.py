"""Training one task: reference models of one size that are trained together in one process."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, order_seed
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.device_locks import DeviceLocks
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.training.checkpoints import Checkpoint
from unlearn_bench.harness.training.gpu import GpuTrainer
from unlearn_bench.harness.training.inference import infer, normaliser
from unlearn_bench.harness.training.mixed_precision import uses_bfloat16
from unlearn_bench.harness.training.recipe import initial_model, train


@dataclass(frozen=True)
class TrainedModel:
    """A finished reference model."""

    role: Role
    weights: bytes | None
    """As safetensors, rounded as the recipe says; ``None`` if only the logits are ever read."""
    logits: NDArray[np.float32]
    """[n, classes], on every example of the data set."""
    seconds: float
    """CPU seconds of the task (on a GPU: wall seconds) divided by its models."""
    mixed: bool
    """Whether it was trained in mixed precision."""


@dataclass(frozen=True)
class TaskTrainer:
    """What a process trains tasks with, on this machine or on a node of a cluster."""

    references: References
    report: Callable[[int], object]
    """Called with the number of model-epochs that have just been finished."""
    gpu: GpuTrainer | None = None
    """Without one, models are trained on the CPU, and long trainings are saved every few minutes."""

    def train(self, task: Sequence[Role]) -> list[TrainedModel]:
        """Train the models of one task; fewer come back where the memory of a GPU was not enough for all.

        Raises:
            FloatingPointError: a training diverged.
        """
        gpu, checkpoint = self.gpu, Checkpoint(self.references, task) if self.gpu is None else None
        cores = device_locks.cores(sorted(os.sched_getaffinity(0)))
        devices = cores if gpu is None else (device_locks.gpu(str(gpu.device)),)
        with DeviceLocks(devices).hold_long() as pause:  # not beside a timed unit of another process

            def on_epoch() -> None:
                self.report(len(task))
                if gpu is None:  # a GPU may still be busy with the epoch
                    pause()

            start = time.perf_counter()
            members = train_task(self.references, task, on_epoch=on_epoch, gpu=gpu, checkpoint=checkpoint)
            seconds = (time.perf_counter() - start if checkpoint is None else checkpoint.seconds) / len(task)
        if checkpoint is not None:
            checkpoint.remove()
        return [
            self._finish(role, model, seconds) for role, model in zip(task, members, strict=True) if model is not None
        ]

    def _finish(self, role: Role, model: nn.Module, seconds: float) -> TrainedModel:
        """Round a model as the recipe says, and compute its logits."""
        from safetensors.torch import save

        track, gpu = self.references.track, self.gpu
        state = model.state_dict()
        if track.recipe.weights == "float16":
            state = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
            model.load_state_dict(state)
        if gpu is None:
            logits = infer(model, torch.from_numpy(self.references.examples.dataset.images), normaliser(track))
        else:
            logits = gpu.infer(model)
        if not np.isfinite(logits).all():
            raise FloatingPointError(f"training of {role.name} diverged: logits are not finite")
        weights = None
        if role.kind != "shadow-retrained":  # there are hundreds, and only their logits are read
            weights = save({name: tensor.cpu().contiguous() for name, tensor in state.items()})
        mixed = uses_bfloat16(track.recipe, torch.device("cpu") if gpu is None else gpu.device)
        return TrainedModel(role, weights, logits, seconds, mixed)


def train_task(
    references: References,
    task: Sequence[Role],
    limit: int | None = None,
    on_epoch: Callable[[], None] = lambda: None,
    gpu: GpuTrainer | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[nn.Module | None]:
    """Train the models of one task, and return them on the CPU, as they are before any rounding.

    Args:
        references: with the track, its data and splits.
        task: models that take the same number of steps.
        limit: train only on the first so many examples of each model.
        on_epoch: called after every epoch.
        gpu: trains the models; default: the CPU.
        checkpoint: where a training on the CPU is saved, and resumed from.

    Returns:
        One model for each role; ``None`` for those that the memory of a GPU was not enough for.
    """
    track, dataset = references.track, references.examples.dataset
    members = [initial_model(track, role) for role in task]
    subsets = [references.examples.training_set(role)[:limit] for role in task]
    seeds = [order_seed(track, role) for role in task]
    recipe = replace(track.recipe, epochs=epochs_of(track, task[0]))
    if gpu is not None:
        successes = gpu.train(members, subsets, seeds, recipe, on_epoch)
        return [model if is_trained else None for model, is_trained in zip(members, successes, strict=True)]
    all_images, all_labels = dataset.images, dataset.labels
    if limit is not None:
        used = np.unique(np.concatenate(subsets))
        all_images, all_labels = all_images[used], all_labels[used]
        subsets = [np.searchsorted(used, subset) for subset in subsets]
    images, labels = _strided(all_images), torch.from_numpy(all_labels)
    train(members, images, labels, subsets, seeds, recipe, normaliser(track), on_epoch, checkpoint)
    return list(members)


def _strided(images: NDArray[np.uint8]) -> torch.Tensor:
    """Return images [n, c, h, w] as a tensor that shares their memory and has the strides of a copy.

    Of a channel that is the only one, several strides mean the same, and convolutions choose their algorithm by them:
    the models that ship were trained on a copy.
    """
    if not images.flags.c_contiguous:
        return torch.from_numpy(images[np.arange(len(images))])
    return torch.from_numpy(images).as_strided(images.shape, images[[0, 0]].strides)


def epochs_of(track: Track, role: Role) -> int:
    """Return how many epochs a reference model is trained for."""
    shadow = role.kind.startswith("shadow")
    return track.recipe.shadow_epochs or track.recipe.epochs if shadow else track.recipe.epochs
