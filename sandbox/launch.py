"""The first program of a unit that is a process of this machine: gives up what the unit must not have, then starts it.

``python -I -S launch.py SPECIFICATION PROGRAM ARGUMENTS…``; the specification is JSON: ``cpus`` (list), ``limits``
(resource → value), ``user`` (a uid, or null to stay who one is) and ``reach`` (absolute, resolved folders that this
user must be able to reach). Standard library only.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

CLONE_NEWNS = 0x20000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_SET_NO_NEW_PRIVS = 38


def main(specification: str, *command: str) -> None:
    """Give up what the specification says, then become the command."""
    spec = json.loads(specification)
    libc = ctypes.CDLL(None, use_errno=True)
    if spec["user"] is not None:
        _reach(libc, spec["reach"])
        os.setgroups([])
        os.setresgid(spec["user"], spec["user"], spec["user"])
        os.setresuid(spec["user"], spec["user"], spec["user"])
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    os.sched_setaffinity(0, spec["cpus"] or os.sched_getaffinity(0))
    for which, limit in spec["limits"].items():
        resource.setrlimit(int(which), (limit, limit))
    os.execv(command[0], command)


def _reach(libc: ctypes.CDLL, folders: Iterable[str]) -> None:
    """In a mount namespace of its own, let only ``folders`` be left of every closed folder on the way to them.

    A Python below ``/root`` is found, and nothing else that is there.
    """
    doors = {door for folder in folders for door in [_closed(Path(folder))] if door is not None}
    if not doors:
        return
    _checked(libc.unshare(CLONE_NEWNS), "unshare")
    _mount(libc, None, "/", None, MS_REC | MS_PRIVATE)
    behind = [Path(folder) for folder in folders if _closed(Path(folder)) in doors]
    handles = {folder: os.open(folder, os.O_PATH) for folder in behind}
    for door in doors:
        _mount(libc, "tmpfs", str(door), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for folder, handle in sorted(handles.items()):
        if not folder.is_dir():  # else it lies in one that is there already
            folder.mkdir(parents=True)
            _mount(libc, f"/proc/self/fd/{handle}", str(folder), None, MS_BIND | MS_REC)
        os.close(handle)
    for door in doors:
        _mount(libc, None, str(door), None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _closed(folder: Path) -> Path | None:
    """Return the outermost folder above this one that other users may not pass."""
    return next((path for path in reversed(folder.parents) if not path.stat().st_mode & stat.S_IXOTH), None)


def _mount(libc: ctypes.CDLL, source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    words = [None if word is None else word.encode() for word in (source, target, kind)]
    _checked(libc.mount(*words, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        sys.exit(f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    os.umask(0o022)  # folders made on the way are for the unit's user
    main(*sys.argv[1:])
