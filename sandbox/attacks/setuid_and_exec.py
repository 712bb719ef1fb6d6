"""Becomes root by system calls and setuid programs, and runs a program or a library from a folder that it can write.

expect: ok
deadline: 60
log: all refused
"""

import contextlib
import ctypes
import os
import shutil
import subprocess

SHELL = "/bin/sh"
CHANNEL = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "timeout": 10}


def unlearn(model, retain):
    breaches = [name for name in ("setuid", "setgid", "seteuid", "setegid") if becomes_root(getattr(os, name))]
    for folder in ("/tmp", "/dev/shm"):
        program, library = f"{folder}/program", f"{folder}/library.so"
        shutil.copy(SHELL, program)
        os.chmod(program, 0o6755)
        if runs([program, "-c", "exit 0"]):
            breaches.append(f"ran {program}")
        shutil.copy(a_library(), library)
        with contextlib.suppress(OSError):
            ctypes.CDLL(library)
            breaches.append(f"loaded {library}")
    if runs(["su", "-c", "true"]) or runs(["mount", "-t", "tmpfs", "none", "/tmp"]):
        breaches.append("a setuid program worked")
    with open("/proc/self/status") as file:
        status = dict(line.split(":", 1) for line in file)
    if status["NoNewPrivs"].strip() != "1":
        breaches.append("setuid programs are not disarmed")
    breaches += [name for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") if int(status[name], 16)]
    if "0" in status["Uid"].split() + status["Gid"].split() + status["Groups"].split():
        breaches.append("is root, or in its group")
    for breach in breaches:
        print("BREACH:", breach)
    if not breaches:
        print("all refused")


def becomes_root(call):
    try:
        call(0)
    except OSError:
        return False
    return True


def runs(command):
    try:
        return subprocess.run(command, **CHANNEL).returncode == 0
    except (OSError, subprocess.SubprocessError):
        return False


def a_library():
    """One that is loaded already, so that nothing but the folder can be the reason of a failure."""
    with open("/proc/self/maps") as file:
        return next(line.split()[-1] for line in file if "libpthread" in line or "libc.so" in line or "libm.so" in line)
