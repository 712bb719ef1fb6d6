"""A store at a URL (``BENCH_HOME=s3://…``): a folder of this machine is its copy, and what is written goes to both.

The URL is authoritative. A command that uses the store first fetches the documents that are missing in the copy or have
changed, and deletes those that are gone; arrays and weights are fetched when they are needed. What could not be sent is
kept in ``unsent/`` and sent first next time. Inputs of units, checkpoints, logs and locks stay on this machine.

Locks hold on one machine only: at one URL, one command at a time may train or search; units can come from several.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from unlearn_bench.harness.store import document_bytes
from unlearn_bench.harness.store.upstream import NOWHERE, Upstream
from unlearn_bench.harness.support import device_locks
from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError, StoreError
from unlearn_bench.harness.support.files import write_file, writing

if TYPE_CHECKING:
    from unlearn_bench.harness.store.remote import Remote

logger = logging.getLogger(__name__)

AT_ONCE = 64
"""Documents that are fetched together."""
DOCUMENTS = (".json", ".journal")
"""Endings of the files that are fetched in advance: documents, and journals of searches by older versions."""
INDEX = "at-url.json"
"""Names and versions of the files that were at the URL when a command started."""
_INDEX_PLACE = INDEX.removesuffix(".json")
UNSENT = "unsent"
"""Folder of what could not be sent."""


def cache_folder() -> Path:
    """Return the user's folder for what can be made again."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("unlearn-bench", appauthor=False))


def current() -> Mirror | None:
    """Return the store that ``BENCH_HOME`` names, if that is a URL."""
    place = os.environ.get("BENCH_HOME", "")
    if "://" not in place or place.startswith("file://"):
        return None
    url = place.rstrip("/")
    return _mirror(url, cache_folder() / "stores" / hashlib.sha256(url.encode()).hexdigest()[:16])


def upstream_of(root: Path) -> Upstream:
    """Return the upstream of the store in this folder: the URL of ``BENCH_HOME``, if the folder is its copy."""
    mirror = current()
    return NOWHERE if mirror is None or mirror.root != root else mirror


@cache
def _mirror(url: str, root: Path) -> Mirror:
    return Mirror(url, root)


@cache
def _remote(url: str, process: int) -> Remote:  # connections do not survive a fork
    from unlearn_bench.harness.store.remote import Remote

    return Remote(url)


class Mirror(Upstream):
    """The store at ``url`` and its copy in the folder ``root``."""

    def __init__(self, url: str, root: Path) -> None:
        self.url, self.root = url, root
        self.due = False
        """Whether a command has begun that has not pulled yet; always false in its workers."""
        self._index: dict[str, str] | None = None
        self._lock: TextIO | None = None

    @property
    def _place(self) -> Remote:
        return _remote(self.url, os.getpid())

    def refresh(self) -> None:
        """Pull, if a command has begun that has not done so yet."""
        if self.due:
            self.pull()

    def pull(self) -> None:
        """Send what is unsent, then fetch the documents that differ, unless another command here uses the copy.

        Raises:
            RemoteError: the URL cannot be read or written; nothing is lost.
            BenchError: a store cannot be kept at such a URL.
        """
        if self.url.startswith("hf://") and not self.url.startswith("hf://buckets/"):
            what = f"{self.url} is a repository, where each of a store's many writes would be a commit"
            remedy = "use a bucket (hf://buckets/…), s3: or a folder; references go there with bench prepare --publish"
            raise BenchError(what, "your command", remedy, USAGE)
        if self._lock_exclusively():
            self._send_unsent()
            self._fetch_documents()
        else:
            logger.info(
                "store %s: another command on this machine uses it, so changes at the URL are fetched later", self.url
            )
        assert self._lock is not None
        fcntl.flock(self._lock, fcntl.LOCK_SH)  # until this process ends
        self.due = False

    def _lock_exclusively(self) -> bool:
        """Return whether this process got the copy for itself."""
        if self._lock is None:
            with writing(self.root / "lock"):
                self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._lock = (self.root / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno not in device_locks.NO_LOCKS:
                raise
            what = f"files in {self.root} cannot be locked: {error.strerror}"
            remedy = "let XDG_CACHE_HOME name a folder of a local disk"
            raise BenchError(what, "this machine", remedy, EXIT_CODES["infra"]) from error
        return True

    def _fetch_documents(self) -> None:
        # a version is everything that fsspec knows of a file: what changes with the content depends on the protocol
        versions = {name: str(sorted(about.items())) for name, about in self._place.about().items() if _is_below(name)}
        earlier_versions = self._versions_at_start()
        changed = [
            name
            for name, version in sorted(versions.items())
            if name.endswith(DOCUMENTS) and not (earlier_versions.get(name) == version and (self.root / name).is_file())
        ]
        if len(changed) > AT_ONCE:
            logger.info("store %s: fetching %d documents", self.url, len(changed))
        for start in range(0, len(changed), AT_ONCE):
            for name, content in self._place.read(changed[start : start + AT_ONCE]).items():
                write_file(self.root / name, content)
        for name in earlier_versions.keys() - versions.keys():
            if name.endswith(DOCUMENTS):
                (self.root / name).unlink(missing_ok=True)
        write_file(self.root / INDEX, document_bytes.encode(_INDEX_PLACE, versions))
        self._index = versions

    def write(self, name: str, content: bytes) -> None:
        """Write a file at the URL.

        Raises:
            RemoteError: that cannot be done now; the next command does it.
        """
        try:
            self._place.write({name: content})
        except BenchError:
            write_file(self.root / UNSENT / name, content)
            raise
        (self.root / UNSENT / name).unlink(missing_ok=True)  # an older version must not overwrite this one later

    def has(self, name: str) -> bool:
        """Return whether the file was at the URL when the command started."""
        return name in self._versions_at_start()

    def bring(self, name: str) -> None:
        """Copy a file from the URL, if it is there. Errors as those of :meth:`pull`."""
        if self.has(name):
            write_file(self.root / name, self._place.read([name])[name])

    def send(self, name: str, path: Path) -> None:
        """Send a file that something else has written. Errors as those of :meth:`write`."""
        self.write(name, path.read_bytes())

    def describe(self, root: Path) -> str:
        """Name the URL and its copy, for messages."""
        return f"{self.url} (its copy: {root})"

    def remedy(self, path: Path) -> str:
        """Say what to do about a damaged file of the copy, which may be damaged at the URL as well."""
        if not path.is_relative_to(self.root):
            return super().remedy(path)
        at_url = f"{self.url}/{path.relative_to(self.root).as_posix()}"
        return (
            f"run `bench doctor --store`, or remove the copy {path} and run the same command again; "
            f"if it comes back damaged, remove {at_url} as well"
        )

    def remove(self, folder: str) -> None:
        """Remove a folder at the URL."""
        self._place.remove(folder)

    def _versions_at_start(self) -> dict[str, str]:
        if self._index is None:  # also in a worker: the command that started it has written the file
            path = self.root / INDEX
            self._index = _index(path) if path.is_file() else {}
        return self._index

    def _send_unsent(self) -> None:
        unsent = self.root / UNSENT
        for path in sorted(path for path in unsent.rglob("*") if path.is_file()):
            self.write(path.relative_to(unsent).as_posix(), path.read_bytes())


def _index(path: Path) -> dict[str, str]:
    try:
        return document_bytes.decode(_INDEX_PLACE, path.read_bytes())[0]
    except ValueError as error:
        remedy = f"remove {path} and run the same command again: every document is fetched again"
        raise StoreError(f"damaged store: {path} cannot be read: {error}", remedy) from None


def _is_below(name: str) -> bool:
    """Return whether a name at the URL, which others may have written, stays inside the copy."""
    return ".." not in name.split("/")
