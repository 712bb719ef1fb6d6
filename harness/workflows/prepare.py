"""``bench prepare``: the reference models of a track are trained or fetched, published and exported."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from unlearn_bench.harness.data.dataset import load_dataset
from unlearn_bench.harness.executors import RunOptions, connected
from unlearn_bench.harness.references import fetching, publication
from unlearn_bench.harness.references.manifest import manifest_path, read_manifest
from unlearn_bench.harness.references.references import References
from unlearn_bench.harness.references.roles import Role, shadow_roles, swap_roles
from unlearn_bench.harness.results.shipping import export_references
from unlearn_bench.harness.store.remote import Remote
from unlearn_bench.harness.store.store import Store
from unlearn_bench.harness.support.errors import TrackError
from unlearn_bench.harness.support.progress import Observer
from unlearn_bench.harness.tracks.loading import load_track
from unlearn_bench.harness.units import disclosure
from unlearn_bench.harness.workflows.training import train_missing
from unlearn_bench.harness.workflows.untimed import needs_shadows

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """The reference models of a track that were asked for."""

    references: References
    wanted: Sequence[Role]
    verified: int
    """How many of them are stored, every file read against its digest."""
    manifest: Path
    """The manifest with the URLs of published ones and their digests."""


def prepare(
    track: str,
    options: RunOptions,
    *,
    workers: int | None = None,
    gpus: Sequence[int] = (),
    in_flight: int | None = None,
    download: bool = False,
    lira: bool = False,
    swap: bool = False,
    fetch: str | None = None,
    manifest: Path | None = None,
    train: bool = True,
    from_scratch: bool = False,
) -> Prepared:
    """Train the reference models that a track is missing, or fetch them, and read every file against its digest.

    Args:
        track: a track's name, or the path of a TOML file.
        options: where to train.
        workers: training processes; default: one per core.
        gpus: CUDA devices to train on; none: the CPU.
        in_flight: models at a time on each GPU; default: by their size and the memory.
        download: fetch the data set first, if its source allows that.
        lira: also train or fetch the shadow models that U-LiRA needs.
        swap: also train or fetch the originals that SWAP needs.
        fetch: fetch published models from this URL first; if it is empty, from the URLs in the manifest.
        manifest: file of the digests that a fetch trusts; default: with the benchmark, or beside the track's file.
        train: train the models that are missing after that.
        from_scratch: ignore the shipped models.

    Raises:
        BenchError: unknown track, missing data, a damaged file, no room, or a training that failed.
    """
    loaded_track = load_track(track, options.secret)
    store = Store(behind=None) if from_scratch else Store()
    if download:
        load_dataset(loaded_track.data, download=True)
    references, others = References(loaded_track, store), []
    if lira:
        needs_shadows(loaded_track)
        others += shadow_roles(loaded_track)
    if swap:
        others += swap_roles(loaded_track)
    path = manifest or manifest_path(track)
    if fetch is not None:
        fetch_models(references, [*references.seed_roles(), *others], fetch, path, options.observer)
    wanted = [*references.seed_roles(), *others]  # those that were fetched may lack the second retrained model
    if train:
        with connected(options) as executor:
            train_missing(references, wanted, executor, options, workers=workers, gpus=gpus, in_flight=in_flight)
    wanted_names = {role.name for role in wanted}
    return Prepared(references, wanted, sum(name in wanted_names for name in references.verify()), path)


def refuse_sealed(track: str, options: RunOptions, what: str) -> None:
    """Raise ``BenchError`` if the track is sealed, because ``what`` would reveal its models."""
    disclosure.not_public(load_track(track, options.secret), what)


def fetch_models(references: References, wanted: Sequence[Role], url: str, manifest: Path, observer: Observer) -> None:
    """Fetch the ``wanted`` models that are missing; every byte is checked against the manifest.

    Args:
        references: of the track; the models are stored there.
        wanted: the models.
        url: where they are; empty: the URLs in the manifest.
        manifest: names their files with their digests.
        observer: receives the progress.

    Raises:
        BenchError: no manifest or URL, the wrong bytes, no room.
    """
    content, track = read_manifest(manifest), references.track
    plan = fetching.plan_fetch(references, wanted, content, manifest)
    urls = [url] if url else content.urls
    if not urls:
        raise TrackError(f"{manifest} names no URL", "name one: --fetch URL")
    if not plan.models:
        return
    bytes_present = fetching.begun(references.store, plan)
    logger.info(
        f"{track.name}: {len(plan.models)} reference models to fetch from {urls[0]}: {plan.size / 1e6:.1f} MB"
        + (f", of which {bytes_present / 1e6:.1f} MB are here" if bytes_present else "")
    )
    references.store.needs_room(plan.size - bytes_present)
    with observer.progress(f"fetching {track.name}", plan.size, "bytes", bytes_present) as progress:
        for role in fetching.fetch(references, plan, urls, progress.step):
            progress.line(f"fetched {role.name}")


def publish_models(prepared: Prepared, url: str, observer: Observer) -> str:
    """Publish the models, write their manifest, and return the URL where they are.

    Args:
        prepared: the models.
        url: a path, ``s3:``, ``hf:`` or another fsspec URL.
        observer: receives the progress.

    Raises:
        BenchError: nothing can be written there.
    """
    references, remote = prepared.references, Remote(url)
    manifest = publication.describe(references, prepared.wanted, remote.url, prepared.manifest)
    unsent = publication.unsent(manifest, remote)
    size, name = sum(blob.size for blob in unsent), references.track.name
    logger.info("%s: %d files to publish at %s: %.1f MB", name, len(unsent), remote.url, size / 1e6)
    with observer.progress(f"publishing {name}", size, "bytes") as progress:
        for blob in publication.publish(references.store, manifest, unsent, remote, prepared.manifest):
            progress.step(blob.size)
    return remote.url


def export_models(prepared: Prepared, folder: Path, null_weights: bool) -> int:
    """Write the models into a folder as they ship, and return their size in bytes."""
    return export_references(prepared.references, Store(folder, behind=None), null_weights=null_weights)
