"""Files at a URL, for publishing and fetching: HTTP through the standard library, all else through fsspec."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException

from harness.errors import EXIT_CODES, USAGE, BenchError

TIMEOUT = 30.0
"""Seconds that a server may be silent."""


class RemoteError(BenchError):
    """A URL that cannot be read or written."""


class Absent(RemoteError):
    """What is wanted is not at the URL, or nothing answers there; another one may have it."""


@dataclass(frozen=True)
class Stream:
    """An open file."""

    read: Callable[[int], bytes]
    """Up to so many bytes; none at the end."""
    start: int
    """Which byte comes first: 0 where the server does not send parts of a file."""
    total: int | None
    """Bytes of the whole file, where the server says so."""


class Remote:
    """A folder at a URL: ``/path``, ``file:``, ``https:``, ``s3:``, ``hf:`` or any other protocol of fsspec.

    Raises:
        RemoteError: a protocol that nobody knows, or whose package is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._http = url.startswith(("http://", "https://"))
        if self._http:
            return
        import fsspec

        local = fsspec.core.split_protocol(url)[0] in (None, "file", "local")
        options = {"auto_mkdir": True} if local else {}
        try:
            self._fs, self._root = fsspec.core.url_to_fs(self.url, skip_instance_cache=True, **options)
        except ImportError as error:
            remedy = "pip install 'unlearn-bench[remote]', or the package that the message names"
            raise RemoteError(f"{url}: {error}", "this machine", remedy, EXIT_CODES["infra"]) from None
        except ValueError as error:
            remedy = "use a path, or a URL with https:, s3:, hf: or another protocol of fsspec"
            raise RemoteError(f"{url}: {error}", "your command", remedy, USAGE) from None

    def sizes(self, folder: str) -> dict[str, int]:
        """Bytes of every file below a folder, by its name relative to this place.

        Raises:
            RemoteError: the place cannot be listed.
        """
        if self._http:
            what = f"{self.url}: files cannot be published over HTTP"
            raise RemoteError(what, "your command", "publish to a path, s3: or hf:", USAGE)
        with _translated(self.url):
            found = self._fs.find(f"{self._root}/{folder}", detail=True)
            return {self._name(path): int(about["size"]) for path, about in found.items()}

    def write(self, name: str, content: bytes) -> None:
        """Write or replace a file."""
        with _translated(f"{self.url}/{name}"):
            self._fs.pipe_file(f"{self._root}/{name}", content)

    @contextmanager
    def open(self, name: str, start: int = 0) -> Iterator[Stream]:
        """Read a file from a byte on.

        Raises:
            Absent: it is not there, or the host does not answer.
            RemoteError: it may not be read.
        """
        url = f"{self.url}/{name}"
        with _translated(url):
            if self._http:
                with _get(url, start) as stream:
                    yield stream
                return
            path = f"{self._root}/{name}"
            total = int(self._fs.info(path)["size"])
            with self._fs.open(path, "rb") as file:
                file.seek(start)
                yield Stream(file.read, start, total)

    def _name(self, path: str) -> str:
        return path.removeprefix(self._root).lstrip("/")


@contextmanager
def _get(url: str, start: int) -> Iterator[Stream]:
    headers = {"Range": f"bytes={start}-"} if start else {}
    request = urllib.request.Request(url, headers={"User-Agent": "unlearn-bench", **headers})
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        length = response.headers.get("Content-Length")
        first = 0
        if response.status == 206:  # Content-Range: bytes 512-1023/1024
            first = int(response.headers["Content-Range"].split()[1].partition("-")[0])
        yield Stream(response.read1, first, None if length is None else first + int(length))


@contextmanager
def _translated(url: str) -> Iterator[None]:
    """Whatever a protocol raises, as an error with an owner and a remedy."""
    try:
        yield
    except BenchError:
        raise
    except Exception as error:  # every protocol's package has exceptions of its own
        raise _error(url, error) from error


def _error(url: str, error: Exception) -> RemoteError:
    code = error.code if isinstance(error, urllib.error.HTTPError) else None
    said = f"HTTP {code}" if code else str(error).strip().split("\n")[0][:200] or type(error).__name__
    infra = EXIT_CODES["infra"]
    if isinstance(error, FileNotFoundError) or code in (404, 410):
        return Absent(f"there is no {url}", "your command", "check the URL: is everything published there?", USAGE)
    if isinstance(error, PermissionError) or code in (401, 403):
        remedy = "log in as the protocol wants it, or ask who owns the place"
        return RemoteError(f"{url} may not be used: {said}", "this machine", remedy, infra)
    remedy = "check the URL and the network, then run the same command again: it goes on where it stopped"
    known = isinstance(error, OSError | HTTPException)
    kind = "" if known else f"{type(error).__name__}: "
    return Absent(f"{url} cannot be reached: {kind}{said}", "this machine", remedy, infra)
