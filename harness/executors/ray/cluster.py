"""The executor ``ray``: what one command runs, on the nodes of a Ray cluster.

A node gets what a unit needs, the data set and the model that it starts from, through Ray's object store: nodes share
no folder, and only the driver writes to the store, each result as soon as it arrives. What is lost with a node or a
worker runs again. All timed units of one command run on one node, with Retrain's time measured there, because speeds of
different machines cannot be compared; untimed units and trainings run everywhere.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from unlearn_bench.harness.entries.entry import Entry
from unlearn_bench.harness.executors import RunOptions
from unlearn_bench.harness.executors.ray import head, node
from unlearn_bench.harness.executors.ray.counter import counting
from unlearn_bench.harness.executors.ray.node import Node, Parcel
from unlearn_bench.harness.executors.ray.private import redirect_messages
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.training import compilation
from unlearn_bench.harness.units.runner import Runner, U, UntimedResult
from unlearn_bench.harness.units.sandbox_runner import SandboxRunner
from unlearn_bench.harness.units.slots import Slot, run_in_slots
from unlearn_bench.harness.units.unit_kinds import Unit
from unlearn_bench.harness.units.unit_run import UnitContext
from unlearn_bench.sandbox.types import Outcome, Sandbox

if TYPE_CHECKING:
    from unlearn_bench.harness.training.plan import TrainingPlan
    from unlearn_bench.harness.training.task import TrainedModel

logger = logging.getLogger(__name__)

RETRIES = 3
"""How many times a call that was lost with its node or worker is repeated."""
PER_GPU = 2
"""Untimed units that share a GPU."""
POLL = 0.5


class CallCancelled(Exception):
    """A call on a node was cancelled, because the command ends."""


@dataclass(frozen=True)
class Elsewhere:
    """Stands for the sandbox that the nodes have."""

    name: str
    trusted: bool


class Cluster:
    """A Ray cluster: the one at the address of ``options`` or ``RAY_ADDRESS``, else one on this machine.

    See :class:`harness.executors.Executor`.
    """

    def __init__(self, options: RunOptions) -> None:
        try:
            import ray
        except ImportError:
            remedy = "pip install 'unlearn-bench[ray]', or do without --executor ray"
            raise BenchError("Ray is not installed", "this machine", remedy, EXIT_CODES["infra"]) from None
        address = options.address or os.environ.get("RAY_ADDRESS", "")
        named = address not in ("", "auto")
        if named:
            head.reach(address)
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        environment = {"RAY_EXPERIMENTAL_NOSET_CUDA_VISIBLE_DEVICES": "1"}  # GPUs keep the numbers of their host
        cluster: dict[str, Any] = {"address": address} if address else {"include_dashboard": False, "address": "local"}
        if not address:
            cluster["num_cpus"] = len(os.sched_getaffinity(0))
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, runtime_env={"env_vars": environment}, **cluster)
            self._pulse = head.Pulse(address if named else ray.get_runtime_context().gcs_address)
        except (Exception, SystemExit) as error:
            raise head.unreachable(address or "this machine", str(error).split("\n")[0][:200]) from None
        redirect_messages(lambda text: logger.info("%s", text))
        self._ray, self._sandbox, self._gpu = ray, options.sandbox, options.gpu is not None
        self._code = node.code()
        self._object_references: dict[object, Any] = {}
        self._lock = threading.Lock()
        self._deserted = False
        self._slots: list[Slot] = []

    def close(self) -> None:
        """Leave the cluster; one that was started on this machine ends."""
        self._ray.shutdown()

    def nodes(self) -> list[dict[str, Any]]:
        """Return the living nodes, the one of this process first."""
        own_id = self._ray.get_runtime_context().get_node_id()
        alive = [info for info in self._ray.nodes() if info["Alive"]]
        return sorted(alive, key=lambda info: (info["NodeID"] != own_id, info["NodeManagerHostname"], info["NodeID"]))

    def at_once(self, gpu: bool) -> int:
        """Return how many untimed units, or trainings, run side by side.

        Raises:
            BenchError: a GPU is asked for, and no node has one.
        """
        resources = self._ray.cluster_resources()
        count = int(resources.get("GPU", 0)) * PER_GPU if gpu else int(resources.get("CPU", 0))
        if not count:
            what = f"no node of the cluster offers a {'GPU' if gpu else 'CPU'} to Ray"
            raise BenchError(what, "this machine", "see `ray status`; do without --gpu", EXIT_CODES["infra"])
        return count

    def trainings(self, gpu: bool) -> int:
        """Return how many tasks of reference models run side by side: one on each core, or on each GPU.

        Raises:
            BenchError: as :meth:`at_once`.
        """
        return self.at_once(gpu) // (PER_GPU if gpu else 1)

    def train(
        self, references: References, plan: TrainingPlan, on_progress: Callable[[int], None]
    ) -> Generator[list[TrainedModel]]:
        """Train a plan's tasks on all nodes, on their GPUs where the plan is for GPUs; yields each task's models."""
        gpu = bool(plan.devices)
        self._check(references.track, None, False)
        stop = threading.Event()
        each = plan.seconds * plan.workers / len(plan.tasks)
        compiled = plan.compiled and each > compilation.WORTH  # a task's process compiles for itself

        def work(task: tuple[Role, ...], slot: Slot) -> list[TrainedModel]:
            flight = (plan.in_flight, compiled) if gpu else None
            arguments = (references.track, task, flight, self._dataset(references), counter)
            what = f"the training of {task[0].name}"
            trained: list[TrainedModel] = self._call(node.train, arguments, stop, what, gpus=float(gpu))
            return trained

        with counting(self._ray, on_progress, plan.epochs - plan.done) as counter:
            for _, trained in run_in_slots(plan.tasks, [Slot()] * self.trainings(gpu), work, stop):
                yield trained

    def timed(self, track: Track, open_references: Callable[[], References]) -> tuple[UnitContext, str]:
        """Prepare timed units on one node."""
        return self._in_sandboxes(open_references())

    def slots(self, store: Store) -> Sequence[Slot]:
        """Return a slot per timed unit that the node takes at a time."""
        return self._slots

    def _in_sandboxes(self, references: References) -> tuple[UnitContext, str]:
        """Return what units in sandboxes share, and one line on which sandbox it is."""
        sandbox, gpu = self._sandbox, self._gpu
        alive = [info for info in self.nodes() if info["Resources"].get("GPU", 0) >= 1 or not gpu]
        alive = [info for info in alive if info["Resources"].get("CPU", 0) >= 1]
        if not alive:
            self.at_once(gpu)
            raise BenchError("no node has a CPU and a GPU", "this machine", "see `ray status`", EXIT_CODES["infra"])
        descriptions = self._check(references.track, sandbox, gpu, alive)
        timed_node_id, first = alive[0]["NodeID"], descriptions[0]
        if other := next((each for each in descriptions if each.backend != first.backend), None):
            what = f"node {first.host} has the sandbox {first.backend}, node {other.host} {other.backend}"
            raise BenchError(what, "this machine", "name one that all nodes have: --sandbox", EXIT_CODES["infra"])
        free_slots: queue.SimpleQueue[Slot] = queue.SimpleQueue()
        for free_slot in first.slots:
            free_slots.put(free_slot)

        def run(
            unit: Unit, slot: Slot, deadline: float, bench: UnitContext
        ) -> tuple[NDArray[np.float32] | None, Outcome]:
            node_slot = free_slots.get() if slot.timed else None
            try:
                unit_arguments = (bench.run_id, sandbox, unit, deadline, node_slot, gpu)
                share = (1.0 if slot.timed else 1 / PER_GPU) if gpu else 0.0
                arguments = (*unit_arguments, self._dataset(references), self._weights(references, unit.original))
                result: tuple[NDArray[np.float32] | None, Outcome] = self._call(
                    node.sandboxed,
                    arguments,
                    bench.stop,
                    unit.description,
                    timed_node_id if slot.timed else None,
                    share,
                )
                return result
            finally:
                if node_slot is not None:
                    free_slots.put(node_slot)

        backend = cast(Sandbox, Elsewhere(first.backend, all(each.trusted for each in descriptions)))
        self._slots = [Slot(timed=True)] * len(first.slots)
        context = UnitContext(references, backend, os.urandom(8).hex(), hardware=dict(first.hardware), elsewhere=run)
        return context, f"{first.line}; on {len(descriptions)} nodes, timed units on {first.host}"

    def untimed(self, references: References, entries: Sequence[Entry]) -> tuple[AbstractContextManager[Runner], str]:
        """Run shipped methods in worker processes of all nodes, and all others in their sandboxes."""
        count = self.at_once(self._gpu)
        if self._sandbox == "auto" and not self._gpu and all(entry.kind != "entry" for entry in entries):
            self._check(references.track, None, False)
            return nullcontext(Spread(self, references, count)), (
                f"untimed units of shipped methods: in worker processes on {len(self.nodes())} nodes, without a sandbox"
            )
        context, line = self._in_sandboxes(references)
        return nullcontext(SandboxRunner(context, slots=[Slot()] * count)), line

    def direct(self, references: References, unit: Unit, deadline: float, stop: threading.Event) -> UntimedResult:
        """Run one untimed unit of a shipped method."""
        arguments = (unit, deadline, self._dataset(references), self._weights(references, unit.original))
        result: UntimedResult = self._call(node.direct, arguments, stop, unit.description)
        return result

    def _check(
        self, track: Track, sandbox: str | None, gpu: bool, nodes: Sequence[dict[str, Any]] | None = None
    ) -> list[Node]:
        """Ask these nodes, or all, to describe themselves; return the descriptions in the same order."""
        alive = [info for info in nodes or self.nodes() if info["Resources"].get("CPU", 0) >= 1]

        stop = threading.Event()

        def ask(info: dict[str, Any]) -> Node:
            gpus = int(info["Resources"].get("GPU", 0)) if gpu else 0
            what = f"a look at node {info['NodeManagerHostname']}"
            arguments = (track, sandbox, gpus)
            share = min(gpus, 1) / PER_GPU
            description: Node = self._call(node.describe, arguments, stop, what, info["NodeID"], share)
            return description

        with ThreadPoolExecutor(len(alive) or 1) as pool:
            try:
                return list(pool.map(ask, alive))
            except BaseException:
                stop.set()
                raise

    def _call(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        stop: threading.Event,
        what: str,
        where: str | None = None,
        gpus: float = 0.0,
    ) -> Any:
        """Run a function on a node (``where``, or any) and wait for it; repeat it if its worker or node is lost.

        Raises:
            BenchError: the call was lost too often, or the head is lost; or what the function raises.
            CallCancelled: ``stop`` was set.
        """
        from ray.exceptions import RayError, RayTaskError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        strategy = "SPREAD" if where is None else NodeAffinitySchedulingStrategy(where, soft=False)
        remote = self._ray.remote(function).options(
            num_cpus=1, num_gpus=gpus, max_retries=0, scheduling_strategy=strategy
        )
        lost = 0
        while True:
            task = remote.remote(self._code, *arguments)
            try:
                while not self._ray.wait([task], timeout=POLL)[0]:
                    if stop.is_set():
                        self._ray.cancel(task, force=True)
                        raise CallCancelled
                    self._watch("GPU" if gpus else "CPU")
                return self._ray.get(task)
            except RayTaskError as error:
                raise _cause(error) from None
            except RayError as error:
                lost += 1
                if lost > RETRIES:
                    raise BenchError(
                        f"{what} was lost {lost} times with its node or worker: {str(error).split(chr(10))[0][:200]}",
                        "this machine",
                        "see `ray status`, then run the same command again: what was finished is kept",
                        EXIT_CODES["infra"],
                    ) from None
                logger.warning("%s was lost with its node or worker and runs again", what)

    def _watch(self, kind: str) -> None:
        """Check the cluster from time to time, and log when no node with a ``kind`` is left; new ones may join.

        Raises:
            BenchError: its head is lost.
        """
        if not self._pulse.check():
            return
        deserted = not any(info["Resources"].get(kind, 0) >= 1 for info in self.nodes())
        if deserted != self._deserted:
            self._deserted = deserted
            if deserted:
                logger.warning("no node of the cluster offers a %s any more: waiting for one", kind)
            else:
                logger.info("a node of the cluster offers a %s again", kind)

    def _dataset(self, references: References) -> Any:
        return self._put(references.track.reference_digest, lambda: Parcel.of(references))

    def _weights(self, references: References, role: Role) -> Any:
        return self._put((references.track.reference_digest, role), lambda: references.weights(role))

    def _put(self, key: object, make: Callable[[], Any]) -> Any:
        """Return a reference to something in the object store, which every node fetches once."""
        with self._lock:
            if key not in self._object_references:
                self._object_references[key] = self._ray.put(make())
            return self._object_references[key]


class Spread:
    """Runs untimed units of shipped methods in worker processes of all nodes. A ``Runner``."""

    backend = "workers"
    trusted = True
    overhead = 0.2

    def __init__(self, cluster: Cluster, references: References, at_once: int) -> None:
        self._cluster, self._references, self.at_once = cluster, references, at_once

    def run(self, units: Sequence[U], deadline: float) -> Iterator[tuple[U, UntimedResult]]:
        """Run units; see :class:`harness.units.runner.Runner`."""
        stop = threading.Event()

        def work(unit: Unit, slot: Slot) -> UntimedResult:
            return self._cluster.direct(self._references, unit, deadline, stop)

        yield from run_in_slots(units, [Slot()] * self.at_once, work, stop)


def _cause(error: Any) -> Exception:
    """Return what a function raised on its node."""
    cause = getattr(error, "cause", None)
    text = str(error)
    if "No module named" in text or isinstance(cause, ImportError):
        what = "a node cannot import the benchmark: " + text.strip().split("\n")[-1][:200]
        remedy = "install the same version everywhere, for example by one image for all nodes"
        return BenchError(what, "this machine", remedy, EXIT_CODES["infra"])
    return cause if isinstance(cause, Exception) else error
