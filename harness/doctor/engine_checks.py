"""Checks of the container engine: the engine, the image, and every step on the way to a GPU."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import NamedTuple

from unlearn_bench.harness.doctor.check import Check
from unlearn_bench.sandbox import backends
from unlearn_bench.sandbox.engine.facts import Facts, facts
from unlearn_bench.sandbox.gpu import identifier
from unlearn_bench.sandbox.limit_checks import ENTRIES
from unlearn_bench.sandbox.tiny import MODEL, tiny_job
from unlearn_bench.sandbox.types import MIB, Limits, Sandbox, Status

START = "install Docker, start it (`dockerd`) and check DOCKER_HOST; without it foreign entries cannot be run safely"
TOOLKIT = (
    "install the NVIDIA Container Toolkit, run `nvidia-ctk runtime configure --runtime=docker`, restart the engine"
)


class GpuUnit(NamedTuple):
    """A unit that is run on a GPU, and the status that it must end in."""

    subject: str
    entry: str
    """A file of ``sandbox/limit_checks/entries``."""
    what: str
    expected: Status
    deadline: float = 300.0
    """Seconds."""


GPU_UNITS = (
    GpuUnit("gpu unit", "gpu", "training", "ok"),
    GpuUnit("gpu memory", "gpu_memory", "more memory than there is", "oom"),
    GpuUnit("gpu fault", "gpu_fault", "reading beyond a tensor", "crash"),
    GpuUnit("gpu hang", "gpu_hang", "a kernel that does not end", "timeout", 20.0),
    GpuUnit("gpu again", "gpu", "training after all that", "ok"),
)


def engine() -> Iterator[Check]:
    """Yield the checks of engine and image; neither is needed to run one's own code."""
    running_engine = facts()
    if running_engine is None:
        yield Check("engine", "no container engine answers", START, needed=False)
        return
    missing = running_engine.lacking
    text = running_engine.line + (f"; it cannot limit: {', '.join(missing)}" if missing else "")
    remedy = f"switch the kernel's controllers on: {', '.join(missing)} (boot with cgroup_enable=memory swapaccount=1)"
    yield Check("engine", text, remedy if missing else "", needed=False)
    yield _image(running_engine)


def gpu(index: int, sandbox: str = "docker") -> Iterator[Check]:
    """Yield the checks of every step on the way of a GPU into a sandbox, and of units that use and misuse it."""
    backend, docker = backends.load(sandbox), sandbox.partition(":")[0] == "docker"
    way = _gpu_engine(facts()) if docker else _gpu_back_end(backend, index)
    ready = True
    for check in (_driver(index), *_sharing(), *way):
        ready = ready and (check.ok or not check.needed)
        yield check
    if not ready:
        yield Check("gpu unit", "not run", "see the lines above")
        return
    for unit in GPU_UNITS:
        yield _gpu_unit(backend, index, unit, f"{TOOLKIT}; then try again" if docker else backend.advice)


def _gpu_back_end(backend: Sandbox, index: int) -> Iterator[Check]:
    what, _, remedy = (backend.unavailable(MODEL, f"cuda:{index}") or "").partition("; ")
    yield Check("gpu sandbox", what or f"{backend.name} is usable", remedy)


def _gpu_unit(backend: Sandbox, index: int, unit: GpuUnit, remedy: str) -> Check:
    source = (ENTRIES / f"{unit.entry}.py").read_bytes()
    with tiny_job(source, Limits(deadline=unit.deadline, memory=16 * 1024 * MIB), device=f"cuda:{index}") as job:
        outcome = backend.run(job, nullcontext())
    if outcome.status != unit.expected:
        what = f"{unit.what}: {outcome.status}, not {unit.expected}: {outcome.reason}"
        return Check(unit.subject, what, remedy)
    if outcome.status != "ok":
        return Check(unit.subject, f"{unit.what}: {outcome.status}: {outcome.reason}")
    last_line = outcome.log.strip().splitlines()[-1:]
    trained = f"trained in {outcome.seconds:.1f} s on {outcome.environment['device']}; {' '.join(last_line)}"
    return Check(unit.subject, trained)


def _image(engine: Facts) -> Check:
    if not engine.images:
        return Check("image", "none is here", "bench image", needed=False)
    return Check("image", "; ".join(f"{tags or 'untagged'} {digest}" for tags, digest, _ in engine.images))


def _driver(index: int) -> Check:
    if shutil.which("nvidia-smi") is None:
        what = "this machine has no nvidia-smi, so no NVIDIA driver"
        return Check("gpu driver", what, "install the driver, or run on the CPU (without --gpu)")
    fields = "name,driver_version,memory.total,mig.mode.current,compute_mode"
    name = identifier(f"cuda:{index}")
    # a MIG device cannot be queried by itself, only be listed
    query = ["-L"] if name.startswith("MIG-") else [f"--id={name}", f"--query-gpu={fields}", "--format=csv,noheader"]
    answer = subprocess.run(["nvidia-smi", *query], capture_output=True, text=True)
    lines = (answer.stdout or answer.stderr).strip().splitlines()
    described = [line.strip() for line in lines if name in line] if query == ["-L"] else lines[:1]
    usable = answer.returncode == 0 and bool(described)
    text = f"GPU {name}: {' '.join(described) or 'not listed'}"
    return Check("gpu driver", text, "" if usable else "name a GPU that `nvidia-smi -L` lists")


def _sharing() -> Iterator[Check]:
    """Yield a line if NVIDIA's Multi-Process Service runs."""
    for file in Path("/proc").glob("[0-9]*/comm"):
        with suppress(OSError):  # the process has just ended
            if file.read_text().startswith("nvidia-cuda-mps"):
                text = "the Multi-Process Service (MPS) runs; containers do not reach it"
                remedy = "if units fail in exclusive compute mode, end it: echo quit | nvidia-cuda-mps-control"
                yield Check("gpu sharing", text, remedy, needed=False)
                return


def _gpu_engine(engine: Facts | None) -> Iterator[Check]:
    if engine is None:
        yield Check("gpu engine", "no container engine answers", START)
        return
    passes = engine.passes_gpus()
    text = "has NVIDIA's runtime or CDI devices" if passes else "knows neither NVIDIA's runtime nor a CDI device"
    yield Check("gpu engine", text, "" if passes else TOOLKIT)
    with_cuda = [tags for tags, _, cuda in engine.images if cuda]
    text = f"{', '.join(with_cuda)} with CUDA" if with_cuda else "no image with torch for a GPU is here"
    yield Check("gpu image", text, "" if with_cuda else "bench image --variant full")
