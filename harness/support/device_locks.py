"""Who may run on a device of this machine, over all processes of the benchmark: a timed unit is alone on its device.

A lock per core and GPU is a file, held by ``flock``: shared by whatever runs there untimed or only starts, exclusive
for whoever is on the clock. The kernel frees the locks of a process that dies. Whoever waits for a device holds its
``.next`` file meanwhile, so that nobody who comes later goes first.
"""

from __future__ import annotations

import fcntl
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

logger = logging.getLogger(__name__)

PATIENCE = 3600.0
"""Seconds that a unit waits for its device."""
VISIBLE = 2.0
"""Seconds after which a wait for another process is said."""
POLL = 0.02


def folder() -> Path:
    """Where the locks are: ``BENCH_LOCKS``, else one place for everybody on this machine."""
    return Path(os.environ.get("BENCH_LOCKS") or "/tmp/unlearn-bench-locks")


def cores(numbers: Sequence[int]) -> tuple[str, ...]:
    """Names of cores as devices."""
    return tuple(f"cpu-{number}" for number in numbers)


def gpu(device: str) -> str:
    """Name of a GPU (``cuda:0``) as a device."""
    return device.replace(":", "-")


@dataclass
class Turns:
    """What units have to respect that run on ``devices``."""

    devices: Sequence[str] = ()
    timed: bool = False
    """Whether the clock means that nothing else runs there."""
    stop: threading.Event = field(default_factory=threading.Event)
    """Ends the waiting, by ``WaitCancelled``."""

    @contextmanager
    def turn(self) -> Iterator[AbstractContextManager[Any]]:
        """Start a sandbox inside; it enters the clock that this yields for its timed part.

        Raises:
            BenchError: the device did not become free within ``PATIENCE``.
        """
        with ExitStack() as shared:
            self._share(shared)
            yield Clock(self, shared) if self.timed else nullcontext()

    @contextmanager
    def long(self) -> Iterator[Callable[[], None]]:
        """Work of hours off the clock inside; from time to time it calls what this yields: who waits then goes first.

        Raises:
            BenchError: as those of :meth:`turn`.
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
        with _opened(place / f"{device}.next") as gate, _opened(place / device) as lock:
            wait = _Wait(self, device, lock)
            wait.take(gate, fcntl.LOCK_EX)
            wait.take(lock, mode)
            fcntl.flock(gate, fcntl.LOCK_UN)
            yield


class WaitCancelled(Exception):
    """The run was stopped while a unit waited for its device."""


class Clock:
    """The exclusive part of one turn, a context manager."""

    def __init__(self, turns: Turns, shared: ExitStack) -> None:
        self._turns, self._shared, self._held = turns, shared, ExitStack()

    def __enter__(self) -> None:
        self._shared.close()
        with ExitStack() as taking:
            for device in sorted(self._turns.devices):  # in one order, so that no two wait for each other
                taking.enter_context(self._turns._held(device, fcntl.LOCK_EX))
            self._held = taking.pop_all()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._held.close()


@dataclass
class _Wait:
    turns: Turns
    device: str
    lock: int
    said: bool = False
    since: float = field(default_factory=time.monotonic)

    def take(self, fd: int, mode: int) -> None:
        while True:
            try:
                fcntl.flock(fd, mode | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                pass
            if self.turns.stop.is_set():
                raise WaitCancelled
            waited = time.monotonic() - self.since
            others = [pid for pid in holders(self.lock) if pid != os.getpid()] if waited > VISIBLE else []
            if others and not self.said:
                self.said = True
                logger.info("waiting for %s, where %s is at work", self.device, described(others))
            if waited > PATIENCE:
                raise BenchError(
                    f"{self.device} was not free for {PATIENCE / 60:.0f} minutes: {described(others)} runs there",
                    "this machine",
                    "wait until it has ended, or end it, then run the same command again: it goes on where it stopped",
                    EXIT_CODES["infra"],
                )
            time.sleep(POLL)


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a lock file; one of another user can only be read, which is enough."""
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
    """Pids of those who hold a lock on this file (proc_locks(5)); none where the kernel does not tell."""
    status = os.fstat(fd)
    name = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    held = (line.split() for line in lines if "->" not in line)
    return sorted({int(words[4]) for words in held if words[1] == "FLOCK" and words[5] == name})


def described(pids: Sequence[int]) -> str:
    """Describe processes for people: their numbers and commands."""
    found = []
    for pid in pids:
        try:
            words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        except OSError:
            words = []
        command = " ".join(Path(word).name if "/" in word else word for word in words if word)
        found.append(f"process {pid}" + (f" ({command[:60]})" if command else ""))
    return " and ".join(found) or "another process"
