"""``bench prepare``: the reference models of a track."""

from __future__ import annotations

from pathlib import Path

import click

from harness.commands._options import secret_option


@click.command(
    epilog="Examples: bench prepare digits-tinyvit; bench prepare cifar10-resnet18 --download; "
    "bench prepare digits-resnet18 --lira; bench prepare cifar10-resnet18 --gpu 0 --gpu 1"
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
@click.option("--download", is_flag=True, help="Fetch the data set first, where its source allows that.")
@click.option("--lira", is_flag=True, help="Also the shadow models that U-LiRA needs.")
@click.option("--swap", is_flag=True, help="Also the originals that SWAP needs.")
@click.option("--verify", is_flag=True, help="Only read every reference file against its digest.")
@click.option("--from-scratch", is_flag=True, help="Train all models here instead of using the shipped ones.")
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Write the set as it ships.")
def command(
    track: str,
    workers: int | None,
    gpus: tuple[int, ...],
    in_flight: int | None,
    download: bool,
    lira: bool,
    swap: bool,
    verify: bool,
    from_scratch: bool,
    export: Path | None,
) -> None:
    """Train the original and retrained models that TRACK lacks; with --lira its shadow models, too.

    Says the cost first, shows progress, and resumes after a kill: finished models are kept and never trained again.
    """
    from harness import data, participant, references, session
    from harness import track as tracks
    from harness.store import Store

    if in_flight and not gpus:
        raise click.UsageError("--in-flight says how many models train at a time on a GPU; it needs --gpu")
    loaded = tracks.load(track)
    if export is not None:
        participant.not_public(loaded, "--export")
    store = Store(behind=None) if from_scratch else Store()
    if download:
        data.load(loaded.data, download=True)
    found = references.References(loaded, store)
    wanted = references.roles(loaded)
    if lira:
        session.needs_shadows(loaded)
        wanted += references.shadow_roles(loaded)
    if swap:
        wanted += references.swap_roles(loaded)
    if not verify:
        session.train_missing(found, wanted, workers, gpus, in_flight)
    names = {role.name for role in wanted}
    count = sum(name in names for name in found.verify())
    click.echo(f"{loaded.name}: {count} of {len(names)} reference models, every file verified")
    if export is not None:
        from harness.shipping import export_references

        size = export_references(found, Store(export, behind=None))
        click.echo(f"exported to {export}: {size / 1e6:.2f} MB")
