"""How much is done on all nodes: a count in a Ray actor beside the command; tasks add to it, the command reads it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

EVERY = 2.0
"""Seconds between two looks."""


class Counter:
    """A count, as an actor of Ray."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, count: int) -> None:
        """Add to the count."""
        self._count += count

    def count(self) -> int:
        """Return the count."""
        return self._count


@contextmanager
def counting(ray: Any, on_count: Callable[[int], None], most: int) -> Iterator[Any]:
    """Yield the handle of a counter; inside, ``on_count`` is told how far it is.

    Args:
        ray: the module, connected.
        on_count: called in a thread.
        most: what it is told at most; a task that runs again counts again.
    """
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    counter = ray.remote(Counter).options(num_cpus=0, scheduling_strategy=here).remote()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY):
            try:
                on_count(min(most, ray.get(counter.count.remote())))
            except RayError:  # the cluster is lost; the command's own thread says so
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield counter
    finally:
        ended.set()
        thread.join()
        ray.kill(counter)
