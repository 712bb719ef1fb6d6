"""Description of this machine, and the hardware class that run times belong to."""

from __future__ import annotations

import hashlib
import os
import platform
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from unlearn_bench.harness.support.digests import digest
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError


def cores() -> list[int]:
    """Return the numbers of the cores that this process may use; where the system does not say, of all."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def require_linux(what: str) -> None:
    """Raise ``BenchError`` where the system cannot pin, limit and end processes as runs need it.

    ``what`` needs it, as the beginning of a sentence.
    """
    if not hasattr(os, "sched_setaffinity"):
        raise BenchError(
            f"{what} needs Linux, and this is {platform.system()}: cores, limits and the end of processes are Linux's",
            "this machine",
            "run it on Linux, in WSL 2 or in a virtual machine; boards, check, score and rescore work here",
            EXIT_CODES["infra"],
        )


def hardware() -> dict[str, Any]:
    """Return CPU model, cores, memory, and an id of this machine that reveals nothing else about it."""
    return {
        "cpu": _cpu(),
        "cores": len(cores()),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "system": f"{platform.system()} {platform.release()}",
        "machine": machine_id(),
    }


def torch_version() -> str:
    """Return torch's version; imported only here, so that naming the machine needs no torch."""
    import torch

    return str(torch.__version__)


def timing_class(environment: Mapping[str, Any]) -> str:
    """Return the class of runs that may be compared by the clock: same machine, back end, image, torch and device."""
    keys = ("machine", "cpu", "cores", "backend", "image", "torch", "device")
    return digest({key: environment.get(key) for key in keys})[:16]


def hardware_class(environment: Mapping[str, Any]) -> str:
    """Name the GPU that a unit ran on, or CPU and cores, as tables show it."""
    device = str(environment.get("device") or "")
    if " " in device:  # a GPU's name; for a CPU it is the architecture, one word
        return device
    return f"{environment.get('cpu') or device or 'unknown'}, {environment.get('cores', '?')} cores"


@cache
def _cpu() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass  # without /proc the platform module has to suffice
    return platform.processor() or platform.machine()


@cache
def machine_id() -> str:
    """Return an id of this machine that reveals nothing else about it."""
    path = Path("/etc/machine-id")
    identity = path.read_text().strip() if path.is_file() else ""
    return hashlib.sha256(f"unlearn-bench {identity or platform.node()}".encode()).hexdigest()[:12]
