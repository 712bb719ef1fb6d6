"""A plain subprocess with resource limits: a crash barrier for one's own code, **not** a sandbox.

The code that it runs can reach the network and every file that any user may read. Started by root, that code runs as a
user of its own without privileges, and can reach neither files that only root may read nor other processes. Started by
any other user, it runs as that user, with access to everything that is theirs.
"""

from __future__ import annotations

import importlib.util
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from unlearn_bench.sandbox import child, family, gpu, stage
from unlearn_bench.sandbox.child import ChildSpec, RunningChild
from unlearn_bench.sandbox.family import Family, own_user
from unlearn_bench.sandbox.types import Job, Limit, Outcome


class Process:
    """Back end ``process``."""

    name = "process"
    description = "a crash barrier, not a sandbox: run only code that you trust"
    trusted = False
    preference = 0
    enforces: frozenset[Limit] = frozenset({"cpu limit", "memory limit", "deadline"})
    advice = "close what else uses the machine and try again, or use another back end"

    def unavailable(self, model: Mapping[str, Any], device: str) -> str | None:
        """Return why such a job cannot run here, with the remedy after a semicolon; ``None`` if it can."""
        from unlearn_bench.sandbox.inside.models import needs

        missing = [package for package in needs(model) if importlib.util.find_spec(package) is None]
        if missing:
            return f"the model needs {' and '.join(missing)}; pip install {' '.join(missing)}"
        if device != "cpu":
            import torch

            if int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
                return f"torch sees no GPU {device}; check the driver with nvidia-smi, or use the CPU"
        return child.unreachable()

    def run(self, job: Job, clock: AbstractContextManager[Any], stop: threading.Event | None = None) -> Outcome:
        """Run one job; see ``sandbox.session.conduct``."""
        return child.run(self, job, _started, clock, stop)

    def reap(self) -> int:
        """Remove folders whose harness is dead; as root, also end the processes of their units."""
        return len(stage.reap()) + family.reap()


@contextmanager
def _started(job: Job, folder: Path) -> Iterator[RunningChild]:
    with own_user() as user, child.scratch(user) as scratch:
        variables = child.variables(job.threads, str(folder), str(scratch)) | _gpu(job.device)
        unit = ChildSpec(child.runner(str(folder)), variables, scratch, (folder, scratch), Family(user))
        with child.started(job, unit) as running:
            yield running


def _gpu(device: str) -> dict[str, str]:
    """Return the variables that make one GPU visible and say where its libraries are."""
    if device == "cpu":
        return {}
    variables = {"CUDA_VISIBLE_DEVICES": gpu.identifier(device)}
    if "LD_LIBRARY_PATH" in os.environ:
        variables["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return variables


def create() -> Process:
    """Return the back end, for ``sandbox.backends.load``."""
    return Process()
