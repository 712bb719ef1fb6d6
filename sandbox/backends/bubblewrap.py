"""A process in namespaces of its own, made by bubblewrap: files, network and other processes are kept away.

What it does not do: bound the memory of all processes together (the host watches it, and may come late), and filter
system calls. So it is not trusted with a public board.
"""

from __future__ import annotations

import functools
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from unlearn_bench.sandbox import child, family, procfs, stage
from unlearn_bench.sandbox.backends import process
from unlearn_bench.sandbox.child import Child
from unlearn_bench.sandbox.family import Family, own_user
from unlearn_bench.sandbox.types import MIB, Job, Outcome

STAGE, SCRATCH = "/in", "/tmp"
SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc/ld.so.cache")
"""Programs and libraries of the system, where they are."""
HIDDEN = ("harness", "scoring", "baselines", "submissions", "sklearn/datasets/data", "sklearn/datasets/images")
"""What an entry must not find among the installed packages: reference logits, and data sets that hold a test set."""


class Bubblewrap:
    """Back end ``bubblewrap``, on the CPU."""

    name = "bubblewrap"
    trusted = False

    def unavailable(self, model: Mapping[str, Any], device: str) -> str | None:
        """Why such a job cannot run here, with the remedy after a semicolon."""
        if device != "cpu":
            return "bubblewrap runs units on the CPU only; use docker for a GPU"
        return process.create().unavailable(model, device) or _unusable()

    def run(self, job: Job, clock: AbstractContextManager[Any], stop: threading.Event | None = None) -> Outcome:
        """Run one job; see ``sandbox.session.conduct``."""
        return child.run(self, job, _started, clock, stop)

    def reap(self) -> int:
        """Remove folders whose harness is dead; as root, end what they had started."""
        return len(stage.reap()) + family.reap()


@contextmanager
def _started(job: Job, folder: Path) -> Iterator[child.Box]:
    with own_user() as user:
        command = [*_wrapped(folder, job.limits.scratch), *child.runner(STAGE)]
        variables = child.variables(job.threads, STAGE, SCRATCH)
        whole = Family(user, procfs.descendants)  # none can leave the tree: its root is the namespace's init
        unit = Child(command, variables, Path("/"), (folder,), whole, passes_signals=True)
        with child.started(job, unit) as box:
            yield box


@functools.cache
def _unusable() -> str | None:
    """Whether bubblewrap is there, new enough, and allowed to make namespaces."""
    path = shutil.which("bwrap")
    if path is None:
        return "bubblewrap is not installed; apt-get install bubblewrap"
    said = subprocess.run([path, "--help"], capture_output=True, text=True).stdout
    if "--size" not in said:
        return "this bubblewrap cannot bound the size of /tmp; install version 0.8 or later"
    with own_user() as user, child.scratch(user) as folder:
        command = [*_wrapped(folder, MIB), child.interpreter(), "-c", "pass"]
        done = child.tried(command, user, (folder,))
    if done.returncode == 0:
        return None
    last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return (
        f"bubblewrap may not make its namespaces here ({last[:200]}); permit user namespaces "
        "(kernel.unprivileged_userns_clone=1, user.max_user_namespaces, AppArmor's profile for bwrap), or use docker"
    )


def _wrapped(unit: Path, size: int) -> list[str]:
    """The words before the program's: all namespaces new, and a file system of what is named here."""
    bwrap = shutil.which("bwrap") or "bwrap"
    words = [bwrap, "--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"]
    words += ["--uid", "65534", "--gid", "65534", "--hostname", "sandbox"]
    words += ["--size", str(size), "--tmpfs", SCRATCH]
    for path in (Path(path) for path in SYSTEM):
        if path.is_symlink():
            words += ["--symlink", str(path.readlink()), str(path)]
        elif path.exists():
            words += ["--ro-bind", str(path), str(path)]
    for folder in child.folders():
        if not folder.is_relative_to("/usr"):
            words += ["--ro-bind", str(folder), str(folder)]
    for folder in _hidden(child.folders()):
        words += ["--size", "4096", "--tmpfs", str(folder), "--remount-ro", str(folder)]
    words += ["--proc", "/proc", "--dev", "/dev", "--size", str(size), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"]
    return [*words, "--ro-bind", str(unit), STAGE, "--remount-ro", "/", "--chdir", SCRATCH]


def _hidden(places: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        yield from (place / name for name in HIDDEN if (place / name).is_dir())


def create() -> Bubblewrap:
    """The back end, for ``sandbox.backends.load``."""
    return Bubblewrap()
