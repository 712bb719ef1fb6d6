"""The store: blobs by content, reference manifests, one JSON record per unit. Append-only; every write is a rename.

A killed run loses nothing that was finished and counts nothing twice: blobs are written before what points to them,
and a key names exactly one record. The benchmark ships a read-only store of the same form, read where the user's has
nothing.
"""

from __future__ import annotations

import hashlib
import logging
import lzma
import os
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from unlearn_bench.harness.store import document_bytes, locks, mirror
from unlearn_bench.harness.support.errors import StoreError, Unwritable
from unlearn_bench.harness.support.files import sha256_of, sync_folder, write_file, writing

logger = logging.getLogger(__name__)

T = TypeVar("T")
FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 1, "pb": 1}]
"""For arrays of two-byte numbers: 5 % smaller than the preset alone."""
SHIPPED = Path(__file__).parents[1] / "shipped"


def home() -> Path:
    """Return the user's store: ``BENCH_HOME``, else the cache folder of the platform; for a URL, its local copy."""
    if remote_store := mirror.current():
        return remote_store.root
    if place := os.environ.get("BENCH_HOME"):
        return Path(place.removeprefix("file://")).expanduser().absolute()
    return mirror.cache_folder()


class Store:
    """A folder of results, with the shipped one behind it."""

    def __init__(self, root: Path | None = None, behind: Path | None = SHIPPED) -> None:
        self.root = root or home()
        self._roots = [self.root] if behind is None else [self.root, behind]
        self._upstreams = [mirror.upstream_of(root) for root in self._roots]
        for upstream in self._upstreams:
            upstream.refresh()

    @property
    def where(self) -> str:
        """Where the store is, for messages."""
        return self._upstreams[0].describe(self.root)

    # blobs

    def put(self, content: bytes, *, compress: bool = False) -> str:
        """Store bytes, and return their SHA-256. ``compress`` stores them as ``.xz``, for what ships."""
        sha = hashlib.sha256(content).hexdigest()
        if not self.has(sha):
            if compress:
                self._write(f"{blob_path(sha)}.xz", lzma.compress(content, filters=FILTERS))
            else:
                self._write(str(blob_path(sha)), content)
        return sha

    def get(self, sha: str) -> bytes:
        """Return the bytes with this SHA-256.

        Raises:
            StoreError: they are missing or have changed; the message names the file.
        """
        self._bring(sha)
        for path in self._places(sha):
            if path.is_file():
                content = read_blob(path)
                if content is None:
                    raise StoreError(f"damaged store: {path} does not match its digest", _remedy(path))
                return content
        raise StoreError(
            f"damaged store: {self.root / blob_path(sha)} is missing",
            "run the same command again: what is missing is made again",
        )

    def has(self, sha: str) -> bool:
        """Return whether there is a blob with this SHA-256, here or upstream."""
        name = f"blobs/{sha[:2]}/{sha}"  # asked of every unit of a site, where pathlib would take most of the time
        here = any(os.path.isfile(f"{root}/{name}{suffix}") for root in self._roots for suffix in ("", ".xz"))  # noqa: PTH113
        return here or any(place.has(name) for place in self._upstreams)

    def size(self, sha: str) -> int:
        """Return how many bytes :meth:`get` returns. Errors as there."""
        self._bring(sha)
        plain = (path for path in self._places(sha) if path.is_file() and not path.suffix)
        path = next(plain, None)
        return len(self.get(sha)) if path is None else path.stat().st_size

    def partial(self, sha: str) -> Path:
        """Return the path of an unfinished download of these bytes, which is never read as a blob."""
        return self._place(f"partial/{sha}")

    def checkpoint(self, name: str) -> Path:
        """Return the path of a training's checkpoint, which stays on this machine."""
        return self._place(f"checkpoints/{name}")

    def adopt(self, path: Path, sha: str) -> bool:
        """Make a file of the store's own file system a blob if it has this SHA-256, and return whether it has."""
        if sha256_of(path) != sha:
            return False
        with path.open("rb") as file:
            os.fsync(file.fileno())
        target = self._place(str(blob_path(sha)))
        self._upstreams[0].send(str(blob_path(sha)), path)
        with writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
            path.chmod(0o644)
            path.replace(target)
            sync_folder(target.parent)
        return True

    def _bring(self, sha: str) -> None:
        """Copy a blob here that is only upstream."""
        if not any(path.is_file() for path in self._places(sha)):
            for upstream in self._upstreams:
                upstream.bring(blob_path(sha).as_posix())

    def needs_room(self, size: int) -> None:
        """Refuse what would not fit on the disk.

        Raises:
            StoreError: less than ``size`` bytes are free.
        """
        place = next(path for path in (self.root, *self.root.parents) if path.exists())
        free = shutil.disk_usage(place).free
        if size > free:
            what = f"the disk of the store ({place}) has {free / 1e6:.1f} MB free, and {size / 1e6:.1f} MB are needed"
            raise StoreError(what, "free some space (see `bench clean`), or point BENCH_HOME at a larger disk")

    def _places(self, sha: str) -> list[Path]:
        return [root / f"{blob_path(sha)}{suffix}" for root in self._roots for suffix in ("", ".xz")]

    # documents: small JSON files by kind and name

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return a document, or ``None``; one in the user's store hides the shipped one.

        Raises:
            StoreError: it exists and does not match its digest; the message names the file.
        """
        for root in self._roots:
            # called ten thousand times for one site, where pathlib would take most of the time
            if os.path.exists(f"{root}/{kind}/{name}.json"):  # noqa: PTH110
                return _document(str(root), f"{kind}/{name}")
        return None

    def once(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """Return what follows from documents: ``make()``, which a :class:`Snapshot` calls once for each key."""
        return make()

    def damaged(self, kind: str, name: str, why: str) -> StoreError:
        """Return the error for a document that cannot be used; the message names its file."""
        paths = [root / kind / f"{name}.json" for root in self._roots]
        path = next((path for path in paths if path.exists()), paths[0])
        return StoreError(f"damaged store: {path} cannot be read: {why}", _remedy(path))

    def write(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        """Write or replace a document in the user's store."""
        self._write(f"{kind}/{name}.json", document_bytes.encode(f"{kind}/{name}", content))

    def keep(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        """Write a document that can be computed again; a store that is full or read-only stays as it is."""
        try:
            self.write(kind, name, content)
        except Unwritable as error:
            _say_that_nothing_is_kept(self.where, error.message)

    def clear(self, kind: str) -> None:
        """Delete all documents of a kind from the user's store; the shipped ones become visible again."""
        self._upstreams[0].remove(kind)
        shutil.rmtree(self.root / kind, ignore_errors=True)

    def prune(self, wanted: Collection[str]) -> None:
        """Remove the blobs of the user's store that are not wanted."""
        for path in (self.root / "blobs").glob("*/*"):
            if path.stem not in wanted:
                path.unlink()

    def all(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield all documents of a kind with their names, sorted by name."""
        for name, root in sorted(self._names(kind).items()):
            yield name, _document(root, f"{kind}/{name}")

    def _names(self, kind: str) -> dict[str, str]:
        """Return the names of all documents of a kind, each with the root that it is read from."""
        names: dict[str, str] = {}
        for root in reversed(self._roots):
            # with many thousands of files pathlib would take half of the time
            base = f"{root}/{kind}/"
            for folder, _, files in os.walk(base):
                prefix = f"{folder.rstrip('/')}/"[len(base) :]
                names |= {f"{prefix}{file[:-5]}": str(root) for file in files if file.endswith(".json")}
        return names

    @contextmanager
    def lock(self, name: str, what: str = "") -> Iterator[None]:
        """Hold a lock that one process has at a time; see :func:`locks.held`."""
        with locks.held(self._place(f"locks/{name}"), what):
            yield

    def _write(self, name: str, content: bytes) -> None:
        self._upstreams[0].write(name, content)
        write_file(self._place(name), content)

    def _place(self, name: str) -> Path:
        """Return a path in the user's store; its root is made for its owner only, since entries must not read it."""
        if not self.root.exists():
            with writing(self.root):
                self.root.parent.mkdir(parents=True, exist_ok=True)
                self.root.mkdir(mode=0o700, exist_ok=True)
        return self.root / name


class ScratchStore(Store):
    """A folder in front of the user's store and the shipped one: everything is read, and only the folder written."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, behind=None)
        user = Store()
        self._roots += user._roots
        self._upstreams += user._upstreams


class Snapshot(Store):
    """A store for builds that read the same records many times: each document is read once, and parsed once.

    Which documents there are is read when their kind is first asked for. What is written goes to the store and is seen
    here; callers must not change the documents that they get. Pickled for another process it is as when it was made.
    """

    def __init__(self, root: Path | None = None, behind: Path | None = SHIPPED) -> None:
        super().__init__(root, behind)
        self._kinds: dict[str, dict[str, str | dict[str, Any]]] = {}
        """Kind → name → the document, or before it is read the root that has it."""
        self._made: dict[tuple[object, ...], Any] = {}

    def __reduce__(self) -> tuple[type[Snapshot], tuple[Path | None, ...]]:
        return Snapshot, (self._roots[0], self._roots[1] if len(self._roots) > 1 else None)

    def all(self, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield all documents of a kind with their names, sorted by name."""
        for name in sorted(self._of_kind(kind)):
            yield name, self._parsed(kind, name)

    def read(self, kind: str, name: str) -> dict[str, Any] | None:
        """Return a document, or ``None`` where there was none when its kind was first asked for."""
        return self._parsed(kind, name) if name in self._of_kind(kind) else None

    def once(self, key: tuple[object, ...], make: Callable[[], T]) -> T:
        """Return what follows from documents: ``make()``, called once for each key until something is written."""
        if key not in self._made:
            made = make()
            self._made[key] = made
        found: T = self._made[key]
        return found

    def write(self, kind: str, name: str, content: Mapping[str, Any]) -> None:
        """Write or replace a document in the store and in the snapshot."""
        self._of_kind(kind)[name] = dict(content)  # first, so that it can be read where nothing can be written
        self._made.clear()
        super().write(kind, name, content)

    def _of_kind(self, kind: str) -> dict[str, str | dict[str, Any]]:
        if kind not in self._kinds:
            self._kinds[kind] = dict(self._names(kind))
        return self._kinds[kind]

    def _parsed(self, kind: str, name: str) -> dict[str, Any]:
        found = self._kinds[kind][name]
        if isinstance(found, str):
            found = self._kinds[kind][name] = _document(found, f"{kind}/{name}")
        return found


def blob_path(sha: str) -> Path:
    """Return where the bytes with this SHA-256 are, relative to the root of a store or of a published place."""
    return Path("blobs", sha[:2], sha)


def read_blob(path: Path) -> bytes | None:
    """Return the content of a blob's file, which may be compressed; ``None`` if it is not that of its name."""
    try:
        content = lzma.decompress(path.read_bytes()) if path.suffix else path.read_bytes()
    except (lzma.LZMAError, EOFError):
        return None
    return content if hashlib.sha256(content).hexdigest() == path.stem else None


def _document(root: str, place: str) -> dict[str, Any]:
    """Return the document ``kind/name`` of the store in the folder ``root``."""
    path = f"{root}/{place}.json"
    try:
        file = os.open(path, os.O_RDONLY)
        try:
            content, has_digest = document_bytes.decode(place, os.read(file, os.fstat(file).st_size))
        finally:
            os.close(file)
    except (ValueError, OSError) as error:
        raise StoreError(f"damaged store: {path} cannot be read: {error}", _remedy(Path(path))) from None
    if not has_digest and root != str(SHIPPED):  # of what ships, `bench doctor --store` says it
        _warn_of_old_documents(root)
    return content


@cache
def _warn_of_old_documents(root: str) -> None:
    logger.warning(
        "store %s: an older version wrote some documents without a digest, so nothing can tell whether they have "
        "changed since; `bench doctor --store` gives them one",
        root,
    )


@cache
def _say_that_nothing_is_kept(store: str, why: str) -> None:
    logger.info("store %s: what is computed now is not kept, since %s", store, why)


def _remedy(path: Path) -> str:
    if path.is_relative_to(SHIPPED):
        return "install the benchmark again: a file that ships with it has changed"
    return mirror.upstream_of(home()).remedy(path)
