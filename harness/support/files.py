"""Files that are written whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, ENOSPC
from pathlib import Path

from unlearn_bench.harness.support.errors import StoreError


def write_file(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: a reader sees the whole file or none.

    Raises:
        StoreError: the disk is full; nothing half-written stays.
    """
    with disk_full(path):
        _write(path, content)


@contextmanager
def disk_full(path: Path) -> Iterator[None]:
    """Raise ``StoreError`` if ``path`` cannot be written because its disk is full."""
    try:
        yield
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        remedy = "free some space and run the same command again: what was finished is kept"
        raise StoreError(f"the disk of the store is full: {path} cannot be written", remedy) from error


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
