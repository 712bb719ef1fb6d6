"""Locks of a store, also where its file system has none."""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path

from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.files import writing

logger = logging.getLogger(__name__)


@contextmanager
def held(path: Path, what: str = "") -> Iterator[None]:
    """Hold a lock that one process has at a time; the kernel frees it when its holder dies.

    Where the file system of ``path`` has no locks, the lock lies in the folder of device locks, and so holds on this
    machine only.

    Args:
        path: of the lock, in a folder whose parent exists.
        what: its holder does, for the message of processes that wait.

    Raises:
        Unwritable: the file cannot be made.
        BenchError: the folder of device locks has no locks either.
    """
    with ExitStack() as stack:
        with writing(path):
            path.parent.mkdir(exist_ok=True)
            file = stack.enter_context(path.open("w"))
        try:
            _wait(file.fileno(), what)
        except OSError as error:
            if error.errno not in device_locks.NO_LOCKS:
                raise
            folder = device_locks.folder()
            _warn(str(path.parent), str(folder))
            name = "store-" + hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:32]
            fd = stack.enter_context(device_locks.opened(folder / name))
            if not device_locks.try_lock(fd, fcntl.LOCK_EX):
                _wait(fd, what)
        yield


def _wait(fd: int, what: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if what:
            others = device_locks.described(device_locks.holders(fd))
            logger.info("waiting for %s, which %s", others, what)
        fcntl.flock(fd, fcntl.LOCK_EX)


@cache
def _warn(place: str, folder: str) -> None:
    logger.warning(
        "%s is on a file system without locks, so the locks of this store lie in %s and hold on this machine only: "
        "let no other machine prepare or tune in this store at the same time",
        place,
        folder,
    )
