"""Bundles: what a session has finished, as a few files of limited size, from which another machine goes on.

A bundle holds every document of the store, the arrays that are new, and the weights and outputs that pending work
reads; if there is room, also other weights and the checkpoints of trainings. A document whose new arrays have no room
is left out, so that what it stands for is done again: in a bundle, finished means that it is whole. Documents of
earlier sessions travel without their arrays, which are at home by then.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from unlearn_bench.harness.store.store import Store, blob_path
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.files import write_file

INDEX = "bundle.json"
HERE = frozenset({"bundles", "data", "machines"})
"""Folders of a store whose documents are of one machine."""
DIGEST = re.compile(rb'"([0-9a-f]{64})"')
ENTRY = 256
"""Bytes that a file takes in a bundle besides its content."""
MIB = 2**20

Files = Mapping[str, "bytes | Path"]
"""Contents, or the paths of files, by their name relative to the store."""


@dataclass(frozen=True)
class Written:
    """What a bundle has taken in, and what it had no room for."""

    files: int
    size: int
    """Bytes of all of its parts."""
    parts: int
    left_out: tuple[str, ...]
    """Documents, and models by the SHA-256 of their files."""


def write(folder: Path, root: Path, earlier: Collection[str], needed: Sequence[str], limit: int, part: int) -> Written:
    """Write a bundle of the store at ``root`` into a folder, in the place of an earlier one.

    Args:
        folder: gets the parts, and an index that is written last.
        root: of the store.
        earlier: the names of the files that came here in bundles, and need not go back.
        needed: SHA-256 of the weights and outputs that pending work reads; so many of them as there is room for.
        limit: bytes that the bundle may have.
        part: bytes that one of its files may have.
    """
    members, left_out = _select(root, earlier, needed, limit)
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile() as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in sorted(members.items()):
                archive.writestr(name, content if isinstance(content, bytes) else content.read_bytes())
        size = file.tell()
        file.seek(0)
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        names = [f"{digest[:16]}-{number:03}" for number in range(-(-size // part))]
        for name in names:
            write_file(folder / name, file.read(part))
    write_file(folder / INDEX, json.dumps({"sha256": digest, "parts": names}, indent=1).encode())
    for path in folder.iterdir():
        if path.name not in (*names, INDEX):
            path.unlink()
    return Written(len(members), size, len(names), tuple(left_out))


def unpack(folder: Path, store: Store) -> frozenset[str]:
    """Copy a bundle into a store, once; return the names of its files.

    Raises:
        BenchError: it is not whole.
    """
    with _opened(folder) as (file, digest), zipfile.ZipFile(file) as archive:
        names = frozenset(archive.namelist())
        if store.read("bundles", digest) is None:
            for name in sorted(
                names, key=lambda name: not name.startswith("blobs/")
            ):  # what documents name comes first
                _place(store.root, name, archive.read(name))
            store.write("bundles", digest, {})
    return names


def finished_size(root: Path, earlier: Collection[str]) -> int:
    """Return the bytes of all that has to go back: documents and new arrays, but no weights."""
    return sum(_size(content) for _, files in _finished(root, earlier) for content in files.values())


def _select(
    root: Path, earlier: Collection[str], needed: Sequence[str], limit: int
) -> tuple[dict[str, bytes | Path], list[str]]:
    """Return the files of a bundle, the most important ones first, and what has no room."""
    members: dict[str, bytes | Path] = {}
    left_out: list[str] = []
    used = sum(map(_size, (root / "references").glob("*.json")))

    def add(what: str, files: Files) -> bool:
        nonlocal used
        more = {name: content for name, content in files.items() if name not in members}
        if used + sum(map(_size, more.values())) > limit:
            left_out.append(what)
            return False
        members.update(more)
        used += sum(map(_size, more.values()))
        return True

    manifests: dict[str, list[str]] = {}
    for name, files in _finished(root, earlier):
        document, _, role = name.partition("#")
        if add(name, files) and role:
            manifests.setdefault(document, []).append(role)
    for document, roles in manifests.items():
        members[document] = _manifest(root / document, roles)
    for sha in [*needed, *_weights(root)]:
        path = _blob(root, sha)
        name = "" if path is None else _name(root, path)
        if path is not None and name not in members and (sha in needed or name not in earlier):
            add(sha, {name: path})
    for path in sorted((root / "checkpoints").glob("*")):
        add(_name(root, path), {_name(root, path): path})
    return members, left_out


def _finished(root: Path, earlier: Collection[str]) -> Iterator[tuple[str, Files]]:
    """Yield every document, oldest first, with its new arrays.

    A manifest comes role by role, as ``NAME#ROLE`` with the role's outputs.
    """
    paths = [path for ending in ("json", "journal") for path in root.rglob(f"*.{ending}")]
    paths = [path for path in paths if path.relative_to(root).parts[0] not in HERE]
    for path in sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path)):
        name, content = _name(root, path), path.read_bytes()
        if name.startswith("references/"):
            for role, model in json.loads(content)["roles"].items():
                yield f"{name}#{role}", _new(root, earlier, [model["logits"]])
        else:
            found = [sha.decode() for sha in DIGEST.findall(content)]
            yield name, {name: content, **_new(root, earlier, found)}


def _new(root: Path, earlier: Collection[str], digests: Sequence[str]) -> dict[str, bytes | Path]:
    paths = [path for path in (_blob(root, sha) for sha in digests) if path is not None]
    return {_name(root, path): path for path in paths if _name(root, path) not in earlier}


def _weights(root: Path) -> list[str]:
    manifests = [json.loads(path.read_bytes())["roles"].values() for path in (root / "references").glob("*.json")]
    return [model["weights"] for models in manifests for model in models if model["weights"] is not None]


def _manifest(path: Path, roles: Sequence[str]) -> bytes:
    document = json.loads(path.read_bytes())
    document["roles"] = {role: document["roles"][role] for role in roles}
    return _text(document)


def _text(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def _place(root: Path, name: str, content: bytes) -> None:
    path = root / name
    if not path.resolve().is_relative_to(root.resolve()):
        raise BenchError(f"the bundle names a file outside of the store, {name}", "your command", "get it again", USAGE)
    if name.startswith("references/") and path.is_file():
        here, there = json.loads(path.read_bytes()), json.loads(content)
        content = _text({**there, "roles": {**here["roles"], **there["roles"]}})
    if not (name.startswith("blobs/") and path.is_file()):
        write_file(path, content)


@contextmanager
def _opened(folder: Path) -> Iterator[tuple[IO[bytes], str]]:
    """Open a bundle's parts as one file, checked against its digest, which is yielded with it."""
    with tempfile.TemporaryFile() as file:
        try:
            index = json.loads((folder / INDEX).read_bytes())
            for name in index["parts"]:
                file.write((folder / name).read_bytes())
        except FileNotFoundError as error:
            what = f"{folder} is not a whole bundle: {error.filename} is missing"
            raise BenchError(what, "your command", "bring all files of the folder", USAGE) from None
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != index["sha256"]:
            what = f"{folder} does not match its digest"
            raise BenchError(what, "your command", "bring its files again", USAGE)
        yield file, index["sha256"]


def _blob(root: Path, sha: str) -> Path | None:
    plain = root / blob_path(sha)
    return next((path for path in (plain, plain.with_name(f"{sha}.xz")) if path.is_file()), None)


def _name(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _size(content: bytes | Path) -> int:
    return ENTRY + (len(content) if isinstance(content, bytes) else content.stat().st_size)
