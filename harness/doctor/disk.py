"""What takes space on the disk, and how it can be freed, for ``bench clean``."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from unlearn_bench.harness.data.dataset import data_folder
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.sandbox.engine import leftovers
from unlearn_bench.sandbox.engine.leftovers import Leftover

YOUNG = 3600.0
"""Age in seconds below which an unreferenced file may belong to a run that has not written its record yet."""
DIGEST = re.compile(rb"[0-9a-f]{64}")
REBUILT = {
    "inputs": "data of units, written again when needed",
    "partial": "downloads that were not finished",
    "checkpoints": "trainings that were interrupted; without them they begin anew",
    "held-weights": "weights that wait for their probes; without them their units run again",
    "damaged": "files that `bench doctor --store` set aside",
    "logs": "logs of failed units and of errors",
}
"""Folders of the store that can be removed at any time."""


@dataclass(frozen=True)
class Heap:
    """One kind of thing that takes space."""

    kind: str
    about: str
    option: str
    """The option of ``bench clean`` that frees it; only ``--all`` frees what has been computed."""
    size: int
    """Bytes."""
    count: int
    free: Callable[[], None] = field(repr=False)


def heaps(store: Store) -> Iterator[Heap]:
    """Yield everything that takes space, beginning with the store."""
    blobs = {path.stem: path for path in (store.root / "blobs").glob("*/*") if not path.name.startswith(".")}
    for folder in sorted(path for path in _entries(store.root) if path.is_dir() and path.name != "blobs"):
        if folder == data_folder() or folder == device_locks.folder():
            continue
        files = list(_files([folder]))
        if folder.name in REBUILT:
            yield _heap(folder.name, REBUILT[folder.name], f"--{folder.name}", files, folder)
            continue
        digests = {
            digest.decode() for path in files if path.suffix == ".json" for digest in DIGEST.findall(_read(path))
        }
        referenced = [blobs.pop(name) for name in digests & set(blobs)]
        about = f"documents, and {len(referenced)} arrays that they refer to" if referenced else "documents"
        yield _heap(folder.name, about, "--all", [*files, *referenced], folder)
    unreferenced = [path for path in blobs.values() if _age(path) > YOUNG]
    yield _heap(
        "unreferenced", "arrays that no document refers to, an hour old or more", "--unreferenced", unreferenced
    )
    yield _orphans()
    yield _images()


def _heap(kind: str, about: str, option: str, files: list[Path], folder: Path | None = None) -> Heap:
    def free() -> None:
        for path in files:
            path.unlink(missing_ok=True)
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)

    return Heap(kind, about, option, sum(map(_size, files)), len(files), free)


def _orphans() -> Heap:
    """Return containers, processes and folders of units whose harness is dead."""
    orphans = [*leftovers.containers(), *leftovers.processes(), *leftovers.folders()]
    return _leftover_heap("orphans", "containers, processes and folders of killed runs", "--orphans", orphans)


def _images() -> Heap:
    about = "the benchmark's container images; `bench image` makes them again"
    return _leftover_heap("image", about, "--image", leftovers.images())


def _leftover_heap(kind: str, about: str, option: str, parts: list[Leftover]) -> Heap:
    def free() -> None:
        for part in parts:
            try:
                part.remove()
            except leftovers.InUse as error:
                remedy = "wait until no run uses it, then try again"
                raise BenchError(f"{part.name}: {error}", "this machine", remedy, EXIT_CODES["infra"]) from None

    return Heap(kind, about, option, sum(part.size for part in parts), len(parts), free)


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        yield from (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _age(path: Path) -> float:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
