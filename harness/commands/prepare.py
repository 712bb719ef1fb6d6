"""``bench prepare``: the reference models of a track."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands._options import executor_option, secret_option
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.references.roles import Role


@verb(
    "run",
    "Train or fetch the reference models of a track",
    epilog="Examples: bench prepare digits-tinyvit; bench prepare cifar10-resnet18 --download; "
    "bench prepare digits-resnet18 --lira; bench prepare cifar10-resnet18 --gpu 0 --gpu 1; "
    "bench prepare cifar10-resnet18 --fetch; bench prepare cup.toml --publish s3://bucket/references",
)
@click.argument("track")
@secret_option
@click.option("--workers", type=click.IntRange(min=1), help="Training processes; default: one per core.")
@click.option(
    "--gpu",
    "gpus",
    type=click.IntRange(min=0),
    multiple=True,
    metavar="INDEX",
    help="Train on this CUDA device instead of the CPU; repeat it for several.",
)
@click.option(
    "--in-flight",
    type=click.IntRange(min=1),
    metavar="N",
    help="Models at a time on each GPU; default: by their size, and fewer where memory lacks.",
)
@executor_option
@click.option("--download", is_flag=True, help="Fetch the data set first, where its source allows that.")
@click.option("--lira", is_flag=True, help="Also the shadow models that U-LiRA needs.")
@click.option("--swap", is_flag=True, help="Also the originals that SWAP needs.")
@click.option(
    "--fetch",
    is_flag=False,
    flag_value="",
    metavar="[URL]",
    help="Fetch published models instead of training them; without URL from where the manifest says.",
)
@click.option("--publish", metavar="URL", help="Publish the models: a path, s3:, hf: or another fsspec URL.")
@click.option(
    "--manifest",
    type=click.Path(path_type=Path, dir_okay=False),
    help="What --publish writes and --fetch trusts; default: with the benchmark, or beside your TRACK.toml.",
)
@click.option("--verify", is_flag=True, help="Only read every reference file against its digest.")
@click.option("--from-scratch", is_flag=True, help="Train all models here instead of using the shipped ones.")
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Write the set as it ships.")
def command(
    track: str,
    secret: Path | None,
    workers: int | None,
    gpus: tuple[int, ...],
    in_flight: int | None,
    download: bool,
    lira: bool,
    swap: bool,
    fetch: str | None,
    publish: str | None,
    manifest: Path | None,
    verify: bool,
    from_scratch: bool,
    export: Path | None,
) -> None:
    """Train the original and retrained models that TRACK lacks; with --lira its shadow models, too.

    Says the cost first, shows progress, and resumes after a kill: finished models are kept and never trained again, and
    a long training on a CPU goes on where it was at most five minutes before. With --fetch they are not trained but
    fetched, and every byte is checked against the SHA-256 in the manifest.
    """
    from unlearn_bench.harness.data.dataset import load_dataset
    from unlearn_bench.harness.references import publication, roles
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units import disclosure
    from unlearn_bench.harness.workflows import session

    if in_flight and not gpus:
        raise click.UsageError("--in-flight says how many models train at a time on a GPU; it needs --gpu")
    loaded = load_track(track, secret)
    if export is not None:
        disclosure.not_public(loaded, "--export")
    if publish is not None:
        disclosure.not_public(loaded, "--publish")
    store = Store(behind=None) if from_scratch else Store()
    if download:
        load_dataset(loaded.data, download=True)
    found = References(loaded, store)
    wanted = roles.roles(loaded)
    if lira:
        session.needs_shadows(loaded)
        wanted += roles.shadow_roles(loaded)
    if swap:
        wanted += roles.swap_roles(loaded)
    path = manifest or publication.place(track)
    if fetch is not None:
        _fetch(found, wanted, fetch, path)
    if not verify:
        session.train_missing(found, wanted, workers, gpus, in_flight)
    names = {role.name for role in wanted}
    count = sum(name in names for name in found.verify())
    click.echo(f"{loaded.name}: {count} of {len(names)} reference models, every file verified")
    if publish is not None:
        _publish(found, wanted, publish, path)
    if export is not None:
        from unlearn_bench.harness.results.shipping import export_references

        size = export_references(found, Store(export, behind=None))
        click.echo(f"exported to {export}: {size / 1e6:.2f} MB")


def _fetch(references: References, wanted: Sequence[Role], url: str, path: Path) -> None:
    from unlearn_bench.harness.references import publication
    from unlearn_bench.harness.support.errors import TrackError
    from unlearn_bench.harness.support.progress import Bar

    manifest, track = publication.read(path), references.track
    plan = publication.plan(references, wanted, manifest, path)
    urls = [url] if url else manifest.urls
    if not urls:
        raise TrackError(f"{path} names no URL", "name one: --fetch URL")
    if not plan.models:
        return
    there = publication.begun(references.store, plan)
    click.echo(
        f"{track.name}: {len(plan.models)} reference models to fetch from {urls[0]}: {plan.size / 1e6:.1f} MB"
        + (f", of which {there / 1e6:.1f} MB are here" if there else ""),
        err=True,
    )
    references.store.needs_room(plan.size - there)
    with Bar(f"fetching {track.name}", plan.size, "bytes", done=there) as bar:
        for role in publication.fetch(references, plan, urls, bar.step):
            bar.line(f"fetched {role.name}")


def _publish(references: References, wanted: Sequence[Role], url: str, path: Path) -> None:
    from unlearn_bench.harness.references import publication
    from unlearn_bench.harness.store.remote import Remote
    from unlearn_bench.harness.support.progress import Bar

    remote = Remote(url)
    manifest = publication.describe(references, wanted, remote.url, path)
    todo = publication.unsent(manifest, remote)
    size = sum(blob.size for blob in todo)
    name = references.track.name
    click.echo(f"{name}: {len(todo)} files to publish at {remote.url}: {size / 1e6:.1f} MB", err=True)
    with Bar(f"publishing {name}", size, "bytes") as bar:
        for blob in publication.publish(references.store, manifest, todo, remote, path):
            bar.step(blob.size)
    click.echo(f"published at {remote.url}; commit the manifest {path}: --fetch trusts it alone")
