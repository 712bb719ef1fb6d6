"""One unit from start to record: stage the data, run it in a sandbox, infer the logits on the host, keep them."""

from __future__ import annotations

import hashlib
import math
import operator
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.support.device_locks import DeviceLocks
from unlearn_bench.harness.support.files import sha256_of, write_file
from unlearn_bench.harness.support.hardware import hardware
from unlearn_bench.harness.training.inference import logits_of
from unlearn_bench.harness.units import access, entry_sources, unit_store, unlearned_weights
from unlearn_bench.harness.units.access import Given
from unlearn_bench.harness.units.behaviour import behaviour
from unlearn_bench.harness.units.disturbance import WatchedClock
from unlearn_bench.harness.units.records import Record, now
from unlearn_bench.harness.units.slots import Slot
from unlearn_bench.harness.units.unit_kinds import Unit
from unlearn_bench.harness.units.unlearned_weights import Precision
from unlearn_bench.sandbox.text import tail
from unlearn_bench.sandbox.types import MIB, Job, Limits, Outcome, Sandbox
from unlearn_bench.scoring.distances import weight_distance

ATTEMPTS = 3
"""A unit that fails through the benchmark's or the machine's fault is tried again twice."""


@dataclass(frozen=True)
class UnitContext:
    """What all units of one command share."""

    references: References
    sandbox: Sandbox
    run_id: str
    stop: threading.Event = field(default_factory=threading.Event)
    """Set to end everything that runs."""
    hardware: dict[str, Any] = field(default_factory=hardware)
    keep_weights: Precision | None = None
    """Precision in which the weights of unlearned models are kept; ``None``: they are not."""
    hold_weights: bool = False
    """Whether the weights are held for probes, which run after the units."""
    elsewhere: Callable[[Unit, Slot, float, UnitContext], tuple[NDArray[np.float32] | None, Outcome]] | None = None
    """Replaces :func:`attempt` where units run on other machines; takes a unit, its slot and its deadline."""

    def inputs(self, given: Given) -> Path:
        """Return the safetensors file with what a unit's request gives: all data that a sandbox gets.

        It is written again if it has changed since it was written: its name ends with its SHA-256.
        """
        from safetensors.numpy import save

        folder = self.references.store.root / "inputs"
        name = given.digest(self.references.track.reference_digest)
        for path in folder.glob(f"{name}-*.safetensors"):
            if path.stem.endswith(f"-{sha256_of(path)}"):
                return path
            path.unlink(missing_ok=True)
        content = save(given.arrays(self.references.examples.dataset))
        path = folder / f"{name}-{hashlib.sha256(content).hexdigest()}.safetensors"
        write_file(path, content)
        return path


def run(context: UnitContext, unit: Unit, slot: Slot, deadline: float) -> Record:
    """Run a unit and keep its logits; one that fails as ``infra``, or is disturbed, is tried again at most twice.

    Args:
        context: references, sandbox, store.
        unit: the unit to run.
        slot: where it runs.
        deadline: seconds on the host's clock.
    """
    logits, outcome = attempt(context, unit, slot, deadline)
    store = context.references.store
    entry_sources.keep(store, unit.entry)
    stored = None if logits is None else store.put(unit_store.pack(logits))
    if logits is not None and outcome.weights is not None:
        _store_weights(context, unit, outcome.weights)
    record = unit_record(unit, outcome, stored, context.sandbox.trusted, context.hardware)
    return replace(
        record,
        weight_distance=distance_from_target(context.references, unit, outcome.weights),
        behaviour=behaviour(context.references, unit, logits, outcome.weight_shift),
    )


def _store_weights(context: UnitContext, unit: Unit, weights: Mapping[str, Any]) -> None:
    if unit.entry.kind == "reference":  # its models are reference models, of which the store has the weights
        return
    store = context.references.store
    if context.keep_weights is not None:
        unlearned_weights.keep(store, unit.track, unit.key, weights, context.keep_weights)
    elif context.hold_weights:
        unlearned_weights.hold(store, unit.key, weights)


def attempt(
    context: UnitContext, unit: Unit, slot: Slot, deadline: float
) -> tuple[NDArray[np.float32] | None, Outcome]:
    """Run a unit in the sandbox, every request at most three times.

    Return its logits [n, classes] when it is ok, and its outcome. The requests of a unit share the deadline, and their
    times add up.
    """
    from safetensors.numpy import load, save

    if context.elsewhere is not None:
        return context.elsewhere(unit, slot, deadline, context)
    original = weights = context.references.weights(unit.original)
    total = None
    for number, given in enumerate(access.given(unit, context.references.examples)):
        remaining = deadline - (0.0 if total is None else total.seconds or 0.0)
        outcome = _run_job(context, _job(context, unit, slot, remaining, weights, given, number), slot)
        total = outcome if total is None else _combined(total, outcome)
        if outcome.weights is None:
            break
        weights = save(dict(outcome.weights))
    assert total is not None
    if total.weights is not None:
        total = replace(total, weight_shift=weight_distance(total.weights, load(original)))
    if slot.device == "cpu" or not torch.cuda.is_available():  # a container may see a GPU that this process does not
        return _logits(context, unit, total)
    with DeviceLocks(slot.devices, stop=context.stop).hold():  # another unit may be on the clock by now
        return _logits(context, unit, total, slot.device)


def _run_job(context: UnitContext, job: Job, slot: Slot) -> Outcome:
    cores = slot.cores if slot.timed and slot.device == "cpu" else ()
    disturbed: Outcome | None = None
    for _ in range(ATTEMPTS):
        with DeviceLocks(slot.devices, slot.timed, context.stop).hold() as clock:
            watched = WatchedClock(clock, cores)
            outcome = context.sandbox.run(job, watched, context.stop)
        outcome = replace(outcome, disturbed=watched.disturbance(outcome))
        if outcome.disturbed:
            disturbed = outcome
        elif outcome.status != "infra":
            return outcome
        if context.stop.is_set():
            break
    return disturbed or outcome  # what another attempt lost to the machine takes nothing from one that was ok


def _combined(first: Outcome, second: Outcome) -> Outcome:
    """Return the outcome of two requests of one unit."""

    def merge(a: Any, b: Any, operation: Callable[[Any, Any], Any]) -> Any:
        return b if a is None else a if b is None else operation(a, b)

    return replace(
        second,
        seconds=merge(first.seconds, second.seconds, operator.add),
        cpu_seconds=merge(first.cpu_seconds, second.cpu_seconds, operator.add),
        peak_memory=merge(first.peak_memory, second.peak_memory, max),
        log=tail("\n".join(filter(None, (first.log, second.log))).encode()),
        warnings=tuple(dict.fromkeys((*first.warnings, *second.warnings))),
        disturbed=first.disturbed or second.disturbed,
    )


def _job(
    context: UnitContext,
    unit: Unit,
    slot: Slot,
    deadline: float,
    weights: bytes,
    given: Given,
    request: int = 0,
) -> Job:
    track = unit.track
    main, *others = unit.entry.files
    return Job(
        source=unit.entry.files[main],
        modules={path: unit.entry.files[path] for path in others},
        requirements=unit.entry.requirements,
        parameters=unit.entry.overrides,
        model=track.model_spec,
        weights=weights,
        data=context.inputs(given),
        mean=track.data.mean,
        std=track.data.std,
        batch_size=track.protocol.batch_size,
        seed=unit.request_seed(request),
        limits=Limits(deadline=deadline, memory=track.protocol.memory_mib * MIB, processes=track.protocol.processes),
        device=slot.device,
        cpus=slot.cores,
        run_id=context.run_id,
    )


def _logits(
    context: UnitContext, unit: Unit, outcome: Outcome, device: str = "cpu"
) -> tuple[NDArray[np.float32] | None, Outcome]:
    """Return the logits of the delivered model; finite weights may still overflow, which argmax would call class 0."""
    if outcome.status != "ok":
        return None, outcome
    assert outcome.weights is not None
    images = context.references.examples.dataset.images
    try:
        logits = logits_of(unit.track, outcome.weights, images, device)
    except torch.OutOfMemoryError:  # other units use that GPU; on the CPU it is float32 as well
        logits = logits_of(unit.track, outcome.weights, images)
    if not np.isfinite(logits).all():
        return None, Outcome(
            "invalid",
            "the model's outputs are not finite",
            seconds=outcome.seconds,
            cpu_seconds=outcome.cpu_seconds,
            peak_memory=outcome.peak_memory,
            log=outcome.log,
            environment=outcome.environment,
        )
    return logits, outcome


def distance_from_target(references: References, unit: Unit, weights: Mapping[str, Any] | None) -> float | None:
    """Return the weight distance from the retrained model of a unit; ``None`` where one of the two is not there."""
    from safetensors.numpy import load

    if weights is None or not references.has_weights(unit.target):
        return None
    return round(weight_distance(weights, load(references.weights(unit.target))), 4)


def unit_record(unit: Unit, outcome: Outcome, logits: str | None, trusted: bool, hardware: Mapping[str, Any]) -> Record:
    """Return the record of a unit, without Retrain's time, which is known once that has run.

    Args:
        unit: the unit that ran.
        outcome: how it ended.
        logits: SHA-256 of its logits in the store.
        trusted: whether a trusted sandbox ran it.
        hardware: facts about the machine.
    """
    return Record(
        key=unit.key,
        entry=unit.entry.id,
        name=unit.entry.name,
        sha256=unit.entry.sha256,
        track=unit.track.name,
        reference_digest=unit.track.reference_digest,
        protocol_digest=unit.track.protocol_digest,
        seed=unit.seed,
        status=outcome.status,
        reason=outcome.reason,
        seconds=_rounded(outcome.seconds),
        cpu_seconds=_rounded(outcome.cpu_seconds),
        peak_memory=outcome.peak_memory,
        retrain_seconds=None,
        logits=logits,
        date=now(),
        trusted=trusted,
        environment={**outcome.environment, **hardware},
        log=outcome.log,
        warnings=outcome.warnings,
        disturbed=outcome.disturbed,
        parameters={**unit.entry.defaults, **unit.entry.overrides},
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None or not math.isfinite(seconds) else round(seconds, 4)
