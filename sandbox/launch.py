"""The first program of a unit that is a process of this machine: gives up what the unit must not have, then starts it.

``python -I -S launch.py SPECIFICATION PROGRAM ARGUMENTS…``; the specification is JSON: ``parent`` (the harness's
process id: the unit ends with it), ``cpus`` (list), ``limits`` (resource → value), ``user`` (a uid, or null to keep the
present one) and ``reach`` (absolute, resolved folders that this user must be able to reach). It imports nothing but the
standard library.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import stat
import sys
from collections.abc import Iterable
from pathlib import Path

CLONE_NEWNS = 0x20000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38


def main(specification: str, *command: str) -> None:
    """Give up what the specification says, then become the command."""
    spec = json.loads(specification)
    libc = ctypes.CDLL(None, use_errno=True)
    if spec["user"] is not None:
        _reach(libc, spec["reach"])
        os.setgroups([])
        os.setresgid(spec["user"], spec["user"], spec["user"])
        os.setresuid(spec["user"], spec["user"], spec["user"])
    _end_with(libc, spec["parent"])  # a change of user undoes it
    _checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    os.sched_setaffinity(0, spec["cpus"] or os.sched_getaffinity(0))
    for resource_id, limit in spec["limits"].items():
        resource.setrlimit(int(resource_id), (limit, limit))
    os.execv(command[0], command)


def _end_with(libc: ctypes.CDLL, parent: int) -> None:
    """Let the kernel kill this process, and what it becomes, when the thread that started it has ended."""
    _checked(libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")
    if os.getppid() != parent:
        sys.exit("the harness has ended")


def _reach(libc: ctypes.CDLL, folders: Iterable[str]) -> None:
    """Enter a mount namespace where closed folders on the way to ``folders`` hold nothing but these.

    So a unit finds a Python below ``/root``, and nothing else that is there.
    """
    closed_folders = {closed for folder in folders if (closed := _closed(Path(folder))) is not None}
    if not closed_folders:
        return
    _checked(libc.unshare(CLONE_NEWNS), "unshare")
    _mount(libc, None, "/", None, MS_REC | MS_PRIVATE)
    hidden = [Path(folder) for folder in folders if _closed(Path(folder)) in closed_folders]
    handles = {folder: os.open(folder, os.O_PATH) for folder in hidden}
    for closed_folder in closed_folders:
        _mount(libc, "tmpfs", str(closed_folder), "tmpfs", MS_NOSUID | MS_NODEV, "mode=755")
    for folder, handle in sorted(handles.items()):
        if not folder.is_dir():  # otherwise it lies in one that is already mounted
            folder.mkdir(parents=True)
            _mount(libc, f"/proc/self/fd/{handle}", str(folder), None, MS_BIND | MS_REC)
        os.close(handle)
    for closed_folder in closed_folders:
        _mount(libc, None, str(closed_folder), None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _closed(folder: Path) -> Path | None:
    """Return the outermost folder above this one that other users may not pass."""
    return next((path for path in reversed(folder.parents) if not path.stat().st_mode & stat.S_IXOTH), None)


def _mount(libc: ctypes.CDLL, source: str | None, target: str, kind: str | None, flags: int, data: str = "") -> None:
    names = [None if name is None else name.encode() for name in (source, target, kind)]
    _checked(libc.mount(*names, ctypes.c_ulong(flags), data.encode()), f"mount {target}")


def _checked(result: int, what: str) -> None:
    if result != 0:
        sys.exit(f"{what}: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    os.umask(0o022)  # the unit's user must be able to pass the folders made here
    main(*sys.argv[1:])
