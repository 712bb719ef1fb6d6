"""Checks of the container engine: the engine, the image, and every step on the way to a GPU."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import nullcontext

from unlearn_bench.harness.doctor.check import Check
from unlearn_bench.sandbox import backends
from unlearn_bench.sandbox.engine.facts import Facts, facts
from unlearn_bench.sandbox.limit_checks import ENTRIES
from unlearn_bench.sandbox.tiny import tiny_job
from unlearn_bench.sandbox.types import MIB, Limits

START = "install Docker, start it (`dockerd`) and check DOCKER_HOST; without it foreign entries cannot be run safely"
TOOLKIT = (
    "install the NVIDIA Container Toolkit, run `nvidia-ctk runtime configure --runtime=docker`, restart the engine"
)
GPU_MINUTES = 5


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


def gpu(index: int) -> Iterator[Check]:
    """Yield the checks of every step on the way of a GPU into a container, and of a unit that trains on it."""
    ready = True
    for check in (_driver(index), *_gpu_engine(facts())):
        ready = ready and check.ok
        yield check
    if not ready:
        yield Check("gpu unit", "not run", "see the lines above")
        return
    bounds = Limits(deadline=60 * GPU_MINUTES, memory=16 * 1024 * MIB)
    with tiny_job((ENTRIES / "gpu.py").read_bytes(), bounds, device=f"cuda:{index}") as job:
        outcome = backends.load("docker").run(job, nullcontext())
    if outcome.status != "ok":
        yield Check("gpu unit", f"{outcome.status}: {outcome.reason}", f"{TOOLKIT}; then try again")
        return
    last_line = outcome.log.strip().splitlines()[-1:]
    yield Check(
        "gpu unit", f"trained in {outcome.seconds:.1f} s on {outcome.environment['device']}; {' '.join(last_line)}"
    )


def _image(engine: Facts) -> Check:
    if not engine.images:
        return Check("image", "none is here", "bench image", needed=False)
    return Check("image", "; ".join(f"{tags or 'untagged'} {digest}" for tags, digest, _ in engine.images))


def _driver(index: int) -> Check:
    if shutil.which("nvidia-smi") is None:
        what = "this machine has no nvidia-smi, so no NVIDIA driver"
        return Check("gpu driver", what, "install the driver, or run on the CPU (without --gpu)")
    query = ["nvidia-smi", f"--id={index}", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    query_result = subprocess.run(query, capture_output=True, text=True)
    first_line = (query_result.stdout or query_result.stderr).strip().splitlines()[:1]
    text = f"GPU {index}: {' '.join(first_line)}"
    return Check("gpu driver", text, "" if query_result.returncode == 0 else "name a GPU that `nvidia-smi -L` lists")


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
