"""Reference models of a track, trained where they are missing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing

from unlearn_bench.harness.executors import Executor, RunOptions
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import SEED_KINDS, Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.progress import span
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import access
from unlearn_bench.harness.units.sandbox_choice import devices

logger = logging.getLogger(__name__)


def open_references(track: Track, executor: Executor, options: RunOptions) -> References:
    """Return a track's references: missing ones are trained, and every file is read against its digest.

    Raises:
        BenchError: a data set that is missing, a damaged store, a training that failed.
    """
    references = References(track, Store())
    make_ready(references, executor, options)
    return references


def make_ready(references: References, executor: Executor, options: RunOptions) -> None:
    """Train the missing models of the seed units, and read every file against its digest.

    Errors as :func:`open_references`.
    """
    import torch

    torch.set_num_threads(1)
    access.require_examples(references.examples)
    train_missing(references, references.seed_roles(), executor, options)
    for _ in references.verify():  # a damaged file is named before anything runs
        pass


def train_missing(
    references: References,
    wanted: Sequence[Role],
    executor: Executor,
    options: RunOptions,
    *,
    workers: int | None = None,
    gpus: Sequence[int] | None = None,
    in_flight: int | None = None,
) -> None:
    """Train the ``wanted`` reference models that are missing, after a message on what that costs.

    One command trains at a time: another one waits, and then trains what is still missing.

    Args:
        references: of the track; the models are stored there.
        wanted: the models.
        executor: trains them.
        options: their observer receives the progress.
        workers: training processes; default: one per core.
        gpus: CUDA devices to train on; default: that of ``options``.
        in_flight: models at a time on each GPU; default: by their size and the memory.

    Raises:
        BenchError: a GPU or disk space is missing; a worker died, or training diverged.
    """
    track = references.track
    if not (missing := references.missing(wanted)):
        return
    if references.imported:
        _refuse_strangers(track, missing)
    if gpus is None:
        gpus = () if options.gpu is None else (options.gpu,)
    with references.store.lock(f"training-{track.reference_digest}", f"trains reference models of {track.name}"):
        if references.missing(wanted):
            _train(references, wanted, executor, options, workers, gpus, in_flight)


def _refuse_strangers(track: Track, missing: Sequence[Role]) -> None:
    """Refuse to train beside imported models what is compared with them; shadow models have their own."""
    strangers = [role for role in missing if role.kind in (*SEED_KINDS, "swap")]
    if strangers:
        raise BenchError(
            f"the reference models of {track.name} were imported, and {strangers[0].name} is not among them",
            "your command",
            "do without it, or import it with the others (bench references import): trained here, it would differ from "
            "them in more than what it learnt",
            USAGE,
        )


def _train(
    references: References,
    wanted: Sequence[Role],
    executor: Executor,
    options: RunOptions,
    workers: int | None,
    gpus: Sequence[int],
    in_flight: int | None,
) -> None:
    from unlearn_bench.harness.training.plan import plan_training
    from unlearn_bench.harness.training.run import run_plan

    track, names = references.track, devices(gpus)
    side_by_side = executor.trainings(bool(gpus))
    if side_by_side is not None:
        workers = workers or side_by_side
    elif names:
        workers = len(names)
    plan = plan_training(references, workers, wanted, names, in_flight)
    at_once = f"{plan.workers} at a time"
    if plan.devices:
        at_once = f"{plan.in_flight} in flight on {' and '.join(plan.devices)}"
    memory = "" if plan.memory is None else f", {plan.memory / 1e9:.1f} GB of GPU memory per model in flight"
    logger.info(
        f"{track.name}: {plan.models} reference models to train, {at_once}: "
        f"about {span(plan.seconds)}, {plan.disk / 1e6:.1f} MB of disk{memory}"
        + (f"; {plan.done} of {plan.epochs} epochs were done before an interruption" if plan.done else "")
    )
    if plan.compile_obstacle:
        logger.info("steps are not compiled, which would save time: %s", plan.compile_obstacle)
    references.store.needs_room(plan.disk)
    unit = "GPU" if plan.devices else "CPU"
    with (
        options.observer.progress(f"training {track.name}", plan.epochs, "epochs", plan.done) as progress,
        closing(run_plan(references, plan, lambda count: progress.at(plan.done + count), executor.train)) as models,
    ):
        for trained in models:
            progress.line(f"trained {trained.role.name} in {trained.seconds:.1f} {unit} s")
