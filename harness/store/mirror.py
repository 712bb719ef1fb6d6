"""A store at a URL (``BENCH_HOME=s3://…``): a folder of this machine is its copy, and what is written goes to both.

The URL has the last word. A command that uses the store first brings the documents that the copy lacks or that have
changed, and drops those that are gone; arrays and weights come when they are asked for. What could not be sent is kept
in ``unsent/``, and goes first next time. Inputs of units, checkpoints, logs and locks serve this machine alone.

Locks are of one machine: at one URL, one command at a time may train or search; units can come from several.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from unlearn_bench.harness.store.upstream import NOWHERE, Upstream
from unlearn_bench.harness.support.errors import USAGE, BenchError
from unlearn_bench.harness.support.files import write_file

if TYPE_CHECKING:
    from unlearn_bench.harness.store.remote import Remote

logger = logging.getLogger(__name__)

AT_ONCE = 64
"""Documents that are asked for together."""
DOCUMENTS = (".json", ".journal")
"""What is brought before anybody asks: documents, and what searches have tried."""
INDEX = "at-url.json"
"""Which files the URL had when a command started, and how they could be told from changed ones."""
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
    """Return where the store in this folder is kept besides: the URL of ``BENCH_HOME``, if the folder is its copy."""
    found = current()
    return NOWHERE if found is None or found.root != root else found


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
        """Whether a command has begun that has not yet seen what is new at the URL; never so in its workers."""
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
        """Send what waits, then bring the documents that differ; not while another command here works with the copy.

        Raises:
            RemoteError: the URL cannot be read, or not be written; nothing is lost.
            BenchError: it is no place for a store.
        """
        if self.url.startswith("hf://") and not self.url.startswith("hf://buckets/"):
            what = f"{self.url} is a repository, where each of a store's many writes would be a commit"
            remedy = "use a bucket (hf://buckets/…), s3: or a folder; references go there with bench prepare --publish"
            raise BenchError(what, "your command", remedy, USAGE)
        if self._alone():
            self._send()
            self._bring_documents()
        else:
            logger.info("store %s: another command here works with it; what is new there comes later", self.url)
        assert self._lock is not None
        fcntl.flock(self._lock, fcntl.LOCK_SH)  # until this process ends
        self.due = False

    def _alone(self) -> bool:
        if self._lock is None:
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = (self.root / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _bring_documents(self) -> None:
        # as fsspec tells versions of a file: by everything that it knows of it
        there = {name: str(sorted(about.items())) for name, about in self._place.about().items() if _is_below(name)}
        before = self._there()
        wanted = [
            name
            for name, version in sorted(there.items())
            if name.endswith(DOCUMENTS) and not (before.get(name) == version and (self.root / name).is_file())
        ]
        if len(wanted) > AT_ONCE:
            logger.info("store %s: bringing %d documents", self.url, len(wanted))
        for start in range(0, len(wanted), AT_ONCE):
            for name, content in self._place.read(wanted[start : start + AT_ONCE]).items():
                write_file(self.root / name, content)
        for name in before.keys() - there.keys():
            if name.endswith(DOCUMENTS):
                (self.root / name).unlink(missing_ok=True)
        write_file(self.root / INDEX, json.dumps(there).encode())
        self._index = there

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
        (self.root / UNSENT / name).unlink(missing_ok=True)  # an older one must not go over this one

    def has(self, name: str) -> bool:
        """Return whether the file was at the URL when the command started."""
        return name in self._there()

    def bring(self, name: str) -> None:
        """Copy a file from the URL, if it is there. Errors as those of :meth:`pull`."""
        if self.has(name):
            write_file(self.root / name, self._place.read([name])[name])

    def send(self, name: str, path: Path) -> None:
        """Send a file that something else has written. Errors as those of :meth:`write`."""
        self.write(name, path.read_bytes())

    def describe(self, root: Path) -> str:
        """Name the URL and its copy, for people."""
        return f"{self.url} (its copy: {root})"

    def remedy(self, path: Path) -> str:
        """Say what to do about a damaged file of the copy, which may be damaged at the URL as well."""
        if not path.is_relative_to(self.root):
            return super().remedy(path)
        at_url = f"{self.url}/{path.relative_to(self.root).as_posix()}"
        return (
            f"remove the copy {path} and run the same command again; if it comes back damaged, remove {at_url} as well"
        )

    def remove(self, folder: str) -> None:
        """Remove a folder at the URL."""
        self._place.remove(folder)

    def _there(self) -> dict[str, str]:
        if self._index is None:  # a worker's, too: the command that started it has written the file
            path = self.root / INDEX
            self._index = json.loads(path.read_bytes()) if path.is_file() else {}
        return self._index

    def _send(self) -> None:
        waiting = self.root / UNSENT
        for path in sorted(path for path in waiting.rglob("*") if path.is_file()):
            self.write(path.relative_to(waiting).as_posix(), path.read_bytes())


def _is_below(name: str) -> bool:
    """Whether a name at the URL, which others may have written, stays inside of the copy."""
    return ".." not in name.split("/")
