"""Entries of several files: a folder, and its bundle, one text that people can read and whose digest names the entry.

A bundle has the line ``# ==== PATH ====`` before the content of each file, ``__init__.py`` first and the others sorted.
A folder and its bundle are the same entry.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from unlearn_bench.harness.entries.faults import Fault

MAIN = "__init__.py"
SIZE = 256 * 1024
FILES = 64
DEPTH = 4
HEADER = re.compile(rb"^# ==== (.*) ====$", re.MULTILINE)
START = b"# ==== __init__.py ====\n"
PATH = re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,63}/){0,3}[A-Za-z_][A-Za-z0-9_]{0,63}\.py")
IGNORED = re.compile(r"\..*|__pycache__|.*\.(md|rst|txt)|LICEN[CS]E.*")
"""Names of files and folders that stay behind, because no method reads them."""


def is_bundle(source: bytes) -> bool:
    """Return whether a source is the bundle of a package instead of a single file."""
    return source.startswith(START)


def files_of(source: bytes) -> dict[str, bytes]:
    """Return the files of an entry by path, ``__init__.py`` first; a single file stands under this name.

    Raises:
        Fault: a file of a bundle occurs twice, or has a path that no package has.
    """
    return split(source) if is_bundle(source) else {MAIN: source}


def read_folder(folder: Path) -> bytes:
    """Return the bundle of a folder.

    Raises:
        Fault: there is no ``__init__.py``, or something that is no Python file, or too much.
    """
    files: dict[str, bytes] = {}
    size = 0
    for path in _paths(folder):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() or not path.is_file():
            raise Fault(f"{name} is not a regular file", "send in files, no links")
        if not PATH.fullmatch(name):
            raise Fault(
                f"{name} is no Python file that can be imported",
                f"leave it out, or name it like a module ({DEPTH} levels at most)",
            )
        with path.open("rb") as file:
            files[name] = file.read(SIZE + 1)
        size += len(files[name])
        if size > SIZE or len(files) > FILES:
            raise Fault(f"it has more than {SIZE:,} bytes or {FILES} files", "shorten it; weights cannot be sent")
    return bundle(files)


def _paths(folder: Path) -> list[Path]:
    paths: list[Path] = []
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = [name for name in folders if not IGNORED.fullmatch(name) and name not in links]
        paths += [Path(place, name) for name in (*links, *files) if not IGNORED.fullmatch(name)]
        if len(paths) > FILES or len(Path(place).relative_to(folder).parts) >= DEPTH:
            raise Fault(f"it has more than {FILES} files or {DEPTH} levels", "shorten it")
    return sorted(paths)


def bundle(files: Mapping[str, bytes]) -> bytes:
    """Return the bundle of files by path; one that does not end with a line break gets one.

    Raises:
        Fault: there is no ``__init__.py``, or a line of a file looks like the header of another one.
    """
    if MAIN not in files:
        raise Fault(f"it has no {MAIN}", f"define unlearn in {MAIN}, and import the other files from there")
    text = b""
    for name in (MAIN, *sorted(files.keys() - {MAIN})):
        content = files[name].replace(b"\r\n", b"\n")
        if HEADER.search(content):
            raise Fault(f"{name} has a line like the header of a file in a bundle", "change that line")
        text += f"# ==== {name} ====\n".encode() + content + (b"" if content.endswith(b"\n") or not content else b"\n")
    return text


def split(source: bytes) -> dict[str, bytes]:
    """Return the files of a bundle by path.

    Raises:
        Fault: a file occurs twice, or has a path that no package has.
    """
    headers = list(HEADER.finditer(source))
    ends = [header.start() for header in headers[1:]] + [len(source)]
    files: dict[str, bytes] = {}
    for header, end in zip(headers, ends, strict=True):
        name = header[1].decode("ascii", "backslashreplace")
        if not PATH.fullmatch(name) or name in files:
            raise Fault(f"{name[:100]!r} occurs twice or cannot be imported", "make the bundle with `bench check`")
        files[name] = source[header.end() + 1 : end]
    if len(files) > FILES:
        raise Fault(f"it has more than {FILES} files", "shorten it")
    return files
