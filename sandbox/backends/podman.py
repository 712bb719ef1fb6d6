"""A fresh container of Podman per unit, through its Docker-compatible socket; the engine may run without root.

Podman takes the settings of ``docker`` and reports them in words of its own, so a unit's confinement is read from the
kernel instead. Limits that this user may not set (control groups v1, or controllers that are not delegated) are not
promised: the memory is then watched from here, processes are limited as those of a user, and cores by affinity.
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container
from docker.types import DeviceRequest, Ulimit

from unlearn_bench.sandbox import gpu, procfs, trust
from unlearn_bench.sandbox.backends.docker import Docker, RunningContainer
from unlearn_bench.sandbox.child import RESERVED
from unlearn_bench.sandbox.engine.attach import Attached
from unlearn_bench.sandbox.engine.client import FAILURES, connect
from unlearn_bench.sandbox.engine.confined import Difference, differences
from unlearn_bench.sandbox.engine.readback import NotEnforced, SettingMismatch
from unlearn_bench.sandbox.engine.reap import reap_volumes
from unlearn_bench.sandbox.engine.seccomp import profile
from unlearn_bench.sandbox.engine.settings import INODES, SCRATCH
from unlearn_bench.sandbox.types import LIMITS, Chunk, Exit, Job, Limit

CONTROLLED: Mapping[str, tuple[str, ...]] = {
    "memory": ("Memory", "MemorySwap"),
    "pids": ("PidsLimit",),
    "cpu": ("NanoCpus",),
    "cpuset": ("CpusetCpus",),
}
"""The settings that each of the kernel's controllers keeps."""
LOST: Mapping[str, Limit] = {"cpu": "cpu limit", "cpuset": "cpu limit", "pids": "processes"}
"""The limits that are not promised without a controller."""
PROCESSES = 16384
"""Processes of all units together: Podman's own default may be more than the machine allows."""
CLOSED = "ro,noexec,nosuid,nodev,mode=0555,size=4096"
"""Options of a mount over a folder that Podman would make writable."""
CDI = (Path("/etc/cdi"), Path("/var/run/cdi"))
"""Where descriptions of devices are (Container Device Interface)."""
MAKE_CDI = "sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"


@dataclass(frozen=True)
class PodmanEngine:
    """What an engine says of itself beyond Docker's interface."""

    rootless: bool
    missing: frozenset[str]
    """The controllers that it may not use, of ``CONTROLLED``."""
    configuration: Mapping[str, str]
    """What its isolation depends on."""

    @classmethod
    def read(cls, info: Mapping[str, Any]) -> PodmanEngine:
        """Return what the engine's own ``info`` says."""
        host = info["host"]
        controllers = set(host["cgroupControllers"] or ())
        configuration = {
            "engine": str(info["version"]["Version"]),
            "runtime": str(host["ociRuntime"]["version"]).splitlines()[0],
            "rootless": str(host["security"]["rootless"]),
            "cgroups": f"{host['cgroupVersion']} by {host['cgroupManager']}",
            "controllers": " ".join(sorted(controllers)),
        }
        return cls(bool(host["security"]["rootless"]), frozenset(CONTROLLED.keys() - controllers), configuration)


class Podman(Docker):
    """Back end ``podman``; trusted where it has earned it, see ``sandbox.trust``."""

    description = "a fresh container of Podman per unit, without network, privileges or anything hidden"
    preference = 80
    advice = (
        "use control groups v2 with the controllers cpu, cpuset, memory and pids delegated to this user "
        "(see `podman info`, cgroupControllers), or run Podman as root"
    )
    absent = (
        "Podman's socket does not answer; install Podman and start it (`systemctl --user start podman.socket`, or "
        "`podman system service --time=0 &`); CONTAINER_HOST names another socket"
    )

    def __init__(self) -> None:
        super().__init__()
        self.name = "podman"
        self.trusted = trust.earned(self)

    def unavailable(self, model: Mapping[str, Any], device: str) -> str | None:
        """Return why such a job cannot run here, with the remedy after a semicolon; ``None`` if it can."""
        return _missing_gpu(device) or super().unavailable(model, device)

    def reap(self) -> int:
        """Remove containers, volumes and stage folders whose harness is dead; see ``sandbox.engine.reap``."""
        removed = super().reap()
        try:
            with self.connection() as client:
                return removed + len(reap_volumes(client))
        except FAILURES:
            return removed

    @cached_property
    def enforces(self) -> frozenset[Limit]:  # type: ignore[override]
        """The limits that it promises to keep, from the controllers that the engine may use."""
        return LIMITS - {LOST[name] for name in self._engine.missing if name in LOST}

    def configuration(self) -> Mapping[str, str]:
        """Return what its isolation depends on."""
        return self._engine.configuration

    @cached_property
    def _engine(self) -> PodmanEngine:
        """The engine that answers, or one of which nothing is known."""
        with suppress(*FAILURES), self.connection() as client:
            answer = client.api.get(f"{client.api.base_url}/v4.0.0/libpod/info")
            answer.raise_for_status()
            return PodmanEngine.read(answer.json())
        return PodmanEngine(False, frozenset(), {})

    def _unfit(self, info: Mapping[str, Any]) -> str | None:
        return None  # what it cannot limit is not promised

    def connection(self) -> AbstractContextManager[docker.DockerClient]:
        """Return a client of Podman."""
        return connect(address())

    def _settings(self, job: Job, image: str, folder: Path, info: Mapping[str, Any]) -> dict[str, Any]:
        confined = super()._settings(job, image, folder, info)
        confined["stop_timeout"] = 0  # the removal of a running container would ask it to end first
        host = confined["host_config"]
        # Docker's interface carries the profile, Podman's the name of its file: beside the unit's folder, not in it
        file = folder.parent / "seccomp.json"
        file.write_text(profile())
        host["SecurityOpt"] = ["no-new-privileges=true", f"seccomp={file}"]
        host["Tmpfs"] |= {"/run": CLOSED, "/var/tmp": CLOSED}
        for controller in self._engine.missing:
            for name in CONTROLLED[controller]:
                host.pop(name, None)
        # without a controller the kernel counts the processes of the unit's user
        host["Ulimits"].append(_ulimit("nproc", job.limits.processes if "pids" in self._engine.missing else PROCESSES))
        if job.device != "cpu":
            host["DeviceRequests"] = [DeviceRequest(driver="cdi", device_ids=[_cdi_name(job.device)])]
        elif "memory" in self._engine.missing:
            host["Ulimits"].append(_ulimit("data", job.limits.memory + RESERVED))
        return confined

    @contextmanager
    def _started(
        self, client: docker.DockerClient, job: Job, confined: Mapping[str, Any], info: Mapping[str, Any]
    ) -> Iterator[RunningContainer]:
        """Start a container whose scratch folder is a volume: Podman bounds the files of no other file system."""
        host, name = confined["host_config"], confined["name"]
        del host["Tmpfs"][SCRATCH]
        # counted in pages: Podman takes a size in bytes for a quota of the disk
        blocks = job.limits.scratch // os.sysconf("SC_PAGE_SIZE")
        options = f"noexec,nosuid,nodev,mode=1777,nr_blocks={blocks},nr_inodes={INODES}"
        driver_options = {"type": "tmpfs", "device": "tmpfs", "o": options}
        client.volumes.create(name, driver_opts=driver_options, labels=confined["labels"])
        try:
            host["Binds"] = [f"{name}:{SCRATCH}:rw,noexec,nosuid,nodev"]
            with super()._started(client, job, confined, info) as running:
                yield running
        finally:
            with suppress(*FAILURES):  # of a container that could not be removed: reap() tries again
                client.volumes.get(name).remove(force=True)

    def _running(
        self,
        container: Container,
        attached: Attached,
        job: Job,
        confined: Mapping[str, Any],
        warnings: Sequence[str] | None,
        info: Mapping[str, Any],
    ) -> RunningContainer:
        if warnings:
            raise NotEnforced([], warnings)
        return _Running(container, attached, job, confined["host_config"], self._engine)


class _Running(RunningContainer):
    """A running container whose confinement the kernel confirms before its first bytes are believed."""

    def __init__(
        self, container: Container, attached: Attached, job: Job, host: Mapping[str, Any], engine: PodmanEngine
    ) -> None:
        super().__init__(container, attached)
        self._pid, self._job, self._host, self._engine = container.attrs["State"]["Pid"], job, host, engine
        self._confirmed = False
        self._peak = 0
        self._struck = False

    def receive(self, timeout: float) -> list[Chunk] | None:
        chunks = super().receive(timeout)
        if not self._confirmed and any(source == "channel" for source, _ in chunks or ()):
            self._confirm()
        return chunks

    def _confirm(self) -> None:
        """Set what the engine does not, and compare the unit with what was asked for, before the go signal.

        Its runner has started and waits. What it starts later inherits limits and cores.
        """
        for member in procfs.together_with(self._pid):
            if self._engine.rootless:  # Docker's interface drops these limits there
                for limit in self._host["Ulimits"]:
                    which = getattr(resource, f"RLIMIT_{limit['Name'].upper()}")
                    resource.prlimit(member.pid, which, (limit["Soft"], limit["Hard"]))
            if "cpuset" in self._engine.missing and self._job.cpus:
                for thread in Path(f"/proc/{member.pid}/task").iterdir():
                    os.sched_setaffinity(int(thread.name), self._job.cpus)
        wrong: list[Difference] = list(differences(self._pid, self._host, self._cgroup))
        if wrong:
            raise NotEnforced([SettingMismatch(*difference) for difference in wrong], [])
        self._confirmed = True

    def cpu_seconds(self) -> float | None:
        counted = super().cpu_seconds()
        if counted is not None:
            return counted
        return sum(member.cpu_seconds for member in procfs.together_with(self._pid))

    def stop(self, grace: float) -> Exit:
        self._struck = self._struck or bool(self._cgroup.memory_kills())  # the engine may not have noticed
        exit_ = super().stop(grace)
        return exit_._replace(oom=exit_.oom or self._struck)

    def over_memory(self) -> bool:
        if "memory" not in self._engine.missing:
            return False
        used = procfs.memory(procfs.together_with(self._pid), self._job.limits.memory)
        self._peak = max(self._peak, used)
        return used > self._job.limits.memory

    def peak_memory(self) -> int | None:
        peaks = (procfs.peak(member.pid) for member in procfs.together_with(self._pid))
        return super().peak_memory() or max([self._peak, *peaks]) or None


def address() -> str:
    """Return the address of Podman's socket: ``CONTAINER_HOST``, else that of this user's service, else root's."""
    if named := os.environ.get("CONTAINER_HOST"):
        return named
    if os.geteuid() == 0:
        return "unix:///run/podman/podman.sock"
    return f"unix://{os.environ.get('XDG_RUNTIME_DIR') or f'/run/user/{os.getuid()}'}/podman/podman.sock"


def _ulimit(name: str, value: int) -> Ulimit:
    return Ulimit(name=name, soft=value, hard=value)


def _cdi_name(device: str) -> str:
    return f"nvidia.com/gpu={gpu.identifier(device)}"


def _missing_gpu(device: str) -> str | None:
    """Return what is missing for a GPU: its description, without which Podman cannot hand it over."""
    if device == "cpu":
        return None
    described = [path.read_text() for folder in CDI if folder.is_dir() for path in folder.glob("*.y*ml")]
    if any("nvidia.com/gpu" in text for text in described):
        return None
    return f"no CDI description of {_cdi_name(device)} is here; make one: {MAKE_CDI}"


def create() -> Podman:
    """Return the back end, for ``sandbox.backends.load``."""
    return Podman()
