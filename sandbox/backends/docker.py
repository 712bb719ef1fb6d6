"""A fresh container per unit: the back end whose results of foreign code may be ranked on a public board."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from unlearn_bench.sandbox import stage
from unlearn_bench.sandbox.engine import client as engine
from unlearn_bench.sandbox.engine import images
from unlearn_bench.sandbox.engine.attach import Attached
from unlearn_bench.sandbox.engine.cgroup import Cgroup
from unlearn_bench.sandbox.engine.client import FAILURES, connect, explain
from unlearn_bench.sandbox.engine.facts import lacking
from unlearn_bench.sandbox.engine.readback import NotEnforced, check
from unlearn_bench.sandbox.engine.reap import labels, reap
from unlearn_bench.sandbox.engine.settings import settings
from unlearn_bench.sandbox.session import conduct
from unlearn_bench.sandbox.types import LIMITS, Chunk, Exit, Job, Outcome

_SIGNAL_BASE = 128


class Docker:
    """Back end ``docker``; ``runtime`` names another OCI runtime of the engine, such as gVisor's ``runsc``."""

    description = "a fresh container per unit, without network, privileges or anything hidden"
    trusted = True
    preference = 100
    enforces = LIMITS
    advice = (
        "use an engine that enforces it: rootful, version 20.10 or later, with its cgroup controllers on and its "
        "default security options (see `docker info`); rootless engines on cgroup v1 ignore limits"
    )

    absent = "no container engine answers; install Docker, start it (`dockerd`) and check DOCKER_HOST"
    """What is missing where no engine answers, and the remedy."""

    def __init__(self, runtime: str | None = None) -> None:
        self.runtime = runtime
        # times under another runtime are not comparable, so it has another name
        self.name = f"docker:{runtime}" if runtime else "docker"
        self._unremoved: set[str] = set()
        """Containers that could not be removed: they may still run, so no further unit starts beside them."""

    def unavailable(self, model: Mapping[str, Any], device: str) -> str | None:
        """Return why such a job cannot run here, with the remedy after a semicolon; ``None`` if it can."""
        try:
            with self.connection() as client:
                client.ping()
                return self._unfit(client.info()) or _missing_image(client, model, device)
        except FAILURES:
            return self.absent

    def run(self, job: Job, clock: AbstractContextManager[Any], stop: threading.Event | None = None) -> Outcome:
        """Run one job; see ``sandbox.session.conduct``."""
        from unlearn_bench.sandbox.inside import models

        environment: dict[str, Any] = {"backend": self.name, "trusted": self.trusted}
        name = f"unlearn-bench-{secrets.token_hex(8)}"
        try:
            with self.connection() as client, stage.staged(job) as folder:
                for container in tuple(self._unremoved):
                    _remove(client, container)
                    self._unremoved.discard(container)
                info = client.info()
                missing = self._unfit(info) or _missing_image(client, job.model, job.device, job.requirements)
                image = images.find(client, models.needs(job.model), job.device, job.requirements)
                if missing or image is None:
                    return Outcome("infra", missing or "no image", environment=environment)
                environment |= {
                    "image": image.id,
                    **({"requirements": image.labels[images.RESOLVED_LABEL].splitlines()} if job.requirements else {}),
                    "engine": info["ServerVersion"],
                    "runtime": self.runtime or info["DefaultRuntime"],
                }
                confined = self._settings(job, image.id, folder, info)
                with self._started(client, job, {"name": name, **confined}, info) as running:
                    outcome = conduct(job, models.layout(job.model), running, clock, environment, stop)
        except (stage.StageError, NotEnforced) as error:
            return Outcome("infra", str(error), environment=environment)
        except FAILURES as error:
            return Outcome("infra", explain(error), environment=environment)
        if name in self._unremoved:
            unremoved = "its container could not be removed yet: the next unit or command removes it"
            return replace(outcome, warnings=(*outcome.warnings, unremoved))
        return outcome

    def reap(self) -> int:
        """Remove containers and stage folders whose harness is dead; see ``sandbox.engine.reap``."""
        folders = len(stage.reap())
        try:
            with self.connection() as client:
                return folders + len(reap(client))
        except FAILURES:
            return folders  # an engine that does not answer fails the next unit, with its reason

    def _unfit(self, info: Mapping[str, Any]) -> str | None:
        """Return why an engine, by its ``info``, cannot run units as they must be, with the remedy."""
        if missing := lacking(info):
            return f"the engine has no control over {', '.join(missing)} and would ignore these limits; {self.advice}"
        return _unknown_runtime(info, self.runtime)

    def connection(self) -> AbstractContextManager[docker.DockerClient]:
        """Return a client of the engine that makes the containers."""
        return connect()

    def _settings(self, job: Job, image: str, folder: Path, info: Mapping[str, Any]) -> dict[str, Any]:
        """Return everything that confines a job staged in a folder, as arguments of the SDK."""
        return settings(job, image, folder, labels(job.run_id), info, self.runtime)

    def _running(
        self,
        container: Container,
        attached: Attached,
        job: Job,
        confined: Mapping[str, Any],
        warnings: Sequence[str] | None,
        info: Mapping[str, Any],
    ) -> RunningContainer:
        """Return a started container that is confined as it was asked to be.

        Raises:
            NotEnforced: it is not.
        """
        running = RunningContainer(container, attached)
        check(confined, warnings, container.attrs, info)
        return running

    @contextmanager
    def _started(
        self, client: docker.DockerClient, job: Job, confined: Mapping[str, Any], info: Mapping[str, Any]
    ) -> Iterator[RunningContainer]:
        try:
            created = client.api.create_container(**confined)
            container = client.containers.prepare_model({"Id": created["Id"]})
            attached = Attached(client, container.id)
            try:
                container.start()
                yield self._running(container, attached, job, confined, created["Warnings"], info)
            finally:
                attached.shut()
        finally:
            try:
                # by name: a request that got no answer may have created it all the same
                _remove(client, confined["name"])
            except FAILURES:  # must not hide the unit's own outcome
                self._unremoved.add(confined["name"])


class RunningContainer:
    """A running container: a ``RunningSandbox``."""

    def __init__(self, container: Container, attached: Attached) -> None:
        self._container, self._attached = container, attached
        container.reload()
        self._cgroup = Cgroup(container.attrs["State"]["Pid"], container.id)
        self._exit: Exit | None = None

    def receive(self, timeout: float) -> list[Chunk] | None:
        """Return what arrives within ``timeout`` seconds; ``None`` after the end."""
        return self._attached.receive(timeout)

    def send(self, data: bytes) -> None:
        """Write to the channel."""
        self._attached.send(data)

    def cpu_seconds(self) -> float | None:
        """Return the CPU time used so far by all its processes; ``None`` if unknown."""
        return self._cgroup.cpu_seconds()

    def over_memory(self) -> bool:
        """Return whether the host must stop it for its memory."""
        return False  # the kernel enforces the container's limit

    def peak_memory(self) -> int | None:
        """Return the largest memory use so far, in bytes; ``None`` if unknown."""
        return self._cgroup.peak_memory()

    def stop(self, grace: float) -> Exit:
        """Let it end by itself for ``grace`` seconds, then kill everything in it, in bounded time."""
        if self._exit is None:
            peak, log = self.peak_memory(), b""
            try:
                log = self._attached.rest()
                self._attached.shut()
                code, oom = self._end(grace)
                self._exit = Exit(code, oom, peak, log)
            except FAILURES as error:
                self._exit = Exit(None, peak_memory=peak, log=log, failure=explain(error))
        return self._exit

    def _end(self, grace: float) -> tuple[int | None, bool]:
        by_itself = self._ends_within(grace)
        if not by_itself:
            with suppress(APIError):  # it may end at this moment; wait() below fails if it does not
                self._container.kill()
            self._container.wait()
        self._container.reload()
        state = self._container.attrs["State"]
        code = int(state["ExitCode"])
        code = _SIGNAL_BASE - code if code > _SIGNAL_BASE else code
        return code if by_itself else None, bool(state["OOMKilled"])

    def _ends_within(self, grace: float) -> bool:
        patience = time.monotonic() + grace
        while True:
            self._container.reload()
            if not self._container.attrs["State"]["Running"]:
                return True
            if time.monotonic() >= patience:
                return False
            time.sleep(0.02)


def _remove(client: docker.DockerClient, name: str) -> None:
    give_up = time.monotonic() + engine.TIMEOUT
    while True:
        try:
            client.api.remove_container(name, force=True, v=True)
            return
        except NotFound:
            return
        except APIError as error:  # a removal requested before the engine hung is still in progress
            if error.status_code != HTTPStatus.CONFLICT or time.monotonic() > give_up:
                raise
        time.sleep(0.1)


def _missing_image(
    client: docker.DockerClient, model: Mapping[str, Any], device: str, requirements: Sequence[str] = ()
) -> str | None:
    from unlearn_bench.sandbox.inside.models import needs

    packages = needs(model)
    if images.find(client, packages, device, requirements) is not None:
        return None
    variant = "lean" if not packages and device == "cpu" else "full"
    if requirements and images.find(client, packages, device) is not None:
        return (
            f"no image {images.REPOSITORY} with {', '.join(requirements)} is here; if you want it, build it: "
            f"bench image --variant {variant} --for ENTRY"
        )
    carried = " and ".join(("torch", *packages)) + ("" if device == "cpu" else " for a GPU")
    return f"no image {images.REPOSITORY} with {carried} is here; build it: bench image --variant {variant}"


def _unknown_runtime(info: Mapping[str, Any], runtime: str | None) -> str | None:
    runtimes = info["Runtimes"]
    if runtime is None or runtime in runtimes:
        return None
    return (
        f"the engine knows no OCI runtime {runtime!r}, only {', '.join(sorted(runtimes))}; "
        'install it and add it to "runtimes" in /etc/docker/daemon.json'
    )


def create(runtime: str | None = None) -> Docker:
    """Return the back end, for ``sandbox.backends.load``."""
    return Docker(runtime)
