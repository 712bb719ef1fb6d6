"""Fetching published reference models: which ones are missing, and from which URL each file comes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearn_bench.harness.references.download import download
from unlearn_bench.harness.references.manifest import Blob, PublishedManifest, PublishedModel, StoredModel
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role
from unlearn_bench.harness.store.remote import Absent, Remote
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import TrackError


@dataclass(frozen=True)
class FetchPlan:
    """The models and files that are still to be fetched."""

    models: tuple[tuple[Role, PublishedModel], ...]
    blobs: tuple[Blob, ...]

    @property
    def size(self) -> int:
        """The size of all files in bytes."""
        return sum(blob.size for blob in self.blobs)


def plan_fetch(references: References, wanted: Sequence[Role], manifest: PublishedManifest, path: Path) -> FetchPlan:
    """Plan to fetch the ``wanted`` models that are not in the store.

    Raises:
        BenchError: the manifest (from ``path``) belongs to other references, or lacks some of the models.
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
    if manifest.imported:  # these may lack the second retrained model
        missing = [role for role in missing if role.kind != "null" or role.name in manifest.models]
    if unknown := [role.name for role in missing if role.name not in manifest.models]:
        what = f"{path} has no {unknown[0]}" + (f" and {len(unknown) - 1} more" if len(unknown) > 1 else "")
        raise TrackError(what, "fetch without --lira and --swap, and train these: the same command without --fetch")
    models = tuple((role, manifest.models[role.name]) for role in missing)
    blobs = {blob.sha256: blob for _, model in models for blob in model.blobs if not references.store.has(blob.sha256)}
    return FetchPlan(models, tuple(blobs.values()))


def begun(store: Store, plan: FetchPlan) -> int:
    """Return how many bytes of a plan's files an earlier command fetched before it was stopped."""
    parts = (store.partial(blob.sha256) for blob in plan.blobs)
    return sum(part.stat().st_size for part in parts if part.is_file())


def fetch(
    references: References, plan: FetchPlan, urls: Sequence[str], on_bytes: Callable[[int], None] = lambda count: None
) -> Iterator[Role]:
    """Fetch a plan's files from the first URL that has them; yield each model after it is in the store.

    Args:
        references: the models of the track; they go into its store.
        plan: from :func:`plan_fetch`.
        urls: tried in this order.
        on_bytes: gets the number of bytes that have come in.

    Raises:
        BenchError: no URL has a file, a file is not what the manifest says, the disk is full. Finished files
            and the part of an unfinished one stay.
    """
    store, remotes = references.store, [Remote(url) for url in urls]
    with store.lock(f"fetch-{references.track.reference_digest}"):
        for role, model in plan.models:
            for blob in model.blobs:
                if not store.has(blob.sha256):
                    _from_any(store, blob, remotes, role, on_bytes)
            weights = None if model.weights is None else model.weights.sha256
            references.keep(role, StoredModel(weights=weights, logits=model.logits.sha256, **vars(model.about)))
            yield role


def _from_any(store: Store, blob: Blob, remotes: Sequence[Remote], role: Role, on_bytes: Callable[[int], None]) -> None:
    for remote in remotes:
        try:
            download(store, blob, remote, role.name, on_bytes)
            return
        except Absent:
            if remote is remotes[-1]:
                raise
