"""What the kernel says of a started unit, for engines that report its settings in words of their own.

Everything is read from ``/proc`` and the control groups of this machine: an engine that accepts a setting and does not
apply it is found out here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from unlearn_bench.sandbox.engine.cgroup import Cgroup
from unlearn_bench.sandbox.engine.settings import FOLDER, SCRATCH

PROC = Path("/proc")
NAMESPACES = ("ipc", "mnt", "net", "pid", "uts")
"""Those of control groups are left out: an engine may share them on control groups v1, where they hide only names."""
CAPABILITIES = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
ULIMITS = {
    "nofile": "Max open files",
    "core": "Max core file size",
    "fsize": "Max file size",
    "memlock": "Max locked memory",
    "nproc": "Max processes",
    "data": "Max data size",
}
"""Names of limits as engines have them, and as ``/proc/PID/limits`` has them."""
READ_ONLY = ("/", FOLDER)


class Difference(NamedTuple):
    """Something that the kernel does not do to a unit although it was asked for."""

    name: str
    asked: Any
    found: Any


def differences(pid: int, host: Mapping[str, Any], cgroup: Cgroup) -> Iterator[Difference]:
    """Yield how a process is confined less than ``host``, the ``HostConfig`` of its container, asks for.

    ``cgroup`` are its control groups; only the limits that ``host`` has are compared.

    Raises:
        OSError: The process has ended, or this user may not look at it.
    """
    for difference in (
        *_identity(_fields(pid, "status")),
        *_namespaces(pid),
        *_mounts(pid, host),
        *_ulimits(pid, host),
        *_control_groups(host, cgroup),
    ):
        if difference.asked != difference.found:
            yield difference


def _fields(pid: int, name: str) -> dict[str, str]:
    lines = (PROC / str(pid) / name).read_text().splitlines()
    return {key: value.strip() for key, _, value in (line.partition(":") for line in lines)}


def _identity(status: Mapping[str, str]) -> Iterator[Difference]:
    users = {int(user) for user in status["Uid"].split()}
    yield Difference("a user other than root", True, len(users) == 1 and 0 not in users)
    yield from (Difference(name, 0, int(status[name], 16)) for name in CAPABILITIES)
    yield Difference("NoNewPrivs", "1", status["NoNewPrivs"])
    yield Difference("Seccomp", "2", status["Seccomp"])


def _namespaces(pid: int) -> Iterator[Difference]:
    for name in NAMESPACES:
        shared = (PROC / str(pid) / "ns" / name).readlink() == (PROC / "self" / "ns" / name).readlink()
        yield Difference(f"{name} namespace shared with this process", False, shared)


def _mounts(pid: int, host: Mapping[str, Any]) -> Iterator[Difference]:
    """Compare mounts; see proc_pid_mountinfo(5)."""
    options: dict[str, set[str]] = {}
    for line in (PROC / str(pid) / "mountinfo").read_text().splitlines():
        _, _, _, _, place, own, *_ = line.split()
        options[place] = set(own.split(","))  # a later mount hides an earlier one
    for place in READ_ONLY:
        yield Difference(f"{place} read-only", True, "ro" in options.get(place, ()))
    for place, asked in {**host["Tmpfs"], SCRATCH: "noexec,nosuid,nodev"}.items():
        flags = {option for option in asked.split(",") if option in ("ro", "noexec", "nosuid", "nodev")}
        yield Difference(f"{place} mounted", sorted(flags), sorted(flags & options.get(place, set())))


def _ulimits(pid: int, host: Mapping[str, Any]) -> Iterator[Difference]:
    lines = (PROC / str(pid) / "limits").read_text().splitlines()
    for limit in host["Ulimits"]:
        title = ULIMITS[limit["Name"]]
        (line,) = (line for line in lines if line.startswith(title))
        yield Difference(f"ulimit {limit['Name']}", str(limit["Hard"]), line.removeprefix(title).split()[1])


def _control_groups(host: Mapping[str, Any], cgroup: Cgroup) -> Iterator[Difference]:
    if host.get("Memory"):
        yield Difference("memory limit", host["Memory"], cgroup.memory_limit())
    if host.get("PidsLimit"):
        yield Difference("process limit", host["PidsLimit"], cgroup.process_limit())
