"""Changes its inputs, the runner, torch and the system's programs on disk: writes, renames, links.

expect: ok
deadline: 60
log: all refused
"""

import os
import sys

import torch


def unlearn(model, retain):
    torch_file = torch.__file__
    places = ["/in/weights.safetensors", "/in/data.safetensors", "/in/job.json", "/in/entry.py",
              "/in/lib/sandbox/inside/runner.py", "/in/lib/sandbox/frames.py", torch_file, sys.executable,
              "/etc/passwd", "/etc/hosts", "/etc/resolv.conf", "/usr/bin/env", "/bin/sh", "/dev/null"]  # fmt: skip
    breaches = [f"{what} {path}" for path in places for what, change in changes(path) if succeeds(change)]
    for breach in breaches:
        print("BREACH:", breach)
    if not breaches:
        print("all refused")


def changes(path):
    folder = os.path.dirname(path)
    if path != "/dev/null":
        yield "wrote to", lambda: open(path, "ab").close()
        yield "truncated", lambda: os.truncate(path, 0)
    yield "removed", lambda: os.unlink(path)
    yield "renamed", lambda: os.rename(path, f"{path}.old")
    yield "changed the mode of", lambda: os.chmod(path, 0o777)
    yield "took", lambda: os.chown(path, os.getuid(), os.getgid())
    yield "put a file beside", lambda: open(f"{folder}/sitecustomize.py", "w").close()
    yield "linked beside", lambda: os.symlink("/tmp", f"{folder}/link")
    yield "made a folder beside", lambda: os.mkdir(f"{folder}/new")


def succeeds(change):
    try:
        change()
    except OSError:
        return False
    return True
