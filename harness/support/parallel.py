"""Parallel work on many items, in forked copies of this process that share what it has read."""

from __future__ import annotations

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from unlearn_bench.harness.support.hardware import cores
from unlearn_bench.harness.support.lifeline import end_with

T = TypeVar("T")
R = TypeVar("R")

_work: list[tuple[Callable[[Any], Any], Sequence[Any]]] = []
"""The work of the copies, which are forked after it is stored here, so that only indices are sent."""


@contextmanager
def uncollected() -> Iterator[None]:
    """Pause garbage collection, here and in copies: with many long-lived objects it takes a fifth of the time."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def side_by_side(function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
    """Yield ``function`` of every item, in their order; on a single core, and not on Linux, one after the other."""
    workers = min(len(cores()), len(items)) if hasattr(os, "sched_getaffinity") else 1
    if workers < 2:
        yield from map(function, items)
        return
    _work.append((function, items))
    try:
        with ProcessPoolExecutor(
            workers, multiprocessing.get_context("fork"), initializer=end_with, initargs=(os.getpid(),)
        ) as pool:
            yield from pool.map(_call, range(len(items)))
    finally:
        _work.pop()


def _call(index: int) -> Any:
    function, items = _work[-1]
    return function(items[index])
