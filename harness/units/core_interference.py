"""Whether busy cores of this machine disturb each other, and so how many timed units may run side by side."""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from unlearn_bench.harness.store import documents
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.device_locks import DeviceLocks
from unlearn_bench.harness.support.hardware import machine_id

TOLERANCE = 0.05
"""Slow-down by neighbours above which timed units run one at a time."""


@dataclass(frozen=True)
class Interference:
    """How much the busy cores of a machine disturb each other, as measured."""

    cores: int
    neighbours_cost: float
    """Fraction by which a core slows down when all others work as well."""


# A fixed amount of the arithmetic that units do, small convolutions forward and backward, once per line of stdin.
_WORK = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
import torch
torch.set_num_threads(1)
layer = torch.nn.Conv2d(16, 16, 3, padding=1)
images = torch.randn(128, 16, 16, 16)
def work():
    start = time.perf_counter()
    for _ in range(60):
        layer(images).square().mean().backward()
    return time.perf_counter() - start
work()
print("ready", flush=True)
for _ in sys.stdin:
    print(work(), flush=True)
"""


def neighbours_cost(cores: Sequence[int], repeats: int = 5) -> float:
    """Return the fraction by which a core slows down when all others work as well (median of interleaved repeats)."""
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(core)) for core in cores]
        for worker in workers:
            _read_line(worker)
        ratios = []
        for _ in range(repeats):
            quiet = _work_seconds(workers[:1])[0]
            busy = statistics.mean(_work_seconds(workers))
            ratios.append(busy / quiet - 1)
    return statistics.median(ratios)


@contextmanager
def _worker(core: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _WORK, str(core)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        try:
            yield worker
        finally:
            worker.kill()


def _read_line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


def _work_seconds(workers: Sequence[subprocess.Popen[str]]) -> list[float]:
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    return [float(_read_line(worker)) for worker in workers]


def timed_at_once(store: Store, cores: Sequence[int]) -> int:
    """Return how many timed units may run side by side: one per core, or only one where cores disturb each other.

    The interference is measured once per machine and kept; ``bench doctor`` measures it again.
    """
    if len(cores) == 1:
        return 1
    measured = documents.read(store, "machines", machine_id(), Interference)
    if measured is None or measured.cores != len(cores):
        measured = measure(store, cores)
    return len(cores) if measured.neighbours_cost <= TOLERANCE else 1


def measure(store: Store, cores: Sequence[int]) -> Interference:
    """Measure the interference of these cores and keep it."""
    with DeviceLocks(device_locks.cores(cores), timed=True).hold() as clock, clock:
        measured = Interference(len(cores), round(neighbours_cost(cores), 4))
    documents.write(store, "machines", machine_id(), measured)
    return measured
