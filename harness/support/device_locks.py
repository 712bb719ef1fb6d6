"""Locks of this machine's cores and GPUs, across all processes of the benchmark: a timed unit has its device to itself.

A lock per core and GPU is a file, held by ``flock``: shared by everything that runs there untimed or is only starting,
exclusive for a unit while it is timed. The kernel frees the locks of a process that dies. A unit that waits for a
device holds the device's ``.next`` file, so that no later one goes first. Few timed units start at a time, since dozens
would slow each other down until none is ready in time.
"""

from __future__ import annotations

import errno
import fcntl
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.files import writing

logger = logging.getLogger(__name__)

PATIENCE = 3600.0
"""Seconds that a unit waits for its device."""
VISIBLE = 2.0
"""Seconds after which a message names the process that is waited for."""
POLL = 0.02
STARTS = 4
"""Timed units that may be starting on a device."""
NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EBADF)
"""How file systems refuse ``flock``; NFS says ``EBADF`` of a file that is open for reading only."""


def folder() -> Path:
    """Return the folder of the locks: ``BENCH_LOCKS``, else one for all users of this machine."""
    return Path(os.environ.get("BENCH_LOCKS") or "/tmp/unlearn-bench-locks")


def cores(numbers: Sequence[int]) -> tuple[str, ...]:
    """Return the names of cores as devices."""
    return tuple(f"cpu-{number}" for number in numbers)


def gpu(device: str) -> str:
    """Return the name of a GPU (``cuda:0``) as a device."""
    return device.replace(":", "-")


_started = itertools.count()


@dataclass
class DeviceLocks:
    """The locks of the devices that a unit, or a training, runs on."""

    devices: Sequence[str] = ()
    timed: bool = False
    """Whether nothing else may run there while the clock is on."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Set it to end the waiting, which then raises ``WaitCancelled``."""

    @contextmanager
    def hold(self) -> Iterator[AbstractContextManager[Any]]:
        """Hold the devices together with others, and yield the clock: a context manager for the part that is timed.

        Raises:
            BenchError: the device did not become free within ``PATIENCE``.
        """
        with ExitStack() as shared:
            if self.timed:
                queue = (os.getpid() + next(_started)) % STARTS
                for device in sorted(self.devices):
                    shared.enter_context(self._held(f"{device}.start-{queue}", fcntl.LOCK_EX))
            self._share(shared)
            yield Clock(self, shared) if self.timed else nullcontext()

    @contextmanager
    def hold_long(self) -> Iterator[Callable[[], None]]:
        """Hold the devices for untimed work of hours; yield a function that lets others go first whenever it is called.

        Raises:
            BenchError: as :meth:`hold`.
        """
        with ExitStack() as shared:

            def pause() -> None:
                shared.close()
                self._share(shared)

            self._share(shared)
            yield pause

    def _share(self, shared: ExitStack) -> None:
        for device in sorted(self.devices):
            shared.enter_context(self._held(device, fcntl.LOCK_SH))

    @contextmanager
    def _held(self, device: str, mode: int) -> Iterator[None]:
        place = folder()
        with opened(place / f"{device}.next") as gate, opened(place / device) as lock:
            wait = _Wait(self, device, lock)
            wait.take(gate, fcntl.LOCK_EX)
            wait.take(lock, mode)
            fcntl.flock(gate, fcntl.LOCK_UN)
            yield


class WaitCancelled(Exception):
    """The run was stopped while a unit waited for its device."""


class Clock:
    """The part of a hold that is exclusive, a context manager."""

    def __init__(self, locks: DeviceLocks, shared: ExitStack) -> None:
        self._locks, self._shared, self._held = locks, shared, ExitStack()

    def __enter__(self) -> None:
        self._shared.close()
        with ExitStack() as taking:
            for device in sorted(self._locks.devices):  # in one order, so that no two wait for each other
                taking.enter_context(self._locks._held(device, fcntl.LOCK_EX))
            self._held = taking.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()


@dataclass
class _Wait:
    """The wait for one device, and what has been announced of it."""

    locks: DeviceLocks
    device: str
    lock: int
    announced: bool = False
    since: float = field(default_factory=time.monotonic)

    def take(self, fd: int, mode: int) -> None:
        while True:
            if try_lock(fd, mode):
                return
            if self.locks.stop.is_set():
                raise WaitCancelled
            waited = time.monotonic() - self.since
            others = [pid for pid in holders(self.lock) if pid != os.getpid()] if waited > VISIBLE else []
            if others and not self.announced:
                self.announced = True
                logger.info("waiting for %s, where %s is at work", self.device, described(others))
            if waited > PATIENCE:
                raise BenchError(
                    f"{self.device} was not free for {PATIENCE / 60:.0f} minutes: {described(others)} runs there",
                    "this machine",
                    "wait until it has ended, or end it, then run the same command again: it resumes where it stopped",
                    EXIT_CODES["infra"],
                )
            time.sleep(POLL)


def try_lock(fd: int, mode: int) -> bool:
    """Lock a file of :func:`folder` if no other process has it, and return whether that was so.

    Raises:
        BenchError: the file system has no locks.
    """
    try:
        fcntl.flock(fd, mode | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        what = f"files in {folder()} cannot be locked: {error.strerror}"
        remedy = "point BENCH_LOCKS at a folder of a local disk, the same one for all users of this machine"
        raise BenchError(what, "this machine", remedy, EXIT_CODES["infra"]) from error
    return True


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """Open a lock file; another user's file can only be read, which is enough to lock it."""
    with writing(path):
        if not path.parent.exists():
            path.parent.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):
                path.parent.mkdir()
                path.parent.chmod(0o1777)
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            fd = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    try:
        yield fd
    finally:
        os.close(fd)


def holders(fd: int) -> list[int]:
    """Return the pids of the processes that lock this file (proc_locks(5)); none if the kernel does not list them."""
    status = os.fstat(fd)
    name = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    locks = (line.split() for line in lines if "->" not in line)
    return sorted({int(words[4]) for words in locks if words[1] == "FLOCK" and words[5] == name})


def described(pids: Sequence[int]) -> str:
    """Describe processes for messages by their numbers and commands."""
    descriptions = []
    for pid in pids:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except OSError:
            words = []
        command = " ".join(Path(word).name if "/" in word else word for word in words if word)
        descriptions.append(f"process {pid}" + (f" ({command[:60]})" if command else ""))
    return " and ".join(descriptions) or "another process"
