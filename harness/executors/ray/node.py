"""What runs on a node of a Ray cluster: one unit, or the training of a few models, from what the driver sends with it.

A node writes to its own store only what serves its own units and trainings (their data, how much its cores slow each
other down, checkpoints); results go back to the driver.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.data.dataset import Dataset
from unlearn_bench.harness.data.splits import Numbers
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.hardware import hardware, torch_version
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units.runner import UntimedResult
from unlearn_bench.harness.units.slots import Slot, timed_slots, untimed_slot
from unlearn_bench.harness.units.unit_kinds import Unit
from unlearn_bench.harness.units.unit_run import UnitContext, attempt
from unlearn_bench.sandbox.types import Outcome, Sandbox

if TYPE_CHECKING:
    from unlearn_bench.harness.training.task import TrainedModel

PACKAGES = ("baselines", "harness", "sandbox", "scoring")


@dataclass(frozen=True)
class Code:
    """What must be the same on all nodes."""

    version: str
    source: str
    """Digest of the benchmark's Python files."""
    torch: str


@dataclass(frozen=True)
class Node:
    """A node's description of itself."""

    host: str
    backend: str
    """Name of the sandbox's back end; empty where none was asked for."""
    trusted: bool
    line: str
    """Readable description of the sandbox."""
    hardware: Mapping[str, Any]
    slots: tuple[Slot, ...]
    """Where its timed units run."""


@dataclass(frozen=True)
class Parcel:
    """A data set as it travels, with the numbers that its splits read from files."""

    dataset: Dataset
    numbers: Numbers
    strides: tuple[int, ...]
    """Of the images before the transfer, which changes those of axes of length 1; torch chooses its kernels by them."""

    @classmethod
    def of(cls, references: References) -> Parcel:
        """Pack the data set of references."""
        dataset = references.examples.dataset
        images = np.ascontiguousarray(dataset.images)
        return cls(replace(dataset, images=images), references.examples.numbers, dataset.images.strides)

    def open(self) -> Dataset:
        """Return the data set, its images laid out as before, so that a model trains to the same bits on every node."""
        received = self.dataset.images
        strides = zip(received.strides, self.strides, received.shape, strict=True)
        if not all(received_stride == stride for received_stride, stride, length in strides if length > 1):
            return self.dataset
        images = np.lib.stride_tricks.as_strided(received, strides=self.strides, writeable=False)
        return replace(self.dataset, images=images)


class Carried(References):
    """References of which a node has what came with a unit: the data set and the models that are needed."""

    def __init__(self, track: Track, parcel: Parcel, weights: Mapping[Role, bytes]) -> None:
        super().__init__(track, Store())
        self.examples.dataset, self.examples.numbers = parcel.open(), parcel.numbers
        self._weights = weights

    def weights(self, role: Role) -> bytes:
        """Return the weights of a model that came with the unit."""
        return self._weights[role]


@cache
def code() -> Code:
    """Return version and digest of this installation."""
    root, content = Path(__file__).parents[3], hashlib.sha256()
    for package in PACKAGES:
        for path in sorted((root / package).rglob("*.py")):
            content.update(f"{path.relative_to(root)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return Code(importlib.metadata.version("unlearn-bench"), content.hexdigest()[:16], torch_version())


def agree(expected: Code) -> None:
    """Raise ``BenchError`` unless this node has what the driver has."""
    if (installed := code()) != expected:
        raise BenchError(
            f"node {platform.node()} has unlearn-bench {installed.version} "
            f"(source {installed.source}, torch {installed.torch}), "
            f"the command {expected.version} (source {expected.source}, torch {expected.torch})",
            "this machine",
            "install the same version everywhere, for example by one image for all nodes",
            EXIT_CODES["infra"],
        )


def describe(expected: Code, track: Track, sandbox: str | None, gpus: int) -> Node:
    """Check a node; ``sandbox``: also that it has this back end; ``gpus``: how many it has for timed units, 0: none.

    Raises:
        BenchError: another version, no usable sandbox.
    """
    _start(expected)
    host, name, trusted, line = platform.node(), "", True, ""
    slots: Sequence[Slot] = ()
    if sandbox is not None:
        backend, line = _backend(track, sandbox, _gpu() if gpus else None)
        name, trusted = backend.name, backend.trusted
        slots = [Slot(timed=True)] * gpus if gpus else timed_slots(Store())
    return Node(host, name, trusted, line, hardware(), tuple(slots))


def sandboxed(
    expected: Code,
    run_id: str,
    sandbox: str,
    unit: Unit,
    deadline: float,
    slot: Slot | None,
    gpu: bool,
    parcel: Parcel,
    original: bytes,
) -> tuple[NDArray[np.float32] | None, Outcome]:
    """Run one unit in a sandbox of this node, see ``unit_run.attempt``; with a ``slot``, timed and with weights."""
    _start(expected)
    index = _gpu() if gpu else None
    backend, _ = _backend(unit.track, sandbox, index)
    references = Carried(unit.track, parcel, {unit.original: original})
    cores = os.sched_getaffinity(0)
    if index is not None:
        node_slot = untimed_slot((), f"cuda:{index}")
        node_slot = node_slot if slot is None else replace(node_slot, timed=True)
    else:
        node_slot = slot or Slot(devices=device_locks.cores(sorted(cores)))
    try:
        if node_slot.cores:
            os.sched_setaffinity(0, node_slot.cores)
        logits, outcome = attempt(UnitContext(references, backend, run_id), unit, node_slot, deadline)
    finally:
        os.sched_setaffinity(0, cores)
    return logits, outcome if slot is not None else replace(outcome, weights=None)


def direct(expected: Code, unit: Unit, deadline: float, parcel: Parcel, original: bytes) -> UntimedResult:
    """Run one unit of a shipped method in this process; see ``harness.units.worker_runner``."""
    from unlearn_bench.harness.units.worker_runner import attempt_unit

    _start(expected)
    return attempt_unit(Carried(unit.track, parcel, {unit.original: original}), unit, deadline)


def train(
    expected: Code, track: Track, task: Sequence[Role], flight: tuple[int, bool] | None, parcel: Parcel, counter: Any
) -> list[TrainedModel]:
    """Train the models of one task; with ``flight`` on this task's GPU: how many at a time, and whether compiled.

    ``counter`` receives the number of finished epochs.
    """
    from unlearn_bench.harness.training.gpu import GpuTrainer
    from unlearn_bench.harness.training.memory import keep_memory
    from unlearn_bench.harness.training.task import TaskTrainer

    _start(expected)
    keep_memory()
    references = Carried(track, parcel, {})
    gpu = None if flight is None else GpuTrainer(references, f"cuda:{_gpu()}", *flight)
    return TaskTrainer(references, counter.add.remote, gpu).train(task)


def _start(expected: Code) -> None:
    import torch

    agree(expected)
    torch.set_num_threads(1)
    # arrays of Ray's object store are read-only, and nothing writes to the data set
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")


def _gpu() -> int:
    """Return the host's index of the GPU that this task was given."""
    import ray

    return int(ray.get_gpu_ids()[0])


_backends: dict[tuple[str, str, int | None], tuple[Sandbox, str]] = {}


def _backend(track: Track, sandbox: str, gpu: int | None) -> tuple[Sandbox, str]:
    """Return the sandbox and the line about it, chosen once per process."""
    from unlearn_bench.harness.units.sandbox_choice import choose_sandbox

    key = (track.reference_digest, sandbox, gpu)
    if key not in _backends:
        _backends[key] = choose_sandbox(track, sandbox, gpu)
    return _backends[key]
