"""Running a training plan: one process per core, small models in groups; or one process per GPU, several in flight."""

from __future__ import annotations

import datetime
import multiprocessing
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from itertools import chain
from typing import TYPE_CHECKING, Any

from unlearn_bench.harness.references.manifest import TrainingFacts
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.hardware import torch_version
from unlearn_bench.harness.support.workers import worker_pool
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.training.plan import TrainingPlan

if TYPE_CHECKING:
    from unlearn_bench.harness.training.task import TaskTrainer, TrainedModel

TaskPool = Callable[[References, TrainingPlan, Callable[[int], None]], "Generator[list[TrainedModel]]"]
"""Trains a plan's tasks somewhere, reports the model-epochs that are done, and yields the models of each task."""


def run_plan(
    references: References, plan: TrainingPlan, on_progress: Callable[[int], None], pool: TaskPool
) -> Generator[TrainedModel]:
    """Train a plan's models, and yield each after it is in the store.

    Args:
        references: of the track; the models are stored there.
        plan: from ``harness.training.plan.plan_training``.
        on_progress: gets the number of model-epochs done, a few times a second.
        pool: trains the tasks, such as :func:`local_processes`.

    Raises:
        BenchError: a worker died or training diverged; finished models are kept.
    """
    today, count = datetime.datetime.now(datetime.UTC).date().isoformat(), 0
    try:
        with closing(pool(references, plan, on_progress)) as tasks:  # a full disk ends them
            for trained in chain.from_iterable(tasks):
                seconds = round(trained.seconds, 3)
                facts = TrainingFacts(
                    torch=torch_version(),
                    date=today,
                    cpu_seconds=None if plan.devices else seconds,
                    gpu_seconds=seconds if plan.devices else None,
                    precision="bfloat16" if trained.mixed else None,
                )
                references.add(trained.role, trained.weights, trained.logits, facts)
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


def local_processes(
    references: References, plan: TrainingPlan, on_progress: Callable[[int], None]
) -> Generator[list[TrainedModel]]:
    """Train a plan's tasks in processes of this machine. A :data:`TaskPool`.

    Raises:
        BenchError: a process was killed.
    """
    context = multiprocessing.get_context("spawn")
    progress = context.Value("q", 0)
    devices: Any = context.SimpleQueue()
    for device in plan.devices:
        devices.put(device)
    queue = devices if plan.devices else None
    initializer = (_start_process, progress, references.track, queue, plan.in_flight, plan.compiled)
    with worker_pool(plan.workers, *initializer) as pool:
        pending = {pool.submit(_train, task) for task in plan.tasks}
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


_trainer: TaskTrainer | None = None
"""Trainer of a worker process, made by its initializer, since a process pool passes nothing else to its calls."""


def _start_process(progress: Any, track: Track, devices: Any, in_flight: int, compiled: bool) -> None:
    """Prepare a process to train on the next of ``devices``, a queue of GPUs, or on the CPU if that is ``None``."""
    import torch

    from unlearn_bench.harness.training.gpu import GpuTrainer
    from unlearn_bench.harness.training.memory import keep_memory
    from unlearn_bench.harness.training.task import TaskTrainer

    global _trainer
    torch.set_num_threads(1)
    keep_memory()

    def report(count: int) -> None:
        with progress.get_lock():
            progress.value += count

    references = References(track, Store(behind=None))
    gpu = None if devices is None else GpuTrainer(references, devices.get(), in_flight, compiled)
    _trainer = TaskTrainer(references, report, gpu)


def _train(task: Sequence[Role]) -> list[TrainedModel]:
    assert _trainer is not None
    return _trainer.train(task)
