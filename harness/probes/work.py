"""Probes of many models, side by side in processes; one that takes too long is stopped, and the others stand."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from typing import Any

from safetensors.numpy import save

from unlearn_bench.harness.probes.context import ProbeContext, model_of, seed_context
from unlearn_bench.harness.probes.panel import Arrays, InvalidProbe, Probe, named
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import RoleKind
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support import device_locks, workers
from unlearn_bench.harness.support.device_locks import DeviceLocks
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.hardware import require_linux
from unlearn_bench.harness.support.lifeline import end_with
from unlearn_bench.harness.tracks.specification import Track
from unlearn_bench.harness.units import unlearned_weights


@dataclass(frozen=True)
class ProbedSubject:
    """A model to look at: the unlearned one of the unit ``key``, or a reference model in its place."""

    seed: int
    key: str = ""
    kind: RoleKind | None = None
    """Of a reference model; ``None`` for an unlearned one."""


@dataclass(frozen=True)
class Task:
    """What is to be done for one model: probes by name, or the paths of a user's own files."""

    subject: ProbedSubject
    probes: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """What one probe found of one model."""

    arrays: Arrays
    numbers: dict[str, float]
    cpu_seconds: float | None = None
    fault: str = ""
    """Why it has no numbers; empty where it has."""


def side_by_side(
    references: References, tasks: Sequence[Task], device: str, deadline: float
) -> Iterator[tuple[Task, dict[str, Found]]]:
    """Run the probes of every task; yield each with what was found, by the probe's name, in any order.

    Args:
        references: of the track; other processes read them again from the user's store.
        tasks: what to do.
        device: ``cpu``: a process per core; otherwise one process on that CUDA device.
        deadline: seconds that one probe may take for one model.

    Raises:
        BenchError: a process ended before it began, or could not read the track.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Task, dict[str, Found]] | BaseException] = queue.SimpleQueue()
    for task in tasks:
        waiting.put(task)
    require_linux("probing models")
    count = min(len(os.sched_getaffinity(0)), len(tasks)) if device == "cpu" else min(1, len(tasks))
    stop = threading.Event()
    processes = [_Process(references.track, device, deadline, stop) for _ in range(count)]

    def follow(process: _Process) -> None:
        try:
            while True:
                task = waiting.get_nowait()
                done.put((task, process.run(task)))
        except (queue.Empty, _Stopped):
            pass
        except BaseException as error:
            done.put(error)
        finally:
            process.close()

    for number, process in enumerate(processes):
        threading.Thread(target=follow, args=(process,), name=f"probes-{number}", daemon=True).start()
    try:
        for _ in tasks:
            outcome = done.get()
            if isinstance(outcome, BaseException):
                raise outcome
            yield outcome
    finally:
        stop.set()
        for process in processes:
            process.kill()


class _Stopped(Exception):
    """Raised in a thread whose command no longer waits for results."""


class _Process:
    """A process that probes one model at a time. It is replaced where a probe took too long or ended it."""

    def __init__(self, track: Track, device: str, deadline: float, stop: threading.Event) -> None:
        self._arguments, self._deadline, self._stop = (track, device), deadline, stop
        self._lock = threading.Lock()
        self._process: Any = None
        self._connection: Connection | None = None

    def run(self, task: Task) -> dict[str, Found]:
        """Return what the probes of a task found, by name; a fault where one was stopped, or ended the process."""
        found: dict[str, Found] = {}
        while left := [name for name in task.probes if name not in found]:
            connection = self._connected()
            connection.send(replace(task, probes=tuple(left)))
            for name in left:
                outcome = self._received(connection)
                found[name] = outcome
                if self._connection is None:  # a new process does what is left
                    break
        return found

    def _received(self, connection: Connection) -> Found:
        try:
            connection.recv()  # it begins: what it waited for a unit on the clock does not count
            if connection.poll(self._deadline):
                outcome: Found = connection.recv()
                return outcome
            fault = f"took longer than {self._deadline:g} s"
        except EOFError:
            fault = "ended its process (usually by lack of memory)"
        self.close()
        return Found({}, {}, fault=fault)

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self._started()
            try:
                error = self._connection.recv()
            except EOFError:
                if self._stop.is_set():
                    raise _Stopped from None
                what = "a process for probes ended before it began (usually by lack of memory)"
                remedy = "free memory, then run the same command again: it resumes where it stopped"
                error = BenchError(what, "this machine", remedy, EXIT_CODES["infra"])
            if error is not None:
                raise error
        return self._connection

    def _started(self) -> Connection:
        context = workers.WorkerContext()
        connection, other = context.Pipe()
        with self._lock, other:
            if self._stop.is_set():
                raise _Stopped
            self._process = context.Process(target=_serve, args=(os.getpid(), other, *self._arguments), daemon=True)
            self._process.start()
        return connection

    def kill(self) -> None:
        """End the process from another thread; the one that follows it notices."""
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def close(self) -> None:
        """End the process."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._process.kill()
            self._process.join()
            connection.close()


def _serve(parent: int, connection: Connection, track: Track, device: str) -> None:
    """Answer tasks in a process of its own: first that it has begun, then for each task one answer per probe."""
    end_with(parent)
    try:
        look = _Look(References(track, Store()), device)
    except Exception as error:
        connection.send(error)
        return
    connection.send(None)
    while True:
        try:
            task: Task = connection.recv()
        except EOFError:
            return
        for name in task.probes:
            connection.send(look.at(task.subject, name, lambda: connection.send(None)))


class _Look:
    """The models and data of one process."""

    def __init__(self, references: References, device: str) -> None:
        import torch

        torch.set_num_threads(1)
        self._references, self._device = references, device
        cores = device_locks.cores(sorted(os.sched_getaffinity(0)))
        self._places = cores if device == "cpu" else (device_locks.gpu(device),)
        self._probes: dict[str, Probe] = {}
        self._base: ProbeContext | None = None
        self._seed = -1
        self._last: tuple[ProbedSubject, ProbeContext] | None = None
        _ = references.examples.dataset  # the first probe must not pay for loading it

    def at(self, subject: ProbedSubject, name: str, begin: Callable[[], None]) -> Found:
        """Return what a probe finds of a model, after a call of ``begin``; not while a timed unit is on the clock."""
        probe = self._probes.setdefault(name, named(name))
        with DeviceLocks(self._places).hold():
            context = self._context(subject)
            begin()
            start = time.process_time()
            try:
                measurement = probe.measure(context)
            except InvalidProbe as error:
                if error.changed:
                    self._base = self._last = None
                return Found({}, {}, time.process_time() - start, str(error))
            return Found(measurement.arrays, measurement.numbers, time.process_time() - start)

    def _context(self, subject: ProbedSubject) -> ProbeContext:
        if self._last is not None and self._last[0] == subject:
            return self._last[1]
        if self._base is None or self._seed != subject.seed:
            self._base, self._seed = seed_context(self._references, subject.seed, self._device), subject.seed
        self._last = subject, self._under_test(self._base, subject)
        return self._last[1]

    def _under_test(self, base: ProbeContext, subject: ProbedSubject) -> ProbeContext:
        if subject.kind is not None:
            kinds = {"original": base.of_original, "retrained": base.of_retrained, "null": base.of_null}
            return kinds[subject.kind]()
        weights = unlearned_weights.read(self._references.store, self._references.track, subject.key)
        assert weights is not None
        return replace(base, model=model_of(self._references, save(weights), self._device))
