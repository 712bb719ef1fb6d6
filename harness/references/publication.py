"""Reference models published at a URL and fetched from it. What is trusted is the manifest in the repository.

A published place holds ``blobs/<2 digits>/<sha256>`` and ``references/<reference digest>.json``, written last: the
same text as the manifest in the repository, for those who look at the place. Every file that is fetched must have the
SHA-256 that the manifest says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.remote import Absent, Remote
from unlearn_bench.harness.store.store import Store, blob_path
from unlearn_bench.harness.support.errors import EXIT_CODES, USAGE, BenchError, TrackError
from unlearn_bench.harness.support.files import disk_full, write_file

FOLDER = Path(__file__).parents[1] / "published"
FORMAT = 1
CHUNK = 1 << 20
LOT = 256 << 20
"""Bytes that are sent together: they are in memory meanwhile, and sent again after a stop."""
ATTEMPTS = 3
"""How often a broken connection is taken up again before the command ends."""
SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Blob:
    """One file of a published model."""

    sha256: str
    size: int
    """Bytes."""

    @property
    def name(self) -> str:
        """Where it is below a published place."""
        return blob_path(self.sha256).as_posix()


@dataclass(frozen=True)
class Model:
    """One published reference model."""

    weights: Blob | None
    logits: Blob
    about: Mapping[str, Any] = field(default_factory=dict)
    """What the track's own manifest says besides."""

    @property
    def blobs(self) -> list[Blob]:
        return [blob for blob in (self.weights, self.logits) if blob is not None]


@dataclass(frozen=True)
class Manifest:
    """Which reference models of a track are published, and where."""

    track: str
    reference_digest: str
    urls: tuple[str, ...]
    """Newest first."""
    models: Mapping[str, Model]
    """By the name of their role."""

    def text(self) -> bytes:
        content = {"format": FORMAT, **asdict(self)}
        return json.dumps(content, indent=1, sort_keys=True, allow_nan=False).encode() + b"\n"


def place(track: str) -> Path:
    """Where a track's manifest is: with the benchmark, or beside the file of a track of one's own."""
    return Path(track).with_suffix(".published.json") if track.endswith(".toml") else FOLDER / f"{track}.json"


def read(path: Path) -> Manifest:
    """Read a manifest.

    Raises:
        TrackError: it is missing or not one.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = f"there is no manifest {path}, and without one nothing that a URL gives can be trusted"
        raise TrackError(what, "name the track's manifest with --manifest; its organiser has it") from None
    except (ValueError, OSError) as error:
        raise TrackError(f"{path} cannot be read: {error}", "get the manifest again") from None
    try:
        if content.pop("format") != FORMAT:
            raise ValueError("another format than this version reads")
        models = {
            str(name): Model(_blob(model["weights"]), _needed(model["logits"]), dict(model["about"]))
            for name, model in content["models"].items()
        }
        urls = tuple(map(str, content["urls"]))
        return Manifest(str(content["track"]), str(content["reference_digest"]), urls, models)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise TrackError(f"{path} is not a manifest: {type(error).__name__}: {error}", "get it again") from None


def _blob(content: Mapping[str, Any] | None) -> Blob | None:
    return None if content is None else _needed(content)


def _needed(content: Mapping[str, Any]) -> Blob:
    sha, size = content["sha256"], content["size"]
    if not SHA256.fullmatch(sha) or type(size) is not int or size < 0:
        raise ValueError(f"{sha!r} with size {size!r} is no file")
    return Blob(sha, size)


# publishing


def describe(references: References, wanted: Sequence[Role], url: str, path: Path) -> Manifest:
    """The manifest of these models; earlier URLs of the same references stay in it.

    Raises:
        TrackError: one of them is not in the store.
    """
    if missing := references.missing(wanted):
        raise TrackError(f"{missing[0].name} is not there to publish", "train it: the same command without --verify")
    entries, models = references.manifest["roles"], {}
    for role in wanted:
        about = dict(entries[role.name])
        weights, logits = (_stored(references.store, about.pop(kind)) for kind in ("weights", "logits"))
        assert logits is not None
        models[role.name] = Model(weights, logits, about)
    manifest = Manifest(references.track.name, references.track.reference_digest, (url,), models)
    if path.is_file() and (known := read(path)).reference_digest == manifest.reference_digest:
        manifest = replace(manifest, urls=(url, *(one for one in known.urls if one != url)))
    return manifest


def _stored(store: Store, sha: str | None) -> Blob | None:
    return None if sha is None or not store.has(sha) else Blob(sha, store.size(sha))


def unsent(manifest: Manifest, remote: Remote) -> list[Blob]:
    """Files that the place lacks, or has with another size."""
    there = remote.sizes("blobs")
    blobs = {blob.sha256: blob for model in manifest.models.values() for blob in model.blobs}
    return [blob for blob in blobs.values() if there.get(blob.name) != blob.size]


def publish(store: Store, manifest: Manifest, todo: Sequence[Blob], remote: Remote, path: Path) -> Iterator[Blob]:
    """Send files, then the manifest, and write the same into the repository at ``path``; yields each file.

    Raises:
        RemoteError: the place cannot be written. What was sent stays and is not sent again.
        StoreError: a file of the store is damaged.
        BenchError: ``path`` cannot be written.
    """
    for some in _lots(todo, remote.at_once):
        remote.write({blob.name: store.get(blob.sha256) for blob in some})
        yield from some
    remote.write({f"references/{manifest.reference_digest}.json": manifest.text()})
    try:
        write_file(path, manifest.text())
    except OSError as error:
        what, remedy = f"the manifest {path} cannot be written: {error.strerror}", "name another file with --manifest"
        raise BenchError(what, "your command", remedy, USAGE) from None


def _lots(blobs: Sequence[Blob], count: int) -> Iterator[list[Blob]]:
    """The files in groups of ``count`` at most, and of :data:`LOT` bytes where they are larger."""
    some: list[Blob] = []
    for blob in blobs:
        if len(some) == count or (some and sum(each.size for each in some) + blob.size > LOT):
            yield some
            some = []
        some.append(blob)
    if some:
        yield some


# fetching


@dataclass(frozen=True)
class Plan:
    """What is still to fetch."""

    models: tuple[tuple[Role, Model], ...]
    blobs: tuple[Blob, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(blob.size for blob in self.blobs)


def plan(references: References, wanted: Sequence[Role], manifest: Manifest, path: Path) -> Plan:
    """The ``wanted`` models that the store lacks.

    Raises:
        BenchError: the manifest (from ``path``) is one of other references, or lacks some of the models.
    """
    track = references.track
    if manifest.reference_digest != track.reference_digest:
        raise TrackError(
            f"{path} is of other references: {manifest.track}, {manifest.reference_digest[:16]}…; "
            f"track {track.name} has {track.reference_digest[:16]}…",
            "use the manifest of exactly this track; a changed track needs its models trained: "
            f"bench prepare {track.name}",
        )
    missing = references.missing(wanted)
    if unknown := [role.name for role in missing if role.name not in manifest.models]:
        what = f"{path} has no {unknown[0]}" + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
        raise TrackError(what, "fetch without --lira and --swap, and train these: the same command without --fetch")
    models = tuple((role, manifest.models[role.name]) for role in missing)
    blobs = {blob.sha256: blob for _, model in models for blob in model.blobs if not references.store.has(blob.sha256)}
    return Plan(models, tuple(blobs.values()))


def begun(store: Store, plan: Plan) -> int:
    """Bytes of a plan's files that a command that was stopped has brought already."""
    parts = (store.partial(blob.sha256) for blob in plan.blobs)
    return sum(part.stat().st_size for part in parts if part.is_file())


def fetch(
    references: References, plan: Plan, urls: Sequence[str], on_bytes: Callable[[int], None] = lambda count: None
) -> Iterator[Role]:
    """Fetch a plan's files from the first URL that has them; yields each model after it is in the store.

    Args:
        references: where they go.
        plan: from :func:`plan`.
        urls: tried in this order.
        on_bytes: gets the number of bytes that have come in.

    Raises:
        BenchError: no URL has a file, a file is not what the manifest says, the disk is full. What is finished stays,
            and a part of a file, too.
    """
    store, remotes = references.store, [Remote(url) for url in urls]
    with store.lock(f"fetch-{references.track.reference_digest}"):
        for role, model in plan.models:
            for blob in model.blobs:
                if not store.has(blob.sha256):
                    _from_any(store, blob, remotes, role, on_bytes)
            about = {
                kind: None if blob is None else blob.sha256 for kind, blob in vars(model).items() if kind != "about"
            }
            references.keep(role, {**model.about, **about})
            yield role


def _from_any(store: Store, blob: Blob, remotes: Sequence[Remote], role: Role, on_bytes: Callable[[int], None]) -> None:
    for remote in remotes:
        try:
            fetch_blob(store, blob, remote, role.name, on_bytes)
            return
        except Absent:
            if remote is remotes[-1]:
                raise


def fetch_blob(
    store: Store, blob: Blob, remote: Remote, label: str, on_bytes: Callable[[int], None] = lambda count: None
) -> None:
    """Bring one file into the store; a part of it that is there already is not sent again.

    Raises:
        Absent: it is not there, or the connection broke again and again.
        BenchError: it is not the file that was published; nothing of it is kept.
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
            if not start:  # else the part of an earlier attempt may have been of another file
                raise _refused(remote, blob, label, "does not match its SHA-256")
    what = f"{remote.url}/{blob.name} ended early"
    remedy = "run the same command again: it goes on where it stopped"
    raise Absent(what, "this machine", remedy, EXIT_CODES["infra"])


def _append(part: Path, start: int, blob: Blob, remote: Remote, label: str, on_bytes: Callable[[int], None]) -> None:
    with remote.open(blob.name, start) as stream:
        if stream.total is not None and stream.total != blob.size:
            part.unlink(missing_ok=True)
            raise _refused(remote, blob, label, f"has {stream.total} bytes instead of {blob.size}")
        with disk_full(part):
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("r+b" if start else "wb", buffering=0) as file:
                file.truncate(stream.start)
                file.seek(stream.start)
                on_bytes(stream.start - start)
                left = blob.size - stream.start
                while left and (chunk := stream.read(min(CHUNK, left))):
                    file.write(chunk)
                    left -= len(chunk)
                    on_bytes(len(chunk))


def _refused(remote: Remote, blob: Blob, label: str, why: str) -> BenchError:
    return BenchError(
        f"{remote.url}/{blob.name} ({label}) {why}",
        "the benchmark",
        "nothing of it was kept: fetch from another URL, tell who published it, or train the models: bench prepare",
        EXIT_CODES["infra"],
    )
