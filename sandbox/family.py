"""Which processes belong to a unit that runs on this machine, and how all of them are ended."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from unlearn_bench.sandbox import procfs
from unlearn_bench.sandbox.procfs import Member

USERS = range(60706, 61184)
"""User ids of units that root starts: ids that neither distributions nor systemd assign."""

PATIENCE = 30.0
"""Seconds in which a killed process must have ended."""


@dataclass(frozen=True)
class Family:
    """The processes of one unit.

    They are those of its ``user`` in any session, or without a user of its own those of the first process's session.
    """

    user: int | None

    def members(self, first: int) -> list[Member]:
        """Return all of them, zombies included."""
        return procfs.members(first) if self.user is None else procfs.owned(self.user)

    def kill(self, first: int) -> list[Member]:
        """End every one of them; return those that the kernel could not end, as a driver does not let go of them."""
        give_up = time.monotonic() + PATIENCE
        while alive := [member for member in self.members(first) if member.alive]:
            if time.monotonic() > give_up:
                break
            if self.user is not None:
                _kill_all_of(self.user)
            for member in alive:
                with suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGKILL)
            time.sleep(0.001)
        return alive


@contextmanager
def own_user() -> Iterator[int | None]:
    """Yield, as root, a user id that no process has, reserved until the block ends; otherwise ``None``.

    Raises:
        OSError: all user ids are taken.
    """
    if os.geteuid() != 0:
        yield None
        return
    for user in random.sample(USERS, len(USERS)):
        with _lease(user) as free:
            if free and not procfs.owned(user):
                try:
                    yield user
                finally:
                    Family(user).kill(0)
                return
    raise OSError("every user id for units is taken by a process: end what earlier units left behind")


def reap() -> int:
    """End, as root, the processes of units whose harness is dead; return the number of units."""
    count = 0
    for user in orphans():
        with _lease(user) as free:  # another unit may have taken it meanwhile
            if free:
                Family(user).kill(0)
                count += 1
    return count


def orphans() -> list[int]:
    """Return, as root, the users that have living processes of units whose harness is dead."""
    users = []
    for user in sorted(procfs.users() & set(USERS)) if os.geteuid() == 0 else ():
        with _lease(user) as free:
            if free and any(member.alive for member in procfs.owned(user)):
                users.append(user)
    return users


@contextmanager
def _lease(user: int) -> Iterator[bool]:
    """Yield whether this user id was free; if it was, it is reserved until the block ends.

    A name in the abstract namespace belongs to one socket of the machine, and the kernel frees it.
    """
    with socket.socket(socket.AF_UNIX) as lease:
        try:
            lease.bind(f"\0unlearn-bench-user-{user}")
        except OSError:
            yield False
        else:
            yield True


def _kill_all_of(user: int) -> None:
    """Send ``kill(-1)`` as that user: the kernel reaches all of its processes at once, so none can fork away."""
    shell = Path("/bin/sh")
    subprocess.run([shell, "-c", "kill -KILL -1"], user=user, group=user, extra_groups=[], stderr=subprocess.DEVNULL)
