"""Which reference models have to be trained, how they are divided into tasks, and what that costs."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.device_locks import DeviceLocks
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.tracks.specification import Track

if TYPE_CHECKING:
    from torch import nn

    from unlearn_bench.harness.training.gpu import GpuMeasurement

GROUP = 8
"""Small models that are trained together on one core."""
GROUPABLE_PARAMETERS = 1_000_000
"""Above this number, one model fills a core by itself."""


@dataclass(frozen=True)
class TrainingPlan:
    """What is left to train: tasks of models that are trained together, and what they cost."""

    tasks: tuple[tuple[Role, ...], ...]
    workers: int
    steps: int
    """Optimizer steps, each of one task."""
    seconds: float
    """Expected wall time."""
    disk: int
    """Bytes."""
    epochs: int
    """Model-epochs, which progress counts."""
    done: int = 0
    """How many of them an interrupted training has finished."""
    devices: tuple[str, ...] = ()
    """GPUs, one process each; none: the cores."""
    in_flight: int = GROUP
    """Models of a task at most."""
    memory: int | None = None
    """Bytes of GPU memory per model in flight."""
    compiled: bool = False
    """Whether the steps on a GPU are compiled."""
    compile_obstacle: str | None = None
    """Why they are not compiled although that would save time."""

    @property
    def models(self) -> int:
        """How many models the tasks have together."""
        return sum(len(task) for task in self.tasks)


def plan_training(
    references: References,
    workers: int | None = None,
    wanted: Sequence[Role] | None = None,
    devices: Sequence[str] = (),
    in_flight: int | None = None,
) -> TrainingPlan:
    """Divide the missing models into tasks, and time a few steps of one.

    Args:
        references: of the track; the models will be stored there.
        workers: processes; default: one per device or core.
        wanted: the models, of which the missing ones are trained; default: those of the seed units.
        devices: train on these GPUs (``cuda:0``, …), in one process each.
        in_flight: models at a time on each of them; default: by their size. Fewer if memory is exhausted.
    """
    from unlearn_bench.harness.training import checkpoints, compilation
    from unlearn_bench.harness.training.pretrained import initialise
    from unlearn_bench.harness.training.task import epochs_of
    from unlearn_bench.sandbox.inside import models

    track = references.track
    missing = references.missing(wanted)
    workers = min(workers or len(devices) or os.cpu_count() or 1, max(1, len(missing)))
    if not missing:
        return TrainingPlan((), workers, 0, 0.0, 0, 0)
    try:
        models.check(track.model_spec)
    except models.NetworkError as error:
        raise TrackError(f"track {track.name}: {error}", "correct [model] in the track's file") from None
    model = models.build(track.model_spec)
    initialise(model, track)
    size = sum(p.numel() for p in model.parameters())
    measured: GpuMeasurement | None = None
    if devices:
        measured = _measure(references, missing[: -(-len(missing) // workers)], devices[0], in_flight)
        task_size = measured.in_flight
    else:
        task_size = GROUP if size <= GROUPABLE_PARAMETERS and _can_group(track, model) else 1
    tasks = _tasks(references, missing, task_size, workers)
    finished_epochs = [0 if devices else _finished_epochs(references, task) for task in tasks]
    steps = [_steps(references, task[0], epochs) for epochs, task in zip(finished_epochs, tasks, strict=True)]
    with_weights = sum(role.kind != "shadow-retrained" for role in missing)
    disk = 4 * size * with_weights + 4 * len(references.examples.labels) * track.data.classes * len(missing)
    if measured is not None:
        seconds = sum(steps) * measured.seconds / workers
    else:
        model_step_seconds = _time_step(references, tasks[0]) / len(tasks[0])
        costs = [count * model_step_seconds * len(task) for count, task in zip(steps, tasks, strict=True)]
        seconds = max(sum(costs) / workers, *costs)
        if max(costs) > checkpoints.EVERY:
            disk += 2 * checkpoints.BYTES * size * task_size * workers  # both are there while one replaces another
    worth = bool(devices) and seconds > compilation.WORTH and track.recipe.plain
    obstacle = compilation.obstacle(devices[0]) if worth else None
    return TrainingPlan(
        tasks,
        workers,
        sum(steps),
        seconds,
        disk,
        epochs=sum(epochs_of(track, role) for role in missing),
        done=sum(epochs * len(task) for epochs, task in zip(finished_epochs, tasks, strict=True)),
        devices=tuple(devices[:workers]),
        in_flight=task_size,
        memory=None if measured is None else measured.memory,
        compiled=worth and obstacle is None,
        compile_obstacle=obstacle,
    )


def _can_group(track: Track, model: nn.Module) -> bool:
    """Return whether several models of the track's network can be trained as one."""
    from unlearn_bench.harness.training.grouped import can_group, groups_exactly
    from unlearn_bench.sandbox.inside import models

    if track.recipe.clip is not None or not can_group(model):  # the norm is that of one model
        return False
    spec = track.model_spec
    return groups_exactly([model, models.build(spec)], spec.get("channels", 3), spec["image_size"])


def _tasks(
    references: References, missing: Sequence[Role], task_size: int, workers: int
) -> tuple[tuple[Role, ...], ...]:
    """Divide models into tasks of ``task_size`` models or fewer that all take the same number of steps."""
    from unlearn_bench.harness.training.task import epochs_of

    sizes = {role: (len(references.examples.training_set(role)), epochs_of(references.track, role)) for role in missing}
    tasks: list[tuple[Role, ...]] = []
    for size in sorted(set(sizes.values()), reverse=True):
        same_size = [role for role in missing if sizes[role] == size]
        count = min(task_size, -(-len(same_size) // workers))
        tasks += [tuple(same_size[i : i + count]) for i in range(0, len(same_size), count)]
    return tuple(tasks)


def _finished_epochs(references: References, task: Sequence[Role]) -> int:
    """Return how many epochs an interrupted training of these models has finished."""
    from unlearn_bench.harness.training.checkpoints import Checkpoint

    state = Checkpoint(references, task).read()
    return 0 if state is None else state.epochs


def _steps(references: References, role: Role, done: int = 0) -> int:
    """Return how many steps a model takes after ``done`` epochs."""
    from unlearn_bench.harness.training.task import epochs_of

    track = references.track
    return (epochs_of(track, role) - done) * -(-len(references.examples.training_set(role)) // track.recipe.batch_size)


def _time_step(references: References, task: Sequence[Role]) -> float:
    """Measure the wall seconds of one step of a task on one thread: the median of four after one that warms up."""
    import torch

    from unlearn_bench.harness.training.task import train_task

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        recipe = replace(references.track.recipe, epochs=5, shadow_epochs=None)
        short = References(replace(references.track, recipe=recipe), references.store)
        times: list[float] = []
        # epochs of one step
        train_task(short, task, recipe.batch_size, lambda: times.append(time.perf_counter()))
        return float(np.median(np.diff(times)))
    finally:
        torch.set_num_threads(threads)


def _measure(references: References, roles: Sequence[Role], device: str, in_flight: int | None) -> GpuMeasurement:
    """Measure time and memory of a few steps on a GPU, while no timed unit runs there."""
    from unlearn_bench.harness.training.gpu import GpuTrainer
    from unlearn_bench.harness.training.interleaved import MOST
    from unlearn_bench.harness.training.recipe import initial_model

    track = references.track
    trainer = GpuTrainer(references, device, in_flight)
    models = [initial_model(track, role) for role in roles[: in_flight or MOST]]
    with DeviceLocks((device_locks.gpu(device),)).hold():
        return trainer.measure(models, references.examples.training_set(roles[0]), track.recipe)
