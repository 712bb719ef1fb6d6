"""`bench prepare`: trains the reference models that a track lacks. One process per core, small models in groups."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import turns
from harness.errors import EXIT_CODES, BenchError
from harness.machine import torch_version
from harness.references import References, Role, initial_seed, order_seed
from harness.store import Store
from harness.track import Track
from harness.turns import Turns

GROUP = 8
GROUPABLE_PARAMETERS = 1_000_000  # above, one model fills a core by itself


@dataclass(frozen=True)
class Plan:
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
    """Model-epochs, what progress counts."""

    @property
    def models(self) -> int:
        return sum(len(task) for task in self.tasks)


@dataclass(frozen=True)
class Trained:
    role: Role
    weights: bytes | None
    logits: NDArray[np.float32]
    seconds: float
    """CPU seconds of the task over its models."""


def plan(references: References, workers: int | None = None, wanted: Sequence[Role] | None = None) -> Plan:
    """Divide the missing models (of ``wanted``, default: of the seed units) into tasks and time a few steps of one."""
    from harness.grouped import can_group
    from sandbox.inside.models import build

    track = references.track
    missing = references.missing(wanted)
    workers = min(workers or os.cpu_count() or 1, max(1, len(missing)))
    if not missing:
        return Plan((), workers, 0, 0.0, 0, 0)
    model = build(track.model_spec)
    size = sum(p.numel() for p in model.parameters())
    groupable = can_group(model) and size <= GROUPABLE_PARAMETERS
    tasks: list[tuple[Role, ...]] = []
    sizes = {role: (len(references.training_set(role)), _epochs(track, role)) for role in missing}
    for alike in sorted(set(sizes.values()), reverse=True):  # one task's models take the same number of steps
        part = [role for role in missing if sizes[role] == alike]
        count = min(GROUP, -(-len(part) // workers)) if groupable else 1
        tasks += [tuple(part[i : i + count]) for i in range(0, len(part), count or 1)]
    steps = sum(_steps(references, task[0]) for task in tasks)
    per_step = _time_step(references, tasks[0])
    images = len(references.dataset.labels)
    kept = sum(role.kind != "shadow-retrained" for role in missing)
    disk = 4 * size * kept + 4 * images * track.data.classes * len(missing)
    epochs = sum(_epochs(track, role) for role in missing)
    return Plan(tuple(tasks), workers, steps, steps * per_step / workers, disk, epochs)


def _epochs(track: Track, role: Role) -> int:
    shadow = role.kind.startswith("shadow")
    return track.recipe.shadow_epochs or track.recipe.epochs if shadow else track.recipe.epochs


def _steps(references: References, role: Role) -> int:
    track = references.track
    return _epochs(track, role) * -(-len(references.training_set(role)) // track.recipe.batch_size)


def _time_step(references: References, task: Sequence[Role]) -> float:
    """Wall seconds of one step of a task on one thread, from two short runs (the first warms up)."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        batch = references.track.recipe.batch_size
        recipe = replace(references.track.recipe, epochs=1, shadow_epochs=None)
        seconds = []
        for steps in (1, 3):
            start = time.perf_counter()
            _train(References(replace(references.track, recipe=recipe), references.store), task, steps * batch)
            seconds.append(time.perf_counter() - start)
        return max(seconds[1] - seconds[0], 0.2 * seconds[1]) / 2
    finally:
        torch.set_num_threads(threads)


def _train(
    references: References, task: Sequence[Role], limit: int | None = None, on_epoch: Callable[[], None] = lambda: None
) -> list[Any]:
    import torch

    from harness.training import normaliser, train
    from sandbox.inside.models import build

    track, dataset = references.track, references.dataset
    members = []
    for role in task:
        torch.manual_seed(initial_seed(track, role))
        members.append(build(track.model_spec))
    subsets = [references.training_set(role)[:limit] for role in task]
    used = np.unique(np.concatenate(subsets)) if limit else np.arange(len(dataset.labels))
    images = torch.from_numpy(dataset.images[used])
    labels = torch.from_numpy(dataset.labels[used])
    subsets = [np.searchsorted(used, subset) for subset in subsets]
    seeds = [order_seed(track, role) for role in task]
    torch.manual_seed(seeds[0])  # augmentation
    recipe = replace(track.recipe, epochs=_epochs(track, task[0]))
    train(members, images, labels, subsets, seeds, recipe, normaliser(track), on_epoch)
    return members


_progress: Any = None
_references: References | None = None


def _start_worker(progress: Any, track: Track, parent: int) -> None:
    import torch

    from sandbox.inside.lifeline import end_with

    global _progress, _references
    end_with(parent)  # nobody would take the results of a killed command
    torch.set_num_threads(1)
    _progress = progress
    _references = References(track, Store(behind=None))


def _work(task: Sequence[Role]) -> list[Trained]:
    """Train one task in a worker; the models come back rounded as the recipe says, with their logits."""
    import torch
    from safetensors.torch import save

    from harness.training import infer, normaliser

    assert _references is not None
    track, dataset = _references.track, _references.dataset

    def on_epoch() -> None:
        with _progress.get_lock():
            _progress.value += len(task)

    with Turns(turns.cores(sorted(os.sched_getaffinity(0)))).turn():  # not beside a timed unit of another process
        start = time.process_time()
        members = _train(_references, task, on_epoch=on_epoch)
        seconds = (time.process_time() - start) / len(task)
    images = torch.from_numpy(dataset.images)
    results = []
    for role, model in zip(task, members, strict=True):
        state = model.state_dict()
        if track.recipe.weights == "float16":
            rounded = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
            model.load_state_dict(rounded)
            state = rounded
        logits = infer(model, images, normaliser(track))
        if not np.isfinite(logits).all():
            raise FloatingPointError(f"training of {role.name} diverged: logits are not finite")
        keeps = role.kind != "shadow-retrained"  # there are hundreds, and only their logits are read
        weights = save({name: tensor.contiguous() for name, tensor in state.items()}) if keeps else None
        results.append(Trained(role, weights, logits, seconds))
    return results


Pool = Callable[[References, Plan, Callable[[int], None]], Iterator[list[Trained]]]
"""Trains a plan's tasks somewhere; yields the models of each."""


def run(
    references: References, plan: Plan, on_progress: Callable[[int], None], pool: Pool | None = None
) -> Iterator[Trained]:
    """Train a plan's models; yields each after it is in the store.

    Args:
        references: where they go.
        plan: from :func:`plan`.
        on_progress: gets the number of model-epochs done, a few times a second.
        pool: where; default: processes of this machine.

    Raises:
        BenchError: a worker died or training diverged; what was finished stays.
    """
    environment = {"torch": torch_version(), "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    try:
        for task in (pool or _processes)(references, plan, on_progress):
            for trained in task:
                about = {"cpu_seconds": round(trained.seconds, 3), **environment}
                references.add(trained.role, trained.weights, trained.logits, about)
                yield trained
    except FloatingPointError as error:
        raise BenchError(str(error), "the benchmark", "lower recipe.lr in the track", EXIT_CODES["infra"]) from None


def _processes(references: References, plan: Plan, on_progress: Callable[[int], None]) -> Iterator[list[Trained]]:
    context = multiprocessing.get_context("spawn")
    progress = context.Value("q", 0)
    with ProcessPoolExecutor(
        plan.workers, mp_context=context, initializer=_start_worker, initargs=(progress, references.track, os.getpid())
    ) as pool:
        pending = {pool.submit(_work, task) for task in plan.tasks}
        try:
            while pending:
                done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
                on_progress(progress.value)
                for future in done:
                    yield future.result()
        except BrokenProcessPool:
            raise BenchError(
                "a training process was killed (usually by lack of memory)",
                "this machine",
                "free memory or use fewer --workers, then run the same command again: it resumes",
                EXIT_CODES["infra"],
            ) from None
        finally:
            for future in pending:
                future.cancel()
