"""A container of Apptainer per unit, for clusters where it is the only engine; no service and no root are needed.

Written against Apptainer's documentation and tested with a stand-in for its command, not with Apptainer itself. Files,
network and processes of the host are out of reach. An ordinary user cannot give Apptainer a system call filter, and the
size of ``/tmp`` is the administrator's, so that results are marked untrusted; the memory is watched from here.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from unlearn_bench.sandbox import child, gpu, procfs, stage
from unlearn_bench.sandbox.child import ChildSpec, RunningChild
from unlearn_bench.sandbox.engine import images
from unlearn_bench.sandbox.engine.settings import COMMAND, FOLDER
from unlearn_bench.sandbox.family import Family
from unlearn_bench.sandbox.procfs import Member
from unlearn_bench.sandbox.session import conduct
from unlearn_bench.sandbox.types import Job, Limit, Outcome

IMAGE = "BENCH_APPTAINER_IMAGE"
"""The environment variable that names the image, a SIF file."""
OPTIONS = (
    "--containall", "--no-home", "--no-mount", "hostfs,cwd,bind-paths", "--no-eval", "--no-privs",
    "--net", "--network", "none", "--pwd", "/tmp",
)  # fmt: skip
"""Nothing of the host's files, environment, processes and network, and no privileges."""
GIVEN = ("HOME", "PATH")
"""Variables that Apptainer sets itself."""
TIMEOUT = 60.0
"""Seconds that a question about an image may take."""


class Apptainer:
    """Back end ``apptainer``."""

    name = "apptainer"
    description = "a container of Apptainer per unit, without network or the host's files, but with every system call"
    trusted = False
    preference = 60
    enforces: frozenset[Limit] = frozenset({"network", "cpu limit", "memory limit", "deadline"})
    advice = "see `apptainer exec --containall --net --network none`, or use docker or podman"

    def unavailable(self, model: Mapping[str, Any], device: str) -> str | None:
        """Return why such a job cannot run here, with the remedy after a semicolon; ``None`` if it can."""
        if shutil.which("apptainer") is None:
            return "Apptainer is not installed here; install it, or use docker"
        if os.geteuid() == 0:
            return "units of Apptainer run as the user of this command, which is root; run it as an ordinary user"
        return _unfit_image(model, device) or _missing_gpu(device)

    def run(self, job: Job, clock: AbstractContextManager[Any], stop: threading.Event | None = None) -> Outcome:
        """Run one job; see ``sandbox.session.conduct``."""
        from unlearn_bench.sandbox.inside import models

        environment: dict[str, Any] = {"backend": self.name, "trusted": self.trusted}
        if reason := self.unavailable(job.model, job.device) or _unmet(job.requirements):
            return Outcome("infra", reason, environment=environment)
        environment["image"] = f"sha256:{_digest(image(), image().stat().st_mtime_ns)}"
        try:
            with stage.staged(job) as folder, _started(job, folder) as running:
                return conduct(job, models.layout(job.model), running, clock, environment, stop)
        except OSError as error:
            return Outcome("infra", f"{self.name}: the unit could not be run: {error}", environment=environment)

    def reap(self) -> int:
        """Remove folders whose harness is dead; its containers end with it."""
        return len(stage.reap())


class Contained(Family):
    """The processes of the first one's session, and all in the process namespaces that these have made."""

    def members(self, first: int) -> list[Member]:
        """Return all of them, zombies included."""
        members = {member.pid: member for member in super().members(first)}
        outside = procfs.pid_namespace(os.getpid())
        for pid in tuple(members):
            if procfs.pid_namespace(pid) not in ("", outside):
                members |= {member.pid: member for member in procfs.together_with(pid)}
        return list(members.values())


def image() -> Path:
    """Return the image that the environment names."""
    return Path(os.environ.get(IMAGE, ""))


def command(job: Job, folder: Path) -> list[str]:
    """Return the command that runs a job staged in a folder."""
    variables = child.variables(job.threads, FOLDER, "/tmp")
    graphics = []
    if job.device != "cpu":
        variables["CUDA_VISIBLE_DEVICES"] = gpu.identifier(job.device)
        graphics = ["--nv"]
    environment = [f"--env={name}={value}" for name, value in variables.items() if name not in GIVEN]
    bound = ["--bind", f"{folder}:{FOLDER}:ro"]
    return [_program(), "--silent", "exec", *OPTIONS, *graphics, *bound, *environment, str(image()), *COMMAND]


@contextmanager
def _started(job: Job, folder: Path) -> Iterator[RunningChild]:
    own = {name: os.environ[name] for name in GIVEN if name in os.environ}
    with child.started(job, ChildSpec(command(job, folder), own, Path("/"), (), Contained(None))) as running:
        yield running


def _program() -> str:
    return shutil.which("apptainer") or "apptainer"


def _unfit_image(model: Mapping[str, Any], device: str) -> str | None:
    from unlearn_bench.sandbox.inside.models import needs

    make = "make one: apptainer build unlearn-bench.sif docker-daemon:unlearn-bench:lean"
    if not image().is_file():
        return f"{IMAGE} names no image; {make}"
    labels = _labels(image(), image().stat().st_mtime_ns)
    if not images.suffices(labels, needs(model), device):
        carried = " and ".join(("torch", *needs(model))) + ("" if device == "cpu" else " for a GPU")
        return f"the image {image().name} does not carry {carried}; {make.replace('lean', 'full')}"
    return None


def _unmet(requirements: Sequence[str]) -> str | None:
    labels = _labels(image(), image().stat().st_mtime_ns)
    if labels.get(images.REQUIREMENTS_LABEL, "") == images.requirements_text(requirements):
        return None
    what = f"the image {image().name} is not the one for entries that require {', '.join(requirements) or 'nothing'}"
    return f"{what}; build that image, make a SIF file of it and name it in {IMAGE}"


@functools.cache
def _labels(path: Path, changed: int) -> Mapping[str, Any]:
    """Return the labels of an image; ``changed`` is when it was last written, in nanoseconds."""
    query = [_program(), "inspect", "--json", "--labels", str(path)]
    answer = subprocess.run(query, capture_output=True, text=True, timeout=TIMEOUT)
    if answer.returncode != 0:
        return {}
    labels: Mapping[str, Any] = json.loads(answer.stdout)["data"]["attributes"]["labels"]
    return labels


@functools.cache
def _digest(path: Path, changed: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _missing_gpu(device: str) -> str | None:
    # a UUID has no device file of its own, and the runner looks anyway
    if device == "cpu" or not gpu.identifier(device).isdigit() or Path(f"/dev/nvidia{gpu.identifier(device)}").exists():
        return None
    return f"there is no GPU {device} here; name one that `nvidia-smi -L` lists, or use the CPU"


def create() -> Apptainer:
    """Return the back end, for ``sandbox.backends.load``."""
    return Apptainer()
