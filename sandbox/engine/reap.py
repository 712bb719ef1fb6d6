"""Which process owns a container, and the removal of containers that a killed harness left behind."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import docker
from docker.errors import APIError

from unlearn_bench.sandbox import procfs

RUN_LABEL = "unlearn-bench.run"
OWNER_LABEL = "unlearn-bench.owner"


def labels(run_id: str) -> dict[str, str]:
    """Return the labels of a container of this process."""
    return {RUN_LABEL: run_id, OWNER_LABEL: _owner(os.getpid())}


def reap(client: docker.DockerClient) -> list[str]:
    """Remove the containers whose harness is dead, and no others; return their ids."""
    removed = []
    for name in orphans(client):
        try:
            client.containers.get(name).remove(force=True, v=True)
        except APIError:  # another harness removed it first, or it cannot be removed; go on with the others
            continue
        removed.append(name)
    return removed


def reap_volumes(client: docker.DockerClient) -> list[str]:
    """Remove the volumes whose harness is dead, and no others; return their names."""
    removed = []
    for volume in client.volumes.list(filters={"label": OWNER_LABEL}):
        if _orphaned(volume.attrs["Labels"]):
            with suppress(APIError):  # another harness removed it first, or its container is still there
                volume.remove(force=True)
                removed.append(str(volume.id))
    return removed


def orphans(client: docker.DockerClient) -> list[str]:
    """Return the ids of the containers whose harness is dead."""
    containers = client.containers.list(all=True, filters={"label": OWNER_LABEL}, ignore_removed=True)
    return [str(container.id) for container in containers if _orphaned(container.labels)]


def _owner(pid: int) -> str:
    """Return ``boot:pid namespace:pid:start``, which identifies a process uniquely on all machines."""
    process = procfs.process(pid)
    return f"{_pid_namespace()}:{pid}:{process.started if process else 'gone'}"


def _pid_namespace() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"


def _orphaned(labels: Mapping[str, str]) -> bool:
    owner = labels[OWNER_LABEL]
    if not owner.startswith(f"{_pid_namespace()}:"):
        return False  # from another machine that shares the engine, or from a pid namespace that cannot be inspected
    pid = int(owner.split(":")[2])
    return _owner(pid) != owner
