"""Slots, the places of this machine where units run: cores, a device, a clock, and one thread for each slot."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.units.core_interference import timed_at_once

Task = TypeVar("Task")
Result = TypeVar("Result")

STARTING = 2
"""How many sandboxes start together where only one unit may be timed."""


@dataclass(frozen=True)
class Slot:
    """Where a unit runs."""

    cores: tuple[int, ...] = ()
    """Cores that the unit is pinned to; empty means any."""
    device: str = "cpu"
    devices: tuple[str, ...] = ()
    """What the unit may disturb others on, by the names of :mod:`harness.support.device_locks`."""
    timed: bool = False
    """Whether nothing else may run there while the unit is on the clock."""


def timed_slots(store: Store, device: str = "cpu") -> list[Slot]:
    """Return the slots for timed units.

    On a CPU each is one core. Where busy cores disturb each other, and on a GPU, units start together and are timed
    in turn.
    """
    cores = sorted(os.sched_getaffinity(0))
    if device != "cpu":
        return [timed_slot((), device) for _ in range(STARTING)]
    if timed_at_once(store, cores) > 1:
        return [timed_slot((core,)) for core in cores]
    return [replace(timed_slot((core,)), devices=device_locks.cores(cores)) for core in cores[:STARTING]]


def timed_slot(cores: tuple[int, ...], device: str = "cpu") -> Slot:
    """Return a place where nothing else runs while a unit is on the clock."""
    return replace(untimed_slot(cores, device), timed=True)


def untimed_slot(cores: tuple[int, ...], device: str = "cpu") -> Slot:
    """Return a place that units share with others, but not with one that is on the clock."""
    return Slot(cores, device, device_locks.cores(cores) if device == "cpu" else (device_locks.gpu(device),))


def run_in_slots(
    units: Sequence[Task],
    slots: Sequence[Slot],
    work: Callable[[Task, Slot], Result],
    stop: threading.Event,
) -> Iterator[tuple[Task, Result]]:
    """Run units, or anything else that ``work`` takes, one per slot at a time; yield each with its result.

    When it ends early (Ctrl-C, an error), no further unit starts, ``stop`` is set and those that run are awaited.
    """
    waiting: queue.SimpleQueue[Task] = queue.SimpleQueue()
    for unit in units:
        waiting.put(unit)
    finished: queue.SimpleQueue[tuple[Task, Result] | BaseException] = queue.SimpleQueue()

    def serve(slot: Slot) -> None:
        if slot.cores:  # the host's share of a unit stays on the unit's core, and so disturbs no other
            os.sched_setaffinity(0, slot.cores)
        while not stop.is_set():
            try:
                unit = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                finished.put((unit, work(unit, slot)))
            except BaseException as error:
                finished.put(error)
                return

    threads = [threading.Thread(target=serve, args=(slot,), daemon=True) for slot in slots[: len(units)]]
    for thread in threads:
        thread.start()
    try:
        for _ in units:
            item = finished.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    except BaseException:
        stop.set()
        raise
    finally:
        for thread in threads:
            thread.join()
