"""``bench prepare``: the reference models of a track."""

from __future__ import annotations

from pathlib import Path

import click


@click.command(
    epilog="Examples: bench prepare digits-tinyvit; bench prepare cifar10-resnet18 --download; "
    "bench prepare digits-resnet18 --from-scratch --export FOLDER"
)
@click.argument("track")
@click.option("--workers", type=click.IntRange(min=1), help="Training processes; default: one per core.")
@click.option("--download", is_flag=True, help="Fetch the data set first, where its source allows that.")
@click.option("--verify", is_flag=True, help="Only read every reference file against its digest.")
@click.option("--from-scratch", is_flag=True, help="Train all models here instead of using the shipped ones.")
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Write the set as it ships.")
def command(
    track: str, workers: int | None, download: bool, verify: bool, from_scratch: bool, export: Path | None
) -> None:
    """Train the original and retrained models that TRACK lacks.

    Says the cost first, shows progress, and resumes after a kill: finished models are kept and never trained again.
    """
    from harness import data, references
    from harness import track as tracks
    from harness.store import Store

    loaded = tracks.load(track)
    store = Store(behind=None) if from_scratch else Store()
    if download:
        data.load(loaded.data, download=True)
    found = references.References(loaded, store)
    if not verify:
        train_missing(found, workers)
    count = sum(1 for _ in found.verify())
    click.echo(f"{loaded.name}: {count} of {len(references.roles(loaded))} reference models, every file verified")
    if export is not None:
        from harness.shipping import export_references

        size = export_references(found, Store(export, behind=None))
        click.echo(f"exported to {export}: {size / 1e6:.2f} MB")


def train_missing(found: object, workers: int | None = None) -> None:
    """Announce the cost of the missing reference models and train them with a progress bar."""
    from harness import prepare
    from harness.progress import Bar
    from harness.references import References

    assert isinstance(found, References)
    if not found.missing():
        return
    plan = prepare.plan(found, workers)
    epochs = found.track.recipe.epochs
    click.echo(
        f"{found.track.name}: {plan.models} reference models to train, {plan.workers} at a time: "
        f"about {_span(plan.seconds)}, {plan.disk / 1e6:.1f} MB of disk",
        err=True,
    )
    with Bar(f"training {found.track.name}", plan.models * epochs, unit="epochs") as bar:
        for trained in prepare.run(found, plan, bar.at):
            bar.line(f"trained {trained.role.name} in {trained.seconds:.1f} CPU s")


def _span(seconds: float) -> str:
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
