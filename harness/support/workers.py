"""Worker processes of one command: they end with it, even during a call if it stops by an error or Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

from unlearn_bench.harness.support.lifeline import end_with

LOGGER = "unlearn_bench"
"""Logger of all messages of the benchmark."""


class WorkerProcess(SpawnProcess):
    """A process to which Ctrl-C is never delivered, not even while it starts: the command handles it."""

    def start(self) -> None:
        """Start with SIGINT blocked, which the process inherits."""
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            super().start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class WorkerContext(SpawnContext):
    """A multiprocessing context whose processes are of :class:`WorkerProcess`."""

    Process = WorkerProcess


@contextmanager
def worker_pool(count: int, prepare: Callable[..., None], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """Yield a pool of ``count`` processes, each of which calls ``prepare(*arguments)`` first.

    An exception that leaves the block does not wait for their running calls, which may take hours.
    """
    context = WorkerContext()
    level = logging.getLogger(LOGGER).getEffectiveLevel()
    read_end, write_end = context.Pipe(duplex=False)
    with (
        read_end,
        write_end,
        ProcessPoolExecutor(
            count, mp_context=context, initializer=_begin, initargs=(os.getpid(), read_end, level, prepare, arguments)
        ) as pool,
    ):
        try:
            yield pool
        except BaseException:
            write_end.close()
            raise


def _begin(
    parent: int, read_end: Connection, level: int, prepare: Callable[..., None], arguments: tuple[Any, ...]
) -> None:
    end_with(parent)
    logger = logging.getLogger(LOGGER)
    logger.addHandler(logging.StreamHandler())  # a worker's messages go where the command's own go
    logger.setLevel(level)
    threading.Thread(target=_exit_when_closed, args=(read_end,), daemon=True).start()
    prepare(*arguments)


def _exit_when_closed(read_end: Connection) -> None:
    read_end.poll(None)  # nobody sends: this waits for the other end to close
    os._exit(1)
