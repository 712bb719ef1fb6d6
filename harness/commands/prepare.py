"""``bench prepare``: the reference models of a track."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import executor_option, run_options, secret_option
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.executors import RunOptions


@verb(
    "run",
    "Train or fetch the reference models of a track",
    epilog="Examples: bench prepare digits-tinyvit; bench prepare cifar10-resnet18 --download; "
    "bench prepare digits-resnet18 --lira; bench prepare cifar10-resnet18 --gpu 0 --gpu 1; "
    "bench prepare cifar10-resnet18 --fetch; bench prepare cup.toml --publish s3://bucket/references",
)
@click.argument("track", shell_complete=_completion.tracks)
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
    help="Models at a time on each GPU; default: by their size, and fewer if memory is short.",
)
@executor_option
@click.option("--download", is_flag=True, help="Download the data set first, if its source allows that.")
@click.option("--lira", is_flag=True, help="Also train the shadow models that U-LiRA needs.")
@click.option("--swap", is_flag=True, help="Also train the originals that SWAP needs.")
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
@click.option("--verify", is_flag=True, help="Train nothing; check every reference file against its digest.")
@click.option("--from-scratch", is_flag=True, help="Train all models here instead of using the shipped ones.")
@click.option(
    "--export",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the models into this folder, as they ship.",
)
@click.option(
    "--without-null-weights",
    is_flag=True,
    help="With --export: leave out the weights of null models, which only new probes need.",
)
@run_options
def command(
    track: str,
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
    without_null_weights: bool,
    options: RunOptions,
) -> None:
    """Train the original and retrained models that TRACK is missing, with --lira also its shadow models.

    It prints the cost first and resumes after an interruption: finished models are never trained again, and a long
    training on a CPU loses at most five minutes. With --fetch models are fetched instead of trained, and every byte is
    checked against the SHA-256 in the manifest.
    """
    from unlearn_bench.harness.workflows import prepare as models

    if in_flight and not gpus:
        raise click.UsageError("--in-flight says how many models train at a time on a GPU; it needs --gpu")
    if without_null_weights and export is None:
        raise click.UsageError("--without-null-weights says how to export: add --export FOLDER")
    for option, value in (("--export", export), ("--publish", publish)):
        if value is not None:
            models.refuse_sealed(track, options, option)
    prepared = models.prepare(
        track,
        options,
        workers=workers,
        gpus=gpus,
        in_flight=in_flight,
        download=download,
        lira=lira,
        swap=swap,
        fetch=fetch,
        manifest=manifest,
        train=not verify,
        from_scratch=from_scratch,
    )
    name, count = prepared.references.track.name, len({role.name for role in prepared.wanted})
    click.echo(f"{name}: {prepared.verified} of {count} reference models, every file verified")
    if publish is not None:
        url = models.publish_models(prepared, publish, options.observer)
        click.echo(f"published at {url}; commit the manifest {prepared.manifest}: --fetch trusts nothing else")
    if export is not None:
        size = models.export_models(prepared, export, null_weights=not without_null_weights)
        click.echo(f"exported to {export}: {size / 1e6:.2f} MB")
