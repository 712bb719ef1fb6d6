"""A fresh container per unit: the back end whose results of foreign code may be ranked on a public board."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any

import docker
from docker.errors import APIError, DockerException, NotFound
from docker.models.containers import Container
from requests.exceptions import RequestException

from sandbox.engine import images
from sandbox.engine.attach import Attached
from sandbox.engine.cgroup import Cgroup
from sandbox.engine.readback import NotEnforced, check
from sandbox.engine.reap import labels, reap
from sandbox.engine.settings import settings
from sandbox.session import Chunk, Exit, conduct
from sandbox.stage import staged
from sandbox.text import one_line
from sandbox.types import Job, Outcome

TIMEOUT = 30
"""Seconds that any call to the engine may take."""
_SIGNAL_BASE = 128


class Docker:
    """Back end ``docker``; ``runtime`` names another OCI runtime of the engine, such as gVisor's ``runsc``."""

    trusted = True

    def __init__(self, runtime: str | None = None) -> None:
        self.runtime = runtime
        # times in another runtime are not comparable: another name
        self.name = f"docker:{runtime}" if runtime else "docker"

    def unavailable(self, model: Mapping[str, Any], device: str) -> str | None:
        """Why such a job cannot run here, with the remedy after a semicolon."""
        try:
            with _engine() as client:
                client.ping()
                return _unknown(client.info(), self.runtime) or _missing(client, model, device)
        except (DockerException, RequestException, OSError):
            return "no container engine answers; install Docker, start it (`dockerd`) and check DOCKER_HOST"

    def run(self, job: Job, clock: AbstractContextManager[Any], stop: threading.Event | None = None) -> Outcome:
        """Run one job; see ``sandbox.session.conduct``."""
        from sandbox.inside import models

        environment: dict[str, Any] = {"backend": self.name, "trusted": self.trusted}
        try:
            with _engine() as client, staged(job) as stage:
                info = client.info()
                missing = _unknown(info, self.runtime) or _missing(client, job.model, job.device)
                image = images.find(client, models.NEEDS[job.model["name"]], job.device)
                if missing or image is None:
                    return Outcome("infra", missing or "no image", environment=environment)
                environment |= {
                    "image": image.id,
                    "engine": info["ServerVersion"],
                    "runtime": self.runtime or info["DefaultRuntime"],
                }
                confined = settings(job, image.id, stage, labels(job.run_id), info, self.runtime)
                with _started(client, confined, info) as box:
                    return conduct(job, models.layout(job.model), box, clock, environment, stop)
        except NotEnforced as error:
            return Outcome("infra", str(error), environment=environment)
        except (DockerException, RequestException, OSError) as error:
            return Outcome("infra", _explain(error), environment=environment)

    def reap(self) -> int:
        """Remove containers whose harness is dead; see ``sandbox.engine.reap``."""
        try:
            with _engine() as client:
                return len(reap(client))
        except (DockerException, RequestException, OSError):
            return 0  # an engine that does not answer fails the next unit, with its reason


class _Box:
    """A running container."""

    def __init__(self, container: Container, attached: Attached) -> None:
        self._container, self._attached = container, attached
        container.reload()
        self._cgroup = Cgroup(container.attrs["State"]["Pid"], container.id)
        self._exit: Exit | None = None

    def receive(self, timeout: float) -> list[Chunk] | None:
        return self._attached.receive(timeout)

    def send(self, data: bytes) -> None:
        self._attached.send(data)

    def cpu_seconds(self) -> float | None:
        return self._cgroup.cpu_seconds()

    def over_memory(self) -> bool:
        return False  # the kernel enforces the container's limit

    def stop(self, grace: float) -> Exit:
        if self._exit is not None:
            return self._exit
        peak, log = self._cgroup.peak_memory(), self._attached.rest()
        self._attached.shut()
        by_itself = self._ends_within(grace)
        if not by_itself:
            with suppress(APIError):  # it may end in this moment; wait() below fails if it does not
                self._container.kill()
            self._container.wait(timeout=TIMEOUT)
        self._container.reload()
        state = self._container.attrs["State"]
        code = int(state["ExitCode"])
        code = _SIGNAL_BASE - code if code > _SIGNAL_BASE else code
        self._exit = Exit(code if by_itself else None, oom=bool(state["OOMKilled"]), peak_memory=peak, log=log)
        return self._exit

    def _ends_within(self, grace: float) -> bool:
        until = time.monotonic() + grace
        while True:
            self._container.reload()
            if not self._container.attrs["State"]["Running"]:
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(0.02)


@contextmanager
def _engine() -> Iterator[docker.DockerClient]:
    client = docker.from_env(timeout=TIMEOUT)
    try:
        yield client
    finally:
        client.close()


@contextmanager
def _started(client: docker.DockerClient, confined: Mapping[str, Any], info: Mapping[str, Any]) -> Iterator[_Box]:
    created = client.api.create_container(**confined)
    container = client.containers.prepare_model({"Id": created["Id"]})
    try:
        attached = Attached(client, container.id)
        try:
            container.start()
            box = _Box(container, attached)
            check(confined, created["Warnings"], container.attrs, info)
            yield box
        finally:
            attached.shut()
    finally:
        with suppress(NotFound):
            container.remove(force=True, v=True)


def _missing(client: docker.DockerClient, model: Mapping[str, Any], device: str) -> str | None:
    from sandbox.inside.models import NEEDS

    needs = NEEDS[model["name"]]
    if images.find(client, needs, device) is not None:
        return None
    variant = "lean" if not needs and device == "cpu" else "full"
    carried = " and ".join(("torch", *needs)) + ("" if device == "cpu" else " for a GPU")
    return f"no image {images.REPOSITORY} with {carried} is here; build it: bench image --variant {variant}"


def _unknown(info: Mapping[str, Any], runtime: str | None) -> str | None:
    known = info["Runtimes"]
    if runtime is None or runtime in known:
        return None
    return (
        f"the engine knows no OCI runtime {runtime!r}, only {', '.join(sorted(known))}; "
        'install it and add it to "runtimes" in /etc/docker/daemon.json'
    )


def _explain(error: Exception) -> str:
    if "device driver" in str(error) or "nvidia" in str(error).lower():
        return one_line(f"the engine cannot pass the GPU on ({error}); install the NVIDIA Container Toolkit")
    return one_line(f"the container engine failed ({error}); check it with `docker info`, then try again")


def create(runtime: str | None = None) -> Docker:
    """The back end, for ``sandbox.backends.load``."""
    return Docker(runtime)
