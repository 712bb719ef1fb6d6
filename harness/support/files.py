"""Files that are written whole or not at all, and files that begin with their digest."""

from __future__ import annotations

import errno
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from unlearn_bench.harness.support.errors import StoreError, Unwritable

PART = ".part"
"""Ending of a file that is being written."""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_REFUSED = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EEXIST)
_NAMED_BY = "BENCH_HOME for the store, BENCH_LOCKS for device locks"
_DIGEST = hashlib.sha256().digest_size


def write_file(path: Path, content: bytes) -> None:
    """Write under a temporary name, then rename: a reader sees the whole file or none, even after a power failure.

    Raises:
        Unwritable: the disk is full or may not be written; nothing half-written stays.
    """
    with writing(path):
        _write(path, content)


def write_new(path: Path, content: bytes, mode: int = 0o644) -> None:
    """Write a file that must not be there yet; one that is there is never touched, nor is there ever a part of one.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be written.
    """
    temporary = _part(path, content, mode)
    try:
        path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    sync_folder(path.parent)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise ``Unwritable`` if ``path`` cannot be written because its disk is full or may not be written."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            remedy = "free some space and run the same command again: what was finished is kept"
            raise Unwritable(f"the disk of the store is full: {path} cannot be written", remedy) from error
        if error.errno in _REFUSED:
            remedy = f"make {path.parent} a folder that you may write to, or name another one: {_NAMED_BY}"
            raise Unwritable(f"{path} cannot be written: {error.strerror}", remedy) from error
        raise


def write_checked(path: Path, content: bytes) -> None:
    """Write a file that begins with the SHA-256 of the rest. Errors as :func:`write_file`."""
    write_file(path, hashlib.sha256(content).digest() + content)


def read_checked(path: Path, remedy: str) -> bytes:
    """Return what :func:`write_checked` wrote.

    Raises:
        StoreError: the file has changed since; its remedy is ``remedy``.
    """
    content = path.read_bytes()
    if not _matches(content):
        raise StoreError(f"damaged store: {path} does not match its digest", remedy)
    return content[_DIGEST:]


def is_checked(path: Path) -> bool:
    """Return whether a file is as :func:`write_checked` wrote it."""
    return _matches(path.read_bytes())


def _matches(content: bytes) -> bool:
    return hashlib.sha256(memoryview(content)[_DIGEST:]).digest() == content[:_DIGEST]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, which is not loaded whole."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _part(path, content, 0o644)
    try:
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def _part(path: Path, content: bytes, mode: int) -> Path:
    """Write a file beside ``path``, to be moved there; none stays if that fails."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=PART)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).chmod(mode)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder last, where the file system can do that for a folder."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):  # some network file systems cannot, and their servers do it by themselves
            os.fsync(handle)
    finally:
        os.close(handle)
