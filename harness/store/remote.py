"""Files at a URL, for publishing and fetching: HTTP through the standard library, all else through fsspec."""

from __future__ import annotations

import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError

TIMEOUT = 30.0
"""Seconds that a server may be silent."""


class RemoteError(BenchError):
    """A URL that cannot be read or written."""


class Absent(RemoteError):
    """A file is not at the URL, or nothing answers there; another URL may have it."""


@dataclass(frozen=True)
class Stream:
    """An open file."""

    read: Callable[[int], bytes]
    """Return up to so many bytes; none at the end."""
    start: int
    """Index of the first byte: 0 if the server does not send parts of a file."""
    total: int | None
    """Bytes of the whole file, if the server tells."""


class Remote:
    """A folder at a URL: ``/path``, ``file:``, ``https:``, ``s3:``, ``hf:`` or any other protocol of fsspec.

    Raises:
        RemoteError: the protocol is unknown, or its package is missing.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.at_once = 8
        """How many files to write together: a repository of the Hugging Face Hub takes 128 commits an hour."""
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
        if self._fs.protocol == "hf":
            self.at_once = 64

    def sizes(self, folder: str) -> dict[str, int]:
        """Return the bytes of every file below a folder by its relative name. Errors as those of :meth:`about`."""
        return {name: int(about["size"]) for name, about in self.about(folder).items()}

    def about(self, folder: str = "") -> dict[str, Mapping[str, Any]]:
        """Return the metadata of every file below a folder: ``size``, and what changes when the file does.

        Raises:
            RemoteError: the place cannot be listed.
        """
        if self._http:
            what = f"{self.url}: nothing can be written over HTTP"
            raise RemoteError(what, "your command", "use a path, s3: or hf:", USAGE)
        with _translated(self.url):
            self._fs.invalidate_cache()
            metadata = self._fs.find(f"{self._root}/{folder}".rstrip("/"), detail=True)
            return {self._name(path): about for path, about in metadata.items()}

    def read(self, names: Sequence[str]) -> dict[str, bytes]:
        """Read small files, several at a time if the protocol allows that.

        Raises:
            RemoteError: one of them cannot be read.
        """
        with _translated(self.url):
            contents = self._fs.cat([f"{self._root}/{name}" for name in names])
            return {self._name(path): content for path, content in contents.items()}

    def remove(self, folder: str) -> None:
        """Remove a folder, if there is one."""
        with _translated(f"{self.url}/{folder}"):
            if self._fs.exists(f"{self._root}/{folder}"):
                self._fs.rm(f"{self._root}/{folder}", recursive=True)

    def write(self, files: Mapping[str, bytes]) -> None:
        """Write or replace files, in a repository of the Hugging Face Hub by one commit."""
        with _translated(self.url):
            if self._fs.protocol == "hf":
                _commit(self._fs, {f"{self._root}/{name}": content for name, content in files.items()})
            else:
                self._fs.pipe({f"{self._root}/{name}": content for name, content in files.items()})

    @contextmanager
    def open(self, name: str, start: int = 0) -> Iterator[Stream]:
        """Read a file from a byte on.

        Raises:
            Absent: the file is not there, or the host does not answer.
            RemoteError: the file may not be read.
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


def _commit(fs: Any, files: Mapping[str, bytes]) -> None:
    from huggingface_hub import CommitOperationAdd, HfApi
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()  # the command has one of its own
    places = {path: fs.resolve_path(path) for path in files}
    first = next(iter(places.values()))
    api = HfApi(endpoint=fs.endpoint, token=fs.token)
    if hasattr(first, "bucket_id"):  # a bucket keeps no history
        api.batch_bucket_files(first.bucket_id, add=[(files[path], place.path) for path, place in places.items()])
        return
    additions = [CommitOperationAdd(place.path_in_repo, files[path]) for path, place in places.items()]
    message, target = f"Add {len(files)} files", {"repo_type": first.repo_type, "revision": first.revision}
    api.create_commit(first.repo_id, additions, commit_message=message, **target)
    fs.invalidate_cache()


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
    """Turn whatever a protocol's package raises into an error with an owner and a remedy."""
    try:
        yield
    except BenchError:
        raise
    except Exception as error:  # every protocol's package has exceptions of its own
        raise _error(url, error) from error


def _error(url: str, error: Exception) -> RemoteError:
    code = _status(error)
    reason = f"HTTP {code}" if code else str(error).strip().split("\n")[0][:200] or type(error).__name__
    infra = EXIT_CODES["infra"]
    if isinstance(error, FileNotFoundError) or code in (404, 410):
        remedy = "check the URL: has the place been made, and is everything published there?"
        return Absent(f"there is no {url}", "your command", remedy, USAGE)
    if isinstance(error, PermissionError) or code in (401, 403):
        remedy = "log in as the protocol wants it, or ask who owns the place"
        return RemoteError(f"{url} may not be used: {reason}", "this machine", remedy, infra)
    if code == 429:
        remedy = "wait (for the Hugging Face Hub up to an hour) and run the same command again: it resumes there"
        return Absent(f"{url} takes nothing more for now: {reason}", "this machine", remedy, infra)
    remedy = "check the URL and the network, then run the same command again: it resumes where it stopped"
    has_clear_text = isinstance(error, OSError | HTTPException)
    kind = "" if has_clear_text else f"{type(error).__name__}: "
    return Absent(f"{url} cannot be reached: {kind}{reason}", "this machine", remedy, infra)


def _status(error: Exception) -> int | None:
    """Return the status that the server answered with, from exceptions of urllib, requests or httpx."""
    if isinstance(error, urllib.error.HTTPError):
        return error.code
    code = getattr(getattr(error, "response", None), "status_code", None)
    return code if isinstance(code, int) else None
