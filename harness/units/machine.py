"""What this machine is: the hardware class that run times belong to, and whether its cores disturb each other."""

from __future__ import annotations

import hashlib
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.device_locks import Turns
from unlearn_bench.harness.tracks.track import digest

TOLERANCE = 0.05
"""Slow-down by neighbours above which timed units run one at a time."""

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


def hardware() -> dict[str, Any]:
    """CPU model, cores, memory, and a name for this very machine that says nothing else about it."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "machine": _machine(),
    }


def torch_version() -> str:
    """Imported here, so that naming the machine needs no torch."""
    import torch

    return str(torch.__version__)


def timing_class(environment: Mapping[str, Any]) -> str:
    """Runs of one class may be compared by the clock: same machine, back end, image, torch and device."""
    keys = ("machine", "cpu", "cores", "backend", "image", "torch", "device")
    return digest({key: environment.get(key) for key in keys})[:16]


def hardware_class(environment: Mapping[str, Any]) -> str:
    """For people: the GPU that a unit ran on, or CPU and cores."""
    device = str(environment.get("device") or "")
    if " " in device:  # of a CPU this is the architecture, of a GPU its name
        return device
    return f"{environment.get('cpu') or device or 'unknown'}, {environment.get('cores', '?')} cores"


@cache
def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # no /proc: the platform module's word must do
    return platform.processor() or platform.machine()


@cache
def _machine() -> str:
    path = Path("/etc/machine-id")
    identity = path.read_text().strip() if path.is_file() else ""
    return hashlib.sha256(f"unlearn-bench {identity or platform.node()}".encode()).hexdigest()[:12]


def neighbours_cost(cores: Sequence[int], repeats: int = 5) -> float:
    """By which fraction a core slows down when all others work too (median of interleaved repeats)."""
    with ExitStack() as stack:
        workers = [stack.enter_context(_worker(core)) for core in cores]
        for worker in workers:
            _line(worker)
        ratios = []
        for _ in range(repeats):
            alone = _timed(workers[:1])[0]
            together = statistics.mean(_timed(workers))
            ratios.append(together / alone - 1)
    return statistics.median(ratios)


@contextmanager
def _worker(core: int) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _WORK, str(core)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as worker:
        try:
            yield worker
        finally:
            worker.kill()


def _line(worker: subprocess.Popen[str]) -> str:
    assert worker.stdout is not None
    return worker.stdout.readline()


def _timed(workers: Sequence[subprocess.Popen[str]]) -> list[float]:
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("\n")
        worker.stdin.flush()
    return [float(_line(worker)) for worker in workers]


def timed_at_once(store: Store, cores: Sequence[int]) -> int:
    """How many timed units may run side by side, one per core: all cores, or one where they disturb each other.

    Measured once per machine and kept; ``bench doctor`` measures again.
    """
    if len(cores) == 1:
        return 1
    known = store.read("machines", _machine())
    if known is None or known["cores"] != len(cores):
        known = measure(store, cores)
    return len(cores) if known["neighbours_cost"] <= TOLERANCE else 1


def measure(store: Store, cores: Sequence[int]) -> dict[str, Any]:
    """Measure the neighbours' cost and keep it."""
    with Turns(device_locks.cores(cores), timed=True).turn() as clock, clock:
        result = {"cores": len(cores), "neighbours_cost": round(neighbours_cost(cores), 4)}
    store.write("machines", _machine(), result)
    return result
