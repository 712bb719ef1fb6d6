"""Worker processes of one command: they end with it, and in mid-work where it stops by an error or Ctrl-C."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from unlearn_bench.sandbox.inside.lifeline import end_with

LOGGER = "unlearn_bench"
"""Logger of all messages of the benchmark."""


@contextmanager
def worker_pool(count: int, prepare: Callable[..., None], *arguments: Any) -> Iterator[ProcessPoolExecutor]:
    """``count`` processes, each of which calls ``prepare(*arguments)`` first.

    What leaves the block by an exception does not wait for what they are doing, which may take hours.
    """
    context = multiprocessing.get_context("spawn")
    level = logging.getLogger(LOGGER).getEffectiveLevel()
    line, held = context.Pipe(duplex=False)
    with (
        line,
        held,
        ProcessPoolExecutor(
            count, mp_context=context, initializer=_begin, initargs=(os.getpid(), line, level, prepare, arguments)
        ) as pool,
    ):
        try:
            yield pool
        except BaseException:
            held.close()
            raise


def _begin(parent: int, line: Connection, level: int, prepare: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    end_with(parent)
    logger = logging.getLogger(LOGGER)
    logger.addHandler(logging.StreamHandler())  # what a worker says goes where the command's own messages go
    logger.setLevel(level)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the command's to handle
    threading.Thread(target=_end_with, args=(line,), daemon=True).start()
    prepare(*arguments)


def _end_with(line: Connection) -> None:
    line.poll(None)  # nobody sends: this waits for the other end to close
    os._exit(1)
