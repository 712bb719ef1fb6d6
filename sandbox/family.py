"""Which processes belong to a unit that runs on this machine, and the end of all of them."""

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
"""User ids of units, where root starts them: those that neither distributions nor systemd give to anybody."""


@dataclass(frozen=True)
class Family:
    """The processes of one unit.

    Those of its ``user``, wherever they went; without a user of its own those of the first process's session.
    """

    user: int | None

    def members(self, first: int) -> list[Member]:
        """All of them, zombies included."""
        return procfs.members(first) if self.user is None else procfs.owned(self.user)

    def kill(self, first: int) -> None:
        """End every one of them; returns when none is alive."""
        while alive := [member for member in self.members(first) if member.alive]:
            if self.user is not None:
                _kill_all_of(self.user)
            for member in alive:
                with suppress(ProcessLookupError):
                    os.kill(member.pid, signal.SIGKILL)
            time.sleep(0.001)


@contextmanager
def own_user() -> Iterator[int | None]:
    """As root: a user id that no process has, nobody else's until it is given back. Otherwise ``None``.

    Raises:
        OSError: all of them are taken.
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
    """As root: end the processes of units whose harness is dead; returns of how many units."""
    count = 0
    for user in orphans():
        with _lease(user) as free:  # it may have been taken meanwhile
            if free:
                Family(user).kill(0)
                count += 1
    return count


def orphans() -> list[int]:
    """As root: users of units whose harness is dead, that have a living process."""
    users = []
    for user in sorted(procfs.users() & set(USERS)) if os.geteuid() == 0 else ():
        with _lease(user) as free:
            if free and any(member.alive for member in procfs.owned(user)):
                users.append(user)
    return users


@contextmanager
def _lease(user: int) -> Iterator[bool]:
    """Whether this user id was free; it is held meanwhile.

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
    """One ``kill(-1)`` as that user: the kernel strikes all of its processes at once, so none can fork away."""
    shell = Path("/bin/sh")
    subprocess.run([shell, "-c", "kill -KILL -1"], user=user, group=user, extra_groups=[], stderr=subprocess.DEVNULL)
