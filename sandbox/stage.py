"""The folder that a sandbox reads: everything one unit gets, and nothing else.

``job.json``, ``entry.py``, ``weights.safetensors``, ``data.safetensors`` and ``lib/``, which holds the few files of
this project that live inside.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from errno import EDQUOT, ENOLCK, ENOSPC, ENOSYS, EOPNOTSUPP
from pathlib import Path

from unlearn_bench.sandbox.types import Job

PACKAGE = Path(__file__).parent
INSIDE = ("__init__.py", "frames.py", "toolkit.py", "inside/*.py")
"""Files of this package that are imported inside a sandbox."""
PREFIX = "unlearn-bench-unit-"


class StageError(OSError):
    """A unit's folder could not be filled; the message is one line with the remedy."""


@contextmanager
def staged(job: Job) -> Iterator[Path]:
    """Fill a fresh folder with an opaque name, readable by every user, and remove it afterwards.

    Raises:
        StageError: the disk has no space for it, or its file system no locks.
    """
    with ExitStack() as stack:
        try:
            owner = stack.enter_context(owned())
            _fill(owner / "in", job)
        except OSError as error:
            place = f"the temporary folder {tempfile.gettempdir()}"
            if error.errno in (ENOSPC, EDQUOT):
                raise StageError(f"the disk of {place} is full; free some, or set another TMPDIR") from error
            if error.errno in (ENOLCK, ENOSYS, EOPNOTSUPP):
                raise StageError(f"{place} cannot be locked; set TMPDIR to a folder of a local disk") from error
            raise
        yield owner / "in"


@contextmanager
def owned(parent: str | None = None) -> Iterator[Path]:
    """Yield a fresh temporary folder, which is removed afterwards, or by the next ``reap`` if this process is killed.

    Its owner holds a lock on it, which the kernel frees when the owner dies.
    """
    lock = None
    while lock is None:  # a reaper may have looked at it before it was locked, and removed it
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
        try:
            lock = _lock(folder)
        except OSError:
            folder.rmdir()
            raise
    try:
        folder.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def orphans() -> list[Path]:
    """Return this user's temporary folders whose owner is dead."""
    folders = []
    for folder, lock in _ownerless():
        os.close(lock)
        folders.append(folder)
    return folders


def reap() -> list[Path]:
    """Remove this user's temporary folders whose owner is dead; return them."""
    removed = []
    for folder, lock in _ownerless():
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)
        removed.append(folder)
    return removed


def _ownerless() -> Iterator[tuple[Path, int]]:
    """Yield folders whose owner is dead, each with the lock that the owner had."""
    parents = {Path(tempfile.gettempdir()), Path("/tmp")}
    for folder in sorted(path for parent in parents for path in parent.glob(f"{PREFIX}*")):
        try:
            lock = _lock(folder, fcntl.LOCK_NB)
        except OSError:  # in use, of another user, or just removed
            continue
        if lock is not None:
            yield folder, lock


def _lock(folder: Path, option: int = 0) -> int | None:
    """Return a locked file descriptor of a folder of this user, or ``None`` if it is another's or was removed."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | option)
        status = os.fstat(descriptor)
        if status.st_uid == os.getuid() and os.path.samestat(status, folder.lstat()):
            return descriptor
    except FileNotFoundError:
        pass
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _fill(folder: Path, job: Job) -> None:
    folder.mkdir()
    _write(folder / "job.json", json.dumps(_description(job)).encode())
    if job.modules:
        for name, content in {"__init__.py": job.source, **job.modules}.items():
            (folder / "entry" / name).parent.mkdir(parents=True, exist_ok=True)
            _write(folder / "entry" / name, content)
    else:
        _write(folder / "entry.py", job.source)
    _write(folder / "weights.safetensors", job.weights)
    _link(job.data.resolve(), folder / "data.safetensors")
    for pattern in INSIDE:
        for source in sorted(PACKAGE.glob(pattern)):
            target = folder / "lib" / PACKAGE.name / source.relative_to(PACKAGE)
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(target, source.read_bytes())
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)


def _description(job: Job) -> dict[str, object]:
    return {
        "parameters": dict(job.parameters),
        "model": dict(job.model),
        "mean": job.mean,
        "std": job.std,
        "batch_size": job.batch_size,
        "seed": job.seed,
        # the one device that the back end lets through is number 0 inside
        "device": "cpu" if job.device == "cpu" else "cuda:0",
        "threads": job.threads,
    }


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    path.chmod(0o644)


def _link(source: Path, target: Path) -> None:
    """Make a hard link where that is possible and the file is readable by all, otherwise a copy; no mode is changed."""
    if source.stat().st_mode & stat.S_IROTH:
        try:
            os.link(source, target)
            return
        except OSError:  # another file system, or links are forbidden: copy
            pass
    shutil.copyfile(source, target)
    target.chmod(0o644)
