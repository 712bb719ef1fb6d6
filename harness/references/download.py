"""Downloading one file of known size and SHA-256 into the store, resumed where an earlier attempt stopped.

This is our own code because the places are HTTP servers, folders, S3 and the Hugging Face Hub alike: pooch neither
resumes a download nor reads S3, and huggingface_hub resumes only files of the Hub, in a cache of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unlearn_bench.harness.references.manifest import Blob
from unlearn_bench.harness.store.remote import Absent, Remote
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import EXIT_CODES, BenchError
from unlearn_bench.harness.support.files import writing

CHUNK = 1 << 20
"""Bytes that are read at a time."""
ATTEMPTS = 3
"""How often a download is tried before the command ends with the connection's error."""


def download(
    store: Store, blob: Blob, remote: Remote, label: str, on_bytes: Callable[[int], None] = lambda count: None
) -> None:
    """Download one file into the store; a part of it from an earlier attempt is not sent again.

    Args:
        store: where it goes.
        blob: its size and SHA-256.
        remote: where it comes from.
        label: names the file in messages.
        on_bytes: gets the number of bytes that have come in; a negative one for bytes that had to be discarded.

    Raises:
        Absent: the file is not there, or the connection broke too often.
        BenchError: it is not the published file; nothing of it is kept.
        StoreError: the disk is full.
    """
    part = store.partial(blob.sha256)
    for attempt in range(ATTEMPTS):
        start = part.stat().st_size if part.is_file() else 0
        if start > blob.size:
            part.unlink()
            start = 0
        try:
            if start < blob.size:
                _append(part, start, blob, remote, label, on_bytes)
            complete = part.is_file() and part.stat().st_size == blob.size
        except Absent:
            if attempt == ATTEMPTS - 1 or not part.is_file() or part.stat().st_size == start:
                raise
            continue
        if complete and store.adopt(part, blob.sha256):
            return
        if complete:
            part.unlink()
            on_bytes(-blob.size)
            if not start:  # otherwise an earlier attempt's part may have been of another file
                raise _refused(remote, blob, label, "does not match its SHA-256")
    what = f"{remote.url}/{blob.name} ended early"
    remedy = "run the same command again: it resumes where it stopped"
    raise Absent(what, "this machine", remedy, EXIT_CODES["infra"])


def _append(part: Path, start: int, blob: Blob, remote: Remote, label: str, on_bytes: Callable[[int], None]) -> None:
    with remote.open(blob.name, start) as stream:
        if stream.total is not None and stream.total != blob.size:
            part.unlink(missing_ok=True)
            raise _refused(remote, blob, label, f"has {stream.total} bytes instead of {blob.size}")
        with writing(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("r+b" if start else "wb", buffering=0) as file:
                file.truncate(stream.start)
                file.seek(stream.start)
                on_bytes(stream.start - start)
                remaining = blob.size - stream.start
                while remaining and (chunk := stream.read(min(CHUNK, remaining))):
                    file.write(chunk)
                    remaining -= len(chunk)
                    on_bytes(len(chunk))


def _refused(remote: Remote, blob: Blob, label: str, why: str) -> BenchError:
    return BenchError(
        f"{remote.url}/{blob.name} ({label}) {why}",
        "the benchmark",
        "nothing of it was kept: fetch from another URL, tell who published it, or train the models: bench prepare",
        EXIT_CODES["infra"],
    )
