"""Who owns a container, and the removal of what a killed harness left behind."""

from __future__ import annotations

import os
from pathlib import Path

import docker
from docker.errors import APIError
from docker.models.containers import Container

from unlearn_bench.sandbox import procfs

RUN_LABEL = "unlearn-bench.run"
OWNER_LABEL = "unlearn-bench.owner"


def labels(run_id: str) -> dict[str, str]:
    """Labels of a container of this process."""
    return {RUN_LABEL: run_id, OWNER_LABEL: _owner(os.getpid())}


def reap(client: docker.DockerClient) -> list[str]:
    """Remove the containers whose harness is dead; returns their ids. Those of a living one are never touched."""
    removed = []
    for name in orphans(client):
        try:
            client.containers.get(name).remove(force=True, v=True)
        except APIError:  # another harness was faster, or this one cannot be removed: the others can
            continue
        removed.append(name)
    return removed


def orphans(client: docker.DockerClient) -> list[str]:
    """Ids of the containers whose harness is dead."""
    containers = client.containers.list(all=True, filters={"label": OWNER_LABEL}, ignore_removed=True)
    return [str(container.id) for container in containers if _orphaned(container)]


def _owner(pid: int) -> str:
    """``boot:pid namespace:pid:start`` names one process on one machine for good."""
    member = procfs.process(pid)
    return f"{_place()}:{pid}:{member.started if member else 'gone'}"


def _place() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{boot}:{Path('/proc/self/ns/pid').stat().st_ino}"


def _orphaned(container: Container) -> bool:
    owner = container.labels[OWNER_LABEL]
    if not owner.startswith(f"{_place()}:"):
        return False  # of another machine that shares the engine, or of a pid namespace that cannot be looked into
    pid = int(owner.split(":")[2])
    return _owner(pid) != owner
