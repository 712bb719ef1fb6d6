"""Processes that begin with torch imported: forked from a server, where the product starts a fresh Python each time.

A test whose subject is not how a process starts saves the seconds that imports take. What runs in the process is the
product's own: the runner of a unit and the host's conversation with it, or the work of a pool.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import selectors
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from threading import Event
from typing import Any, Literal

import pytest

from unlearn_bench.harness.support import workers
from unlearn_bench.harness.support.lifeline import end_with
from unlearn_bench.sandbox import child, names, procfs
from unlearn_bench.sandbox.backends import process
from unlearn_bench.sandbox.backends.process import Process
from unlearn_bench.sandbox.inside import models, runner
from unlearn_bench.sandbox.session import conduct
from unlearn_bench.sandbox.stage import owned, staged
from unlearn_bench.sandbox.types import Chunk, Exit, Job, Limits, Outcome

CHUNK = 64 * 1024
Streams = tuple[Connection, Connection, Connection, Connection]
"""Commands, channel, log and exit code of a unit: the ends of one side."""


def install(patch: pytest.MonkeyPatch) -> None:
    """Let the units of ``process`` and the workers of pools be forked while ``patch`` lasts."""
    patch.setattr(process, "create", WarmUnits)
    patch.setattr(workers, "WorkerContext", get_context)


class WarmProcess(ForkServerProcess):
    """A process with the environment, and for what it can tell the parent, that a spawned one would have."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.variables, self._starter = dict(os.environ), os.getpid()

    def run(self) -> None:
        os.environ.clear()
        os.environ.update(self.variables)
        me, real = os.getpid(), os.getppid
        os.getppid = lambda: self._starter if os.getpid() == me else real()
        forkserver._forkserver.ensure_running = lambda: None  # what this process starts is forked from the same server
        super().run()


class WarmContext(ForkServerContext):
    Process = WarmProcess


def get_context(method: str = "spawn") -> Any:
    """Stand in for ``multiprocessing.get_context``: what would be spawned is forked from a server with torch."""
    if method != "spawn":
        return multiprocessing.get_context(method)
    forkserver.set_forkserver_preload(["tests.harness.preloaded"])
    return WarmContext()


class WarmUnits(Process):
    """The back end ``process``, whose units are forked and keep this process's user."""

    def run(self, job: Job, clock: AbstractContextManager[Any], stop: Event | None = None) -> Outcome:
        environment = {"backend": self.name, "trusted": self.trusted}
        with staged(job) as folder, owned() as scratch, _started(job, folder, scratch) as unit:
            return conduct(job, models.layout(job.model), unit, clock, environment, stop)


@contextmanager
def _started(job: Job, folder: Path, scratch: Path) -> Iterator[WarmUnit]:
    context = get_context()
    go, commands = context.Pipe(duplex=False)
    (channel, output), (log, errors), (ended, ending) = (context.Pipe(duplex=False) for _ in range(3))
    inside = (go, output, errors, ending)
    variables = child.variables(job.threads, str(folder), str(scratch))
    leader = context.Process(target=_lead, args=(inside, folder, scratch, variables, job.cpus, job.limits))
    leader.start()
    for stream in inside:
        stream.close()
    with commands, channel, log, ended:
        unit = WarmUnit(leader, (commands, channel, log, ended), job.limits)
        try:
            yield unit
        finally:
            unit.stop(grace=0)


def _lead(streams: Streams, *work: Any) -> None:
    """Fork the unit, tell the host its exit code, and leave it a zombie, whose times can be read, until all end."""
    os.setsid()
    pid = os.fork()
    if pid == 0:
        _work(streams, *work)
    for stream in streams[:3]:
        stream.close()
    end = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert end is not None
    streams[3].send(end.si_status if end.si_code == os.CLD_EXITED else -end.si_status)
    signal.pause()


def _work(
    streams: Streams, folder: Path, scratch: Path, variables: dict[str, str], cpus: tuple[int, ...], limits: Limits
) -> None:
    """Become the unit: what ``launch`` and the command line of the runner do for a fresh process."""
    end_with()
    streams[3].close()
    for target, stream in enumerate(streams[:3]):
        os.dup2(stream.fileno(), target)
        stream.close()
    os.environ.clear()
    os.environ.update(variables)
    sys.dont_write_bytecode = bool(variables.get("PYTHONDONTWRITEBYTECODE"))
    os.chdir(scratch)
    os.sched_setaffinity(0, cpus or os.sched_getaffinity(0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (limits.scratch, limits.scratch))
    resource.setrlimit(resource.RLIMIT_DATA, (limits.memory + child.RESERVED, limits.memory + child.RESERVED))
    sys.argv[:] = [str(runner.__file__), str(folder)]
    names.provide()
    runner.main(folder)


class WarmUnit:
    """A forked unit and what it started, one session: a ``sandbox.types.RunningSandbox``."""

    def __init__(self, leader: WarmProcess, streams: Streams, limits: Limits) -> None:
        assert leader.pid is not None
        self._leader, self._session, self._limits = leader, leader.pid, limits
        self._commands, channel, self._log, self._ended = streams
        self._selector = selectors.DefaultSelector()
        sources: list[tuple[Connection, Literal["channel", "log"]]] = [(channel, "channel"), (self._log, "log")]
        for stream, source in sources:
            os.set_blocking(stream.fileno(), False)
            self._selector.register(stream.fileno(), selectors.EVENT_READ, source)
        self._open = True
        self._peak = 0
        self._exit: Exit | None = None

    def receive(self, timeout: float) -> list[Chunk] | None:
        if not self._open:
            return None
        chunks: list[Chunk] = []
        ready = self._selector.select(timeout)
        for key, _ in ready:
            data = os.read(key.fd, CHUNK)
            if data:
                chunks.append((key.data, data))
            else:
                self._selector.unregister(key.fd)
                self._open = self._open and key.data != "channel"
        if not ready and self._ended.poll():
            self._open = False
        return chunks

    def send(self, data: bytes) -> None:
        os.write(self._commands.fileno(), data)

    def cpu_seconds(self) -> float:
        return sum(member.cpu_seconds for member in procfs.members(self._session))

    def over_memory(self) -> bool:
        used = sum(procfs.proportional(member.pid) for member in procfs.members(self._session))
        self._peak = max(self._peak, used)
        return used > self._limits.memory

    def stop(self, grace: float) -> Exit:
        if self._exit is None:
            code = self._ended.recv() if self._ended.poll(grace) else None
            self._peak = max([self._peak, *(procfs.peak(member.pid) for member in procfs.members(self._session))])
            while alive := self._alive():
                for pid in alive:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                time.sleep(0.001)
            self._leader.join()
            self._selector.close()
            self._exit = Exit(code, peak_memory=self._peak, log=self._rest())
        return self._exit

    def _alive(self) -> set[int]:
        """Return the processes of the unit; its leader is one before it has begun the session."""
        members = {member.pid for member in procfs.members(self._session) if member.alive}
        return members | {self._session} if self._leader.is_alive() else members

    def _rest(self) -> bytes:
        rest = bytearray()
        with suppress(BlockingIOError):
            while len(rest) < 16 * CHUNK and (data := os.read(self._log.fileno(), CHUNK)):
                rest += data
        return bytes(rest)
