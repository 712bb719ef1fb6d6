"""What Linux's ``/proc`` tells of single processes, and of those of a session, a user or a process namespace."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Member(NamedTuple):
    """One process: times in seconds (with those of its reaped children), resident memory in bytes."""

    pid: int
    parent: int
    alive: bool
    cpu_seconds: float
    resident: int
    session: int
    started: int
    """Clock ticks after boot; together with the pid it identifies a process uniquely."""


def process(pid: int) -> Member | None:
    """Return one process, or ``None`` if there is none (see proc_pid_stat(5))."""
    try:
        line = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # the command's name may itself hold spaces and brackets
    fields = line.rpartition(")")[2].split()
    return Member(
        pid=pid,
        parent=int(fields[1]),
        alive=fields[0] not in "ZX",
        cpu_seconds=sum(map(int, fields[11:15])) / _TICK,
        resident=int(fields[21]) * _PAGE,
        session=int(fields[3]),
        started=int(fields[19]),
    )


def members(session: int) -> list[Member]:
    """Return all processes of a session, zombies included."""
    return [member for member in _all() if member.session == session]


def owned(user: int) -> list[Member]:
    """Return all processes of a user (by the effective id), zombies included."""
    members = (process(pid) for pid, owner in _owners() if owner == user)
    return [member for member in members if member is not None]


def users() -> set[int]:
    """Return the ids of all users that have a process."""
    return {owner for _, owner in _owners()}


def together_with(pid: int) -> list[Member]:
    """Return all processes in the process namespace of a process, zombies included; none if it cannot be read."""
    namespace = pid_namespace(pid)
    return [member for member in _all() if pid_namespace(member.pid) == namespace] if namespace else []


def pid_namespace(pid: int) -> str:
    """Return the process namespace of a process; an empty text if it cannot be read."""
    try:
        return str((PROC / str(pid) / "ns" / "pid").readlink())
    except OSError:  # it has ended, or is another user's
        return ""


def memory(members: Sequence[Member], limit: int) -> int:
    """Return the memory of processes in bytes; only above ``limit`` are pages that they share counted once."""
    used = sum(member.resident for member in members)
    if used > limit and len(members) > 1:
        used = sum(proportional(member.pid) for member in members)
    return used


def _pids() -> Iterator[int]:
    return (int(entry.name) for entry in os.scandir(PROC) if entry.name.isdigit())


def _owners() -> Iterator[tuple[int, int]]:
    for pid in _pids():
        with suppress(OSError):  # the process has just ended
            yield pid, (PROC / str(pid)).stat().st_uid


def _all() -> list[Member]:
    return [member for member in map(process, _pids()) if member is not None]


def proportional(pid: int) -> int:
    """Return a process's memory in bytes, shared pages divided among those that share them; 0 if it has ended."""
    return _kib(PROC / str(pid) / "smaps_rollup", "Pss:")


def peak(pid: int) -> int:
    """Return the largest resident memory that a process has had, in bytes; 0 if it has ended."""
    return _kib(PROC / str(pid) / "status", "VmHWM:")


def _kib(path: Path, key: str) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(key)), 0)
