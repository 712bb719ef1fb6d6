"""A spin, a fixed computation of a few milliseconds, which tells whether a core is as fast now as it has been.

It sees neighbours that slow the core down without taking its time: those that share its caches or its memory, or heat
it, and the other guests of a hypervisor that gives them the same core.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

TOLERANCE = 0.40
"""Fraction by which a core may be slower than at its fastest."""
ENOUGH = 0.10
"""Fraction at which a spin ends; less than the tolerance, since the fastest will be a little faster later."""
REPETITIONS = 200
"""How many repetitions, of about half a millisecond each, a spin has at most."""

_fastest: dict[tuple[int, ...], float] = {}
"""Least CPU seconds of a repetition in this process, by core."""


def spin(cores: Sequence[int]) -> float:
    """Return the CPU seconds of a fixed computation on a core.

    They are those of the fastest of its repetitions, and do not count what the core does for other programs meanwhile.
    One that is as fast as the core has been ends the spin; the first spin calibrates, and does them all.
    """
    core = tuple(cores)
    enough = (1 + ENOUGH) * _fastest.get(core, 0.0)
    with _pinned(core):
        repetition = _Repetition()
        seconds = repetition.seconds()
        for _ in range(REPETITIONS - 1):
            if seconds <= enough:
                break
            seconds = min(seconds, repetition.seconds())
    _fastest[core] = min(seconds, _fastest.get(core, seconds))
    return seconds


def slowness(cores: Sequence[int], seconds: float) -> float:
    """Return by which fraction a spin was slower than the fastest on its core so far; 0 within the tolerance."""
    fraction = seconds / _fastest[tuple(cores)] - 1
    return fraction if fraction > TOLERANCE else 0.0


@contextmanager
def _pinned(core: Sequence[int]) -> Iterator[None]:
    """Keep this thread on a core meanwhile."""
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


class _Repetition:
    """Arithmetic within the first cache, and a pass through more memory than a core's own caches hold.

    NumPy releases the interpreter's lock meanwhile: another thread may be reading the end of a unit's clock.
    """

    def __init__(self) -> None:
        self._few = np.linspace(0.1, 0.9, 1 << 13, dtype=np.float32)
        self._many = np.ones(1 << 20, dtype=np.float32)
        self._results = np.empty_like(self._few), np.empty_like(self._many)
        self.seconds()  # the first one also waits for the memory

    def seconds(self) -> float:
        """Return the CPU seconds of one repetition."""
        few, many = self._results
        start = time.thread_time()
        for _ in range(50):
            np.exp(self._few, out=few)
        np.add(self._many, 1.0, out=many)
        return time.thread_time() - start
