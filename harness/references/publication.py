"""Publishing reference models at a URL.

A published place holds ``blobs/<2 digits>/<sha256>`` and ``references/<reference digest>.json``, written last. The
latter is the same text as the manifest in the repository, for people who look at the place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from unlearn_bench.harness.references.manifest import Blob, PublishedManifest, PublishedModel, read_manifest
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.remote import Remote
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import USAGE, BenchError, TrackError
from unlearn_bench.harness.support.files import write_file

LOT = 256 << 20
"""Bytes that are sent together: they are held in memory, and are sent again after an interruption."""


def describe(references: References, wanted: Sequence[Role], url: str, path: Path) -> PublishedManifest:
    """Return the manifest of the ``wanted`` models; earlier URLs of the same references stay in it.

    Raises:
        TrackError: one of them is not in the store.
    """
    if missing := references.missing(wanted):
        raise TrackError(f"{missing[0].name} is not there to publish", "train it: the same command without --verify")
    stored, models = references.manifest.roles, {}
    for role in wanted:
        model = stored[role.name]
        weights, logits = (_stored(references.store, sha) for sha in (model.weights, model.logits))
        assert logits is not None
        models[role.name] = PublishedModel(weights, logits, model.facts)
    manifest = PublishedManifest(references.track.name, references.track.reference_digest, (url,), models)
    if path.is_file() and (published := read_manifest(path)).reference_digest == manifest.reference_digest:
        manifest = replace(manifest, urls=(url, *(earlier for earlier in published.urls if earlier != url)))
    return manifest


def _stored(store: Store, sha: str | None) -> Blob | None:
    return None if sha is None or not store.has(sha) else Blob(sha, store.size(sha))


def unsent(manifest: PublishedManifest, remote: Remote) -> list[Blob]:
    """Return the files that are not at the place, or that have another size there."""
    remote_sizes = remote.sizes("blobs")
    blobs = {blob.sha256: blob for model in manifest.models.values() for blob in model.blobs}
    return [blob for blob in blobs.values() if remote_sizes.get(blob.name) != blob.size]


def publish(
    store: Store, manifest: PublishedManifest, todo: Sequence[Blob], remote: Remote, path: Path
) -> Iterator[Blob]:
    """Send files, then the manifest, which is also written to ``path`` in the repository; yield each sent file.

    Raises:
        RemoteError: the place cannot be written. Files that were sent are not sent again.
        StoreError: a file of the store is damaged.
        BenchError: ``path`` cannot be written.
    """
    for lot in _lots(todo, remote.at_once):
        remote.write({blob.name: store.get(blob.sha256) for blob in lot})
        yield from lot
    remote.write({f"references/{manifest.reference_digest}.json": manifest.text()})
    try:
        write_file(path, manifest.text())
    except OSError as error:
        what, remedy = f"the manifest {path} cannot be written: {error.strerror}", "name another file with --manifest"
        raise BenchError(what, "your command", remedy, USAGE) from None


def _lots(blobs: Sequence[Blob], count: int) -> Iterator[list[Blob]]:
    """Yield the files in groups of at most ``count``, and of at most :data:`LOT` bytes unless one file has more."""
    lot: list[Blob] = []
    for blob in blobs:
        if len(lot) == count or (lot and sum(sent.size for sent in lot) + blob.size > LOT):
            yield lot
            lot = []
        lot.append(blob)
    if lot:
        yield lot
