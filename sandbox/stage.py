"""The folder that a sandbox reads: everything one unit gets, and nothing else.

``job.json``, ``entry.py``, ``weights.safetensors``, ``data.safetensors`` and ``lib/``, which holds the few files of
this project that live inside.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sandbox.types import Job

ROOM = Path(__file__).parent
INSIDE = ("__init__.py", "frames.py", "toolkit.py", "inside/*.py")
"""Files of this room that are imported inside a sandbox."""


@contextmanager
def staged(job: Job) -> Iterator[Path]:
    """Fill a fresh folder with an opaque name, readable by every user, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp())
    try:
        _write(folder / "job.json", json.dumps(_description(job)).encode())
        _write(folder / "entry.py", job.source)
        _write(folder / "weights.safetensors", job.weights)
        _link(job.data.resolve(), folder / "data.safetensors")
        for pattern in INSIDE:
            for source in sorted(ROOM.glob(pattern)):
                target = folder / "lib" / ROOM.name / source.relative_to(ROOM)
                target.parent.mkdir(parents=True, exist_ok=True)
                _write(target, source.read_bytes())
        for path in (folder, *folder.rglob("*")):
            if path.is_dir():
                path.chmod(0o755)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


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
    """A hard link where that is possible and the file is readable by all; its mode is never changed."""
    if source.stat().st_mode & stat.S_IROTH:
        try:
            os.link(source, target)
            return
        except OSError:  # another file system, or links are forbidden: copy
            pass
    shutil.copyfile(source, target)
    target.chmod(0o644)
