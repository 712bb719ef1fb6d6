"""What this machine is: the hardware class that run times belong to, and whether its cores disturb each other."""

from __future__ import annotations

import hashlib
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from harness.store import Store
from harness.track import digest

TOLERANCE = 0.05
"""Slow-down by neighbours above which timed units run one at a time."""

# A fixed amount of the arithmetic that units do: small convolutions, forward and backward.
_WORK = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
import torch
torch.set_num_threads(1)
layer = torch.nn.Conv2d(16, 16, 3, padding=1)
images = torch.randn(128, 16, 16, 16)
def rounds(n):
    for _ in range(n):
        layer(images).square().mean().backward()
rounds(20)
print("ready", flush=True)
sys.stdin.readline()
start = time.perf_counter()
rounds(int(sys.argv[2]))
print(time.perf_counter() - start, flush=True)
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


def timing_class(environment: Mapping[str, Any]) -> str:
    """Runs of one class may be compared by the clock: same machine, back end, image, torch and device."""
    keys = ("machine", "cpu", "cores", "backend", "image", "torch", "device")
    return digest({key: environment.get(key) for key in keys})[:16]


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


def neighbours_cost(cores: Sequence[int], repeats: int = 3) -> float:
    """By which fraction a core slows down when all others work too (median of interleaved repeats)."""
    ratios = []
    for _ in range(repeats):
        alone = _timed(cores[:1])[0]
        together = statistics.mean(_timed(cores))
        ratios.append(together / alone - 1)
    return statistics.median(ratios)


def _timed(cores: Sequence[int], rounds: int = 150) -> list[float]:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", _WORK, str(core), str(rounds)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for core in cores
    ]
    try:
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("\n")
            worker.stdin.flush()
        return [float(worker.communicate(timeout=300)[0]) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()


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
    result = {"cores": len(cores), "neighbours_cost": round(neighbours_cost(cores), 4)}
    store.write("machines", _machine(), result)
    return result
