"""What units may have left on this machine: snapshots of it before and after, and the difference.

Other work on the machine comes and goes meanwhile. So only things that nothing else makes are compared, something new
must stay for a while before it counts, and free disk and memory need to be back only once.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import docker

from unlearn_bench.sandbox.engine.client import FAILURES
from unlearn_bench.sandbox.engine.reap import OWNER_LABEL, labels
from unlearn_bench.sandbox.engine.settings import USER
from unlearn_bench.sandbox.family import USERS
from unlearn_bench.sandbox.types import MIB

MARK = "unlearn-bench-attack"
"""The beginning of the name of every file that an attack tries to leave on the host."""
ENGINE = ("containerd-shim", "docker-init", "runc", "conmon", "crun", "catatonit", "apptainer")
"""Names of the engine's processes around a container."""
TOLERANCE = 512 * MIB
"""Disk or memory that other work may have taken; it is less than all units of the suite would keep as scratch."""
ENTRY = "in/entry.py"
"""The source in a unit's folder."""


@dataclass(frozen=True)
class Machine:
    """A snapshot of everything that could be left behind. Sizes in bytes."""

    containers: frozenset[str]
    """Those of this process only."""
    volumes: frozenset[str]
    mounts: frozenset[str]
    processes: frozenset[str]
    """Those of sandbox users, those of the engine around containers, and children of this process."""
    files: frozenset[str]
    """Stages of the given sources, and files that attacks try to leave."""
    threads: frozenset[str]
    """Those of this process."""
    descriptors: frozenset[str]
    """Open files and sockets of this process. Their number must stay, but clients that reconnect may change them."""
    disk: int
    """Free space."""
    memory: int
    """Available memory, plus what others use: the memory of their processes, and files in memory, which go with the
    containers and mounts that hold them."""


@contextmanager
def engine(connection: AbstractContextManager[docker.DockerClient]) -> Iterator[docker.DockerClient | None]:
    """Yield a client of a container engine for this purpose only, or ``None`` if the engine does not answer."""
    with ExitStack() as stack:
        try:
            client = stack.enter_context(connection)
            client.ping()
        except FAILURES:
            client = None
        yield client


def look(client: docker.DockerClient | None, sources: Collection[bytes]) -> Machine:
    """Return a snapshot of the machine, as this process and the engine see it; ``sources`` are the entries that run.

    ``client`` must serve no other purpose, as its connections are counted.
    """
    containers, volumes = ((), ()) if client is None else _containers_and_volumes(client)
    return Machine(
        containers=frozenset(containers),
        volumes=frozenset(volumes),
        mounts=frozenset(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()),
        processes=frozenset(_processes()),
        files=frozenset(_files(sources)),
        threads=frozenset(f"{thread.name} ({thread.ident})" for thread in threading.enumerate()),
        descriptors=frozenset(_descriptors()),
        disk=shutil.disk_usage(tempfile.gettempdir()).free,
        memory=_available(),
    )


def _containers_and_volumes(client: docker.DockerClient) -> tuple[list[str], list[str]]:
    owner = f"{OWNER_LABEL}={labels('')[OWNER_LABEL]}"
    # the SDK keeps a connection for every address that it has called: always the same ones here
    containers = client.api.containers(all=True, filters={"label": owner})
    return [container["Id"] for container in containers], [str(volume.id) for volume in client.volumes.list()]


def remains(
    client: docker.DockerClient | None, sources: Collection[bytes], before: Machine, patience: float = 90.0
) -> list[str]:
    """Return a line for each kind of thing that is new since ``before`` and still there after ``patience`` seconds."""
    end, after = time.monotonic() + patience, look(client, sources)
    remaining = difference(before, after)
    while remaining and time.monotonic() < end:
        time.sleep(1)
        remaining = _intersection(remaining, difference(before, look(client, sources)))
    return [f"{kind} left: {', '.join(sorted(things))}" for kind, things in remaining.items()]


def difference(before: Machine, after: Machine) -> dict[str, frozenset[str]]:
    """Return what is new, by kind; empty if nothing is."""
    new: dict[str, frozenset[str]] = {}
    for kind in ("containers", "volumes", "mounts", "processes", "files", "threads"):
        if fresh := getattr(after, kind) - getattr(before, kind):
            new[kind] = fresh
    if len(after.descriptors) > len(before.descriptors):
        new["descriptors"] = after.descriptors - before.descriptors
    for kind in ("disk", "memory"):
        if getattr(before, kind) - getattr(after, kind) > TOLERANCE:
            new[kind] = frozenset({f"more than {TOLERANCE // MIB} MiB of {kind} are not free again"})
    return new


def _intersection(first: dict[str, frozenset[str]], second: dict[str, frozenset[str]]) -> dict[str, frozenset[str]]:
    return {kind: common for kind, things in first.items() if (common := things & second.get(kind, frozenset()))}


def _processes() -> Iterator[str]:
    user, own_pid = int(USER.partition(":")[0]), os.getpid()
    for folder in _numbered():
        try:
            owner, stat = folder.stat().st_uid, (folder / "stat").read_text()
        except OSError:  # it has just ended
            continue
        # see proc_pid_stat(5): pid (name) state parent … start
        name, fields = stat.partition("(")[2].rpartition(")")[0], stat.rpartition(")")[2].split()
        if owner == user or owner in USERS or name.startswith(ENGINE) or int(fields[1]) == own_pid:
            yield f"{folder.name} {name} (started {fields[19]})"


def _files(sources: Collection[bytes]) -> Iterator[str]:
    for folder in {tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm", str(Path.home())}:
        for path in Path(folder).iterdir():
            if path.name.startswith(MARK) or _content(path / ENTRY) in sources:
                yield str(path)


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:  # not a stage, or one that has just been removed or is another user's
        return None


def _descriptors() -> Iterator[str]:
    for link in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # the descriptor of the listing itself
            yield f"{link.name} {link.readlink()}"


def _available() -> int:
    others = sum(_kib(folder / "status", "RssAnon:") for folder in _numbered() if int(folder.name) != os.getpid())
    machine = Path("/proc/meminfo")
    return 1024 * (_kib(machine, "MemAvailable:") + _kib(machine, "Shmem:") + others)


def _kib(path: Path, key: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:  # a process that has just ended
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(key)), 0)


def _numbered() -> Iterator[Path]:
    return (folder for folder in Path("/proc").iterdir() if folder.name.isdigit())
