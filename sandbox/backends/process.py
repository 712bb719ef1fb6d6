"""A plain subprocess with resource limits: a crash barrier for one's own code, **not** a sandbox.

It keeps nothing away from the code that it runs: files, network and other processes of the same user are in its reach.
"""

from __future__ import annotations

import importlib.util
import os
import resource
import selectors
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from sandbox import procfs
from sandbox.session import Chunk, Exit, conduct
from sandbox.stage import owned, reap, staged
from sandbox.types import MIB, Job, Limits, Outcome

CHUNK = 64 * 1024
LONGEST_PARENT = 42
"""DataLoader workers pass tensors through sockets in the scratch folder, whose whole paths may have 108 characters."""
RESERVED = 1024 * MIB
"""Address space that torch reserves without touching it: what may lie between the memory limit and ``RLIMIT_DATA``."""


class Process:
    """Back end ``process``."""

    name = "process"
    trusted = False

    def unavailable(self, model: Mapping[str, Any], device: str) -> str | None:
        """Why such a job cannot run here, with the remedy after a semicolon."""
        from sandbox.inside.models import NEEDS

        if sys.platform != "linux":
            return "the process back end needs Linux; use docker"
        missing = [package for package in NEEDS[model["name"]] if importlib.util.find_spec(package) is None]
        if missing:
            return f"the model needs {' and '.join(missing)}; pip install {' '.join(missing)}"
        if device != "cpu":
            import torch

            if int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
                return f"torch sees no GPU {device}; check the driver with nvidia-smi, or use the CPU"
        return None

    def run(self, job: Job, clock: AbstractContextManager[Any], stop: threading.Event | None = None) -> Outcome:
        """Run one job; see ``sandbox.session.conduct``."""
        from sandbox.inside import models

        environment = {"backend": self.name, "trusted": self.trusted}
        reason = self.unavailable(job.model, job.device)
        if reason:
            return Outcome("infra", reason, environment=environment)
        try:
            with staged(job) as stage, _scratch() as scratch, _started(job, stage, scratch) as box:
                return conduct(job, models.layout(job.model), box, clock, environment, stop)
        except OSError as error:
            return Outcome("infra", f"the process could not be run: {error}", environment=environment)

    def reap(self) -> int:
        """Remove folders whose harness is dead; a runner ends by itself when its harness does."""
        return len(reap())


class _Box:
    """A running subprocess, leader of its own session."""

    def __init__(self, popen: subprocess.Popen[bytes], limits: Limits) -> None:
        assert popen.stdin and popen.stdout and popen.stderr
        self._popen, self._limits = popen, limits
        self._stdin, self._log = popen.stdin.fileno(), popen.stderr.fileno()
        self._selector = selectors.DefaultSelector()
        self._open = True
        self._peak = 0
        self._exit: Exit | None = None
        streams: list[tuple[int, Literal["channel", "log"]]] = [(popen.stdout.fileno(), "channel"), (self._log, "log")]
        for fd, source in streams:
            os.set_blocking(fd, False)
            self._selector.register(fd, selectors.EVENT_READ, source)

    def receive(self, timeout: float) -> list[Chunk] | None:
        if not self._open:
            return None
        chunks: list[Chunk] = []
        ready = self._selector.select(timeout)
        for key, _ in ready:
            data = os.read(key.fd, CHUNK)
            if data:
                chunks.append((key.data, data))
                continue
            self._selector.unregister(key.fd)
            if key.data == "channel":
                self._open = False
        # a child of a finished entry may hold the channel open for ever
        if not ready and self._ended():
            self._open = False
        return chunks

    def send(self, data: bytes) -> None:
        os.write(self._stdin, data)

    def cpu_seconds(self) -> float | None:
        return sum(member.cpu_seconds for member in procfs.members(self._popen.pid))

    def over_memory(self) -> bool:
        members = procfs.members(self._popen.pid)
        used = sum(member.resident for member in members)
        if used > self._limits.memory and len(members) > 1:  # pages shared by workers were counted several times
            used = sum(procfs.proportional(member.pid) for member in members)
        self._peak = max(self._peak, used)
        return used > self._limits.memory

    def stop(self, grace: float) -> Exit:
        if self._exit is not None:
            return self._exit
        patience = time.monotonic() + grace
        while not self._ended() and time.monotonic() < patience:
            time.sleep(0.01)
        by_itself = self._ended()
        self._peak = max(self._peak, procfs.peak(self._popen.pid))
        while alive := [member.pid for member in procfs.members(self._popen.pid) if member.alive]:
            for pid in alive:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.001)
        code = self._popen.wait()
        self._exit = Exit(code if by_itself else None, peak_memory=self._peak or None, log=self._rest())
        return self._exit

    def close(self) -> None:
        self.stop(grace=0)
        self._selector.close()

    def _ended(self) -> bool:
        # the leader stays a zombie until stop() has read its times and killed its session
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._popen.pid, options) is not None

    def _rest(self) -> bytes:
        rest = bytearray()
        with suppress(BlockingIOError):
            while len(rest) < 16 * CHUNK and (data := os.read(self._log, CHUNK)):
                rest += data
        return bytes(rest)


def _scratch() -> AbstractContextManager[Path]:
    return owned(None if len(tempfile.gettempdir()) <= LONGEST_PARENT else "/tmp")


@contextmanager
def _started(job: Job, stage: Path, scratch: Path) -> Iterator[_Box]:
    command = [sys.executable, "-P", "-X", "faulthandler", "-m", "sandbox.inside.runner", str(stage)]
    with _pinned(job.cpus):
        popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=scratch,
            env=_environment(job, stage, scratch),
            start_new_session=True,
        )
    with popen:
        box = _Box(popen, job.limits)
        try:
            for which, limit in _limits(job).items():
                resource.prlimit(popen.pid, which, (limit, limit))
            yield box
        finally:
            box.close()


@contextmanager
def _pinned(cpus: tuple[int, ...]) -> Iterator[None]:
    """Restrict the calling thread to ``cpus``; what it starts inherits that before it runs its first instruction."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _limits(job: Job) -> dict[int, int]:
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: job.limits.scratch, resource.RLIMIT_NOFILE: 4096}
    if job.device == "cpu":  # a CUDA context maps the GPU's memory as data
        limits[resource.RLIMIT_DATA] = job.limits.memory + RESERVED
    for which, limit in limits.items():
        hard = resource.getrlimit(which)[1]
        limits[which] = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    return limits


def _environment(job: Job, stage: Path, scratch: Path) -> dict[str, str]:
    variables = {
        "PATH": os.defpath,
        "HOME": str(scratch),
        "TMPDIR": str(scratch),
        "PYTHONPATH": str(stage / "lib"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": str(job.threads),
        "CUDA_VISIBLE_DEVICES": "",
    }
    if job.device != "cpu":
        index = int(job.device.partition(":")[2] or 0)
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        variables["CUDA_VISIBLE_DEVICES"] = visible.split(",")[index] if visible else str(index)
        if "LD_LIBRARY_PATH" in os.environ:
            variables["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return variables


def create() -> Process:
    """The back end, for ``sandbox.backends.load``."""
    return Process()
