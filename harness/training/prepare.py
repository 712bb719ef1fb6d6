"""`bench prepare`: trains the reference models that a track lacks. One process per core, small models in groups; or one
process per GPU, small models in flight together."""

from __future__ import annotations

import datetime
import multiprocessing
import os
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.references.references import References, Role, order_seed
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.device_locks import Turns
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.hardware import torch_version
from unlearn_bench.harness.support.workers import worker_pool
from unlearn_bench.harness.tracks.specification import Track

if TYPE_CHECKING:
    from unlearn_bench.harness.training.checkpoints import Checkpoint
    from unlearn_bench.harness.training.gpu import Resident, Trial

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
    done: int = 0
    """How many of them an interrupted training has left."""
    devices: tuple[str, ...] = ()
    """GPUs, one process each; none: the cores."""
    at_once: int = GROUP
    """Models of a task at most."""
    memory: int | None = None
    """Bytes of GPU memory per model in flight."""
    compiled: bool = False
    """Whether the steps of a GPU are."""
    uncompiled: str | None = None
    """Why they are not, where it would be worth while."""

    @property
    def models(self) -> int:
        return sum(len(task) for task in self.tasks)


@dataclass(frozen=True)
class Trained:
    role: Role
    weights: bytes | None
    logits: NDArray[np.float32]
    seconds: float
    """CPU seconds of the task (on a GPU: wall seconds) over its models."""
    mixed: bool
    """Whether it was trained in mixed precision."""


def plan(
    references: References,
    workers: int | None = None,
    wanted: Sequence[Role] | None = None,
    devices: Sequence[str] = (),
    in_flight: int | None = None,
) -> Plan:
    """Divide the missing models (of ``wanted``, default: of the seed units) into tasks and time a few steps of one.

    Args:
        references: where they will go.
        workers: processes; default: one per device or core.
        wanted: the models.
        devices: train on these GPUs (``cuda:0``, …), in one process each.
        in_flight: models at a time on each of them; default: by their size, and fewer where memory lacks.
    """
    from unlearn_bench.harness.training import checkpoints, compilation
    from unlearn_bench.harness.training.grouped import can_group
    from unlearn_bench.sandbox.inside.models import build

    track = references.track
    missing = references.missing(wanted)
    workers = min(workers or len(devices) or os.cpu_count() or 1, max(1, len(missing)))
    if not missing:
        return Plan((), workers, 0, 0.0, 0, 0)
    model = build(track.model_spec)
    size = sum(p.numel() for p in model.parameters())
    per_step, memory = None, None
    if devices:
        trial = _trial(references, missing[: -(-len(missing) // workers)], devices[0], in_flight)
        most, per_step, memory = trial.at_once, trial.seconds, trial.memory
    else:
        most = GROUP if can_group(model) and size <= GROUPABLE_PARAMETERS else 1
    tasks: list[tuple[Role, ...]] = []
    sizes = {role: (len(references.training_set(role)), _epochs(track, role)) for role in missing}
    for alike in sorted(set(sizes.values()), reverse=True):  # one task's models take the same number of steps
        part = [role for role in missing if sizes[role] == alike]
        count = min(most, -(-len(part) // workers))
        tasks += [tuple(part[i : i + count]) for i in range(0, len(part), count)]
    begun = [0 if devices else _begun(references, task) for task in tasks]
    done = sum(epochs * len(task) for epochs, task in zip(begun, tasks, strict=True))
    steps = [_steps(references, task[0], epochs) for epochs, task in zip(begun, tasks, strict=True)]
    kept = sum(role.kind != "shadow-retrained" for role in missing)
    disk = 4 * size * kept + 4 * len(references.labels) * track.data.classes * len(missing)
    if per_step is not None:
        seconds = sum(steps) * per_step / workers
    else:
        share = _time_step(references, tasks[0]) / len(tasks[0])
        costs = [count * share * len(task) for count, task in zip(steps, tasks, strict=True)]
        seconds = max(sum(costs) / workers, *costs)
        if max(costs) > checkpoints.EVERY:
            disk += 2 * checkpoints.BYTES * size * most * workers  # one replaces another
    epochs, used = sum(_epochs(track, role) for role in missing), tuple(devices[:workers])
    worth = bool(devices) and seconds > compilation.WORTH
    lacks = compilation.obstacle(devices[0]) if worth else None
    compiled = worth and lacks is None
    return Plan(tuple(tasks), workers, sum(steps), seconds, disk, epochs, done, used, most, memory, compiled, lacks)


def _epochs(track: Track, role: Role) -> int:
    shadow = role.kind.startswith("shadow")
    return track.recipe.shadow_epochs or track.recipe.epochs if shadow else track.recipe.epochs


def _begun(references: References, task: Sequence[Role]) -> int:
    """Epochs that an interrupted training of these models has left."""
    from unlearn_bench.harness.training.checkpoints import Checkpoint

    state = Checkpoint(references, task).read()
    return 0 if state is None else state.epochs


def _steps(references: References, role: Role, done: int = 0) -> int:
    track = references.track
    return (_epochs(track, role) - done) * -(-len(references.training_set(role)) // track.recipe.batch_size)


def _time_step(references: References, task: Sequence[Role]) -> float:
    """Wall seconds of one step of a task on one thread: the median of four after one that warms up."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        recipe = replace(references.track.recipe, epochs=5, shadow_epochs=None)
        short, times = References(replace(references.track, recipe=recipe), references.store), []
        _train(short, task, recipe.batch_size, lambda: times.append(time.perf_counter()))  # epochs of one step
        return float(np.median(np.diff(times)))
    finally:
        torch.set_num_threads(threads)


def _trial(references: References, roles: Sequence[Role], device: str, in_flight: int | None) -> Trial:
    from unlearn_bench.harness.training.gpu import Resident
    from unlearn_bench.harness.training.lanes import MOST
    from unlearn_bench.harness.training.recipe import initial

    track = references.track
    resident = Resident(references, device, in_flight)
    models = [initial(track, role) for role in roles[: in_flight or MOST]]
    with Turns((device_locks.gpu(device),)).turn():
        return resident.trial(models, references.training_set(roles[0]), track.recipe)


def _train(
    references: References,
    task: Sequence[Role],
    limit: int | None = None,
    on_epoch: Callable[[], None] = lambda: None,
    resident: Resident | None = None,
    checkpoint: Checkpoint | None = None,
) -> list[Any]:
    """The trained models of a task; ``None`` for those that the memory of a GPU did not suffice for."""
    import torch

    from unlearn_bench.harness.training.recipe import initial, normaliser, train

    track, dataset = references.track, references.dataset
    members = [initial(track, role) for role in task]
    subsets = [references.training_set(role)[:limit] for role in task]
    seeds = [order_seed(track, role) for role in task]
    recipe = replace(track.recipe, epochs=_epochs(track, task[0]))
    if resident is not None:
        done = resident.train(members, subsets, seeds, recipe, on_epoch)
        return [model if trained else None for model, trained in zip(members, done, strict=True)]
    used = np.unique(np.concatenate(subsets)) if limit else np.arange(len(dataset.labels))
    images = torch.from_numpy(dataset.images[used])
    labels = torch.from_numpy(dataset.labels[used])
    subsets = [np.searchsorted(used, subset) for subset in subsets]
    train(members, images, labels, subsets, seeds, recipe, normaliser(track), on_epoch, checkpoint)
    return members


_report: Callable[[int], object] | None = None
"""Told of model-epochs that are done."""
_references: References | None = None
_resident: Resident | None = None


def _start_worker(progress: Any, track: Track, devices: Any, at_once: int, compiled: bool) -> None:
    """Initialise a process: on the next of ``devices``, a queue, or on the CPU where that is ``None``."""
    import torch

    from unlearn_bench.harness.training.recipe import keep_memory

    global _report, _references, _resident
    torch.set_num_threads(1)
    keep_memory()

    def report(count: int) -> None:
        with progress.get_lock():
            progress.value += count

    _report = report
    _references = References(track, Store(behind=None))
    if devices is not None:
        from unlearn_bench.harness.training.gpu import Resident

        _resident = Resident(_references, devices.get(), at_once, compiled)


def _work(task: Sequence[Role]) -> list[Trained]:
    """Train one task in a worker; the models come back rounded as the recipe says, with their logits."""
    import torch
    from safetensors.torch import save

    from unlearn_bench.harness.training.checkpoints import Checkpoint
    from unlearn_bench.harness.training.recipe import infer, normaliser
    from unlearn_bench.harness.training.steps import mixed

    assert _references is not None and _report is not None
    report, track, dataset = _report, _references.track, _references.dataset
    cores = device_locks.cores(sorted(os.sched_getaffinity(0)))
    checkpoint = Checkpoint(_references, task) if _resident is None else None
    places = cores if _resident is None else (device_locks.gpu(str(_resident.device)),)
    with Turns(places).long() as pause:  # not beside a timed unit of another process

        def on_epoch() -> None:
            report(len(task))
            if _resident is None:  # a GPU may still be busy with the epoch
                pause()

        start = time.perf_counter()
        members = _train(_references, task, on_epoch=on_epoch, resident=_resident, checkpoint=checkpoint)
        seconds = (time.perf_counter() - start if checkpoint is None else checkpoint.seconds) / len(task)
    if checkpoint is not None:
        checkpoint.remove()
    in_bfloat16 = mixed(track.recipe, torch.device("cpu") if _resident is None else _resident.device)
    images, to_input = torch.from_numpy(dataset.images), normaliser(track)
    results = []
    for role, model in zip(task, members, strict=True):
        if model is None:
            continue
        state = model.state_dict()
        if track.recipe.weights == "float16":
            rounded = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
            model.load_state_dict(rounded)
            state = rounded
        logits = infer(model, images, to_input) if _resident is None else _resident.infer(model)
        if not np.isfinite(logits).all():
            raise FloatingPointError(f"training of {role.name} diverged: logits are not finite")
        keeps = role.kind != "shadow-retrained"  # there are hundreds, and only their logits are read
        weights = save({name: tensor.cpu().contiguous() for name, tensor in state.items()}) if keeps else None
        results.append(Trained(role, weights, logits, seconds, in_bfloat16))
    return results


Pool = Callable[[References, Plan, Callable[[int], None]], Generator[list[Trained]]]
"""Trains a plan's tasks somewhere; yields the models of each."""


def run(
    references: References, plan: Plan, on_progress: Callable[[int], None], pool: Pool | None = None
) -> Generator[Trained]:
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
    unit, count = "gpu_seconds" if plan.devices else "cpu_seconds", 0
    try:
        with closing((pool or _processes)(references, plan, on_progress)) as tasks:  # a full disk ends them at once
            for trained in chain.from_iterable(tasks):
                about = {unit: round(trained.seconds, 3), **environment}
                if trained.mixed:
                    about["precision"] = "bfloat16"
                references.add(trained.role, trained.weights, trained.logits, about)
                count += 1
                yield trained
    except FloatingPointError as error:
        raise BenchError(str(error), "the benchmark", "lower recipe.lr in the track", EXIT_CODES["infra"]) from None
    if count < plan.models:
        raise BenchError(
            "the memory of the GPU did not suffice for all models",
            "this machine",
            "free memory there, then run the same command again: it resumes",
            EXIT_CODES["infra"],
        )


def _processes(references: References, plan: Plan, on_progress: Callable[[int], None]) -> Generator[list[Trained]]:
    context = multiprocessing.get_context("spawn")
    progress = context.Value("q", 0)
    devices: Any = context.SimpleQueue()
    for device in plan.devices:
        devices.put(device)
    used = devices if plan.devices else None
    start = (_start_worker, progress, references.track, used, plan.at_once, plan.compiled)
    with worker_pool(plan.workers, *start) as pool:
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
