"""A unit as a process of this machine: what the back ends without an engine have in common."""

from __future__ import annotations

import functools
import json
import os
import resource
import selectors
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from unlearn_bench.sandbox import procfs
from unlearn_bench.sandbox.family import Family, own_user
from unlearn_bench.sandbox.session import conduct
from unlearn_bench.sandbox.stage import owned, staged
from unlearn_bench.sandbox.types import MIB, Chunk, Exit, Job, Limits, Outcome, Sandbox

LAUNCH = Path(__file__).with_name("launch.py")
CHUNK = 64 * 1024
LONGEST_PARENT = 38
"""DataLoader workers pass tensors through sockets in the scratch folder, whose whole paths may have 108 characters."""
RESERVED = 1024 * MIB
"""Address space that torch reserves without using it: ``RLIMIT_DATA`` is the memory limit plus this."""


@dataclass(frozen=True)
class ChildSpec:
    """What to start for a job, and which processes belong to it afterwards."""

    command: Sequence[str]
    environment: Mapping[str, str]
    folder: Path
    """The working folder."""
    reach: Sequence[Path]
    """Further folders than the interpreter's that the unit's user must be able to reach."""
    family: Family


def interpreter() -> str:
    """Return this Python as a path whose folder is no link: how a virtual environment is recognised."""
    path = Path(sys.executable)
    return str(path.parent.resolve() / path.name)


def folders() -> list[Path]:
    """Return the folders of this Python and its packages."""
    paths = sysconfig.get_paths()
    prefixes = {sys.base_prefix, sys.prefix, paths["stdlib"], paths["purelib"], paths["platlib"]}
    return sorted({Path(path).resolve() for path in prefixes})


def runner(stage: str) -> list[str]:
    """Return the command that runs the unit staged in a folder."""
    return [interpreter(), "-P", "-X", "faulthandler", "-m", "sandbox.inside.runner", stage]


def variables(threads: int, stage: str, scratch: str) -> dict[str, str]:
    """Return the whole environment of a unit on the CPU."""
    return {
        "PATH": os.defpath,
        "HOME": scratch,
        "LOGNAME": "entry",  # the user has no name of its own, and some versions of torch ask for one
        "TMPDIR": scratch,
        "PYTHONPATH": f"{stage}/lib",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "0",
        "OMP_NUM_THREADS": str(threads),
        "CUDA_VISIBLE_DEVICES": "",
    }


@functools.cache
def unreachable() -> str | None:
    """Return why units cannot use this Python, with the remedy after a semicolon: root starts them as another user."""
    if sys.platform != "linux":
        return "units run as processes on Linux only; use docker"
    with own_user() as user:
        import_test = tried([interpreter(), "-P", "-c", "import safetensors"], user)
    if import_test.returncode == 0:
        return None
    error = (import_test.stderr.strip().splitlines() or [f"exit code {import_test.returncode}"])[-1]
    if user is None:
        return f"{interpreter()} does not start: {error[:200]}; install the benchmark again"
    return (
        f"as root units run as user {user}, which cannot use {interpreter()} ({error[:200]}); put the Python and its "
        f"packages where every user may read them, run as an ordinary user, or use docker"
    )


def tried(command: Sequence[str], user: int | None, reach: Sequence[Path] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command as a unit's user, to see whether that is possible."""
    launched = _launched(command, user, (), {}, reach)
    return subprocess.run(launched, capture_output=True, text=True, env={"PATH": os.defpath}, cwd="/")


@contextmanager
def scratch(user: int | None) -> Iterator[Path]:
    """Yield a fresh writable folder of the unit's user; it is removed afterwards."""
    with owned(None if len(tempfile.gettempdir()) <= LONGEST_PARENT else "/tmp") as parent:
        folder = parent / "tmp"
        folder.mkdir(mode=0o700)
        if user is not None:
            os.chown(folder, user, user)
        yield folder.resolve()


def run(
    backend: Sandbox,
    job: Job,
    start: Callable[[Job, Path], AbstractContextManager[RunningChild]],
    clock: AbstractContextManager[Any],
    stop: threading.Event | None,
) -> Outcome:
    """Run one job of a back end, whose ``start`` gets the folder where the job is staged; see ``session.conduct``."""
    from unlearn_bench.sandbox.inside import models

    environment = {"backend": backend.name, "trusted": backend.trusted}
    if reason := backend.unavailable(job.model, job.device) or _unmet(job.requirements):
        return Outcome("infra", reason, environment=environment)
    try:
        with staged(job) as folder, start(job, folder) as running:
            return conduct(job, models.layout(job.model), running, clock, environment, stop)
    except OSError as error:
        return Outcome("infra", f"{backend.name}: the unit could not be run: {error}", environment=environment)


def _unmet(requirements: Sequence[str]) -> str | None:
    """Return which of an entry's requirements this Python does not meet, with the remedy; ``None`` if there is none."""
    from importlib.metadata import PackageNotFoundError, version

    from packaging.requirements import Requirement

    for requirement in map(Requirement, requirements):
        try:
            if requirement.specifier.contains(version(requirement.name), prereleases=True):
                continue
        except PackageNotFoundError:
            pass
        return f"the entry requires {requirement}, which is not installed here; pip install '{requirement}'"
    return None


@contextmanager
def started(job: Job, child: ChildSpec) -> Iterator[RunningChild]:
    """Start a job's process with its limits; it and everything that it started are dead after the block."""
    limits = _limits(job, child.family.user)
    popen = subprocess.Popen(
        _launched(child.command, child.family.user, job.cpus, limits, child.reach),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        cwd=child.folder,
        env=dict(child.environment),
        start_new_session=True,
    )
    running = RunningChild(popen, job.limits, child.family)
    try:
        yield running
    finally:
        running.close()


class RunningChild:
    """A running child process, the leader of its own session: a ``RunningSandbox``."""

    def __init__(self, popen: subprocess.Popen[bytes], limits: Limits, family: Family) -> None:
        assert popen.stdin and popen.stdout and popen.stderr
        self._popen, self._limits, self._family = popen, limits, family
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
        """Return what arrives within ``timeout`` seconds; ``None`` after the end."""
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
        # a child of a finished entry may hold the channel open forever
        if not ready and self._ended():
            self._open = False
        return chunks

    def send(self, data: bytes) -> None:
        """Write to the channel."""
        os.write(self._stdin, data)

    def cpu_seconds(self) -> float | None:
        """Return the CPU time used so far by all its processes."""
        return sum(member.cpu_seconds for member in self._family.members(self._popen.pid))

    def over_memory(self) -> bool:
        """Return whether all its processes together use more memory than the unit may."""
        used = procfs.memory(self._family.members(self._popen.pid), self._limits.memory)
        self._peak = max(self._peak, used)
        return used > self._limits.memory

    def stop(self, grace: float) -> Exit:
        """Let it end by itself for ``grace`` seconds, then kill all its processes."""
        if self._exit is not None:
            return self._exit
        patience = time.monotonic() + grace
        while not self._ended() and time.monotonic() < patience:
            time.sleep(0.01)
        by_itself = self._ended()
        members = self._family.members(self._popen.pid)
        self._peak = max([self._peak, *(procfs.peak(member.pid) for member in members)])
        survivors = [member.pid for member in self._family.kill(self._popen.pid)]
        if survivors:
            failure = f"process {survivors[0]} cannot be killed; a driver holds it: see `dmesg`, or restart the machine"
            self._exit = Exit(None, peak_memory=self._peak or None, log=self._rest(), failure=failure)
            return self._exit
        code = self._popen.wait()
        self._exit = Exit(code if by_itself else None, peak_memory=self._peak or None, log=self._rest())
        return self._exit

    def close(self) -> None:
        """Stop it and close what watches its streams."""
        self.stop(grace=0)
        self._selector.close()
        for stream in (self._popen.stdin, self._popen.stdout, self._popen.stderr):
            with suppress(BrokenPipeError):  # what was not read by the ended process
                assert stream is not None
                stream.close()

    def _ended(self) -> bool:
        # the leader stays a zombie until stop() has read its times and killed its family
        options = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self._popen.pid, options) is not None

    def _rest(self) -> bytes:
        remaining_log = bytearray()
        with suppress(BlockingIOError):
            while len(remaining_log) < 16 * CHUNK and (data := os.read(self._log, CHUNK)):
                remaining_log += data
        return bytes(remaining_log)


def _launched(
    command: Sequence[str], user: int | None, cpus: Sequence[int], limits: Mapping[int, int], reach: Sequence[Path]
) -> list[str]:
    reachable = [str(path) for path in (*folders(), *reach)]
    spec = {"parent": os.getpid(), "user": user, "cpus": list(cpus), "limits": dict(limits), "reach": reachable}
    return [interpreter(), "-I", "-S", str(LAUNCH), json.dumps(spec), *command]


def _limits(job: Job, user: int | None) -> dict[int, int]:
    limits = {resource.RLIMIT_CORE: 0, resource.RLIMIT_FSIZE: job.limits.scratch, resource.RLIMIT_NOFILE: 4096}
    if user is not None:  # the kernel counts the processes of a user, and this one has no others
        limits[resource.RLIMIT_NPROC] = job.limits.processes
    if job.device == "cpu":  # a CUDA context maps the GPU's memory as data
        limits[resource.RLIMIT_DATA] = job.limits.memory + RESERVED
    for resource_id, limit in limits.items():
        hard = resource.getrlimit(resource_id)[1]
        limits[resource_id] = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    return limits
