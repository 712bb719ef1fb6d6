"""How much is done on all nodes: a count in a Ray actor beside the command; tasks add to it, the command reads it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

EVERY = 2.0
"""Seconds between two readings of the count."""


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
    """Yield the handle of a counter, and call ``on_count`` with its count meanwhile.

    Args:
        ray: the module, connected.
        on_count: called in a thread.
        most: the largest count to report, since a task that runs again counts again.
    """
    from ray.exceptions import RayError
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    on_this_node = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    counter = ray.remote(Counter).options(num_cpus=0, scheduling_strategy=on_this_node).remote()
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(EVERY):
            try:
                on_count(min(most, ray.get(counter.count.remote())))
            except RayError:  # the cluster is lost, which the command's own thread reports
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield counter
    finally:
        ended.set()
        thread.join()
        ray.kill(counter)
