"""``bench references``: reference models of a track that were trained elsewhere, or that are to be used elsewhere."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import Choice, gpu_option, json_option, secret_option
from unlearn_bench.harness.commands._verbs import verb

FOLDER = click.Path(path_type=Path, file_okay=False)


@verb(
    "organise",
    "Import models that you have trained, list or export them",
    epilog="Examples: bench references import mine.toml --originals runs/original --retrained runs/retrained; "
    "bench references import mine.toml --null runs/retrained-again; bench references list mine.toml; "
    "bench references export digits-resnet18 --out digits/",
)
@click.argument("action", type=Choice(["import", "list", "export"]))
@click.argument("track", shell_complete=_completion.tracks)
@secret_option
@click.option("--originals", type=FOLDER, help="import: models trained on R ∪ F, a file for each seed, such as 0.pt.")
@click.option("--retrained", type=FOLDER, help="import: models trained on R.")
@click.option("--null", type=FOLDER, help="import: models trained on R again, from other initial weights.")
@click.option("--shadows", type=FOLDER, help="import: shadow models, SPLIT.pt and SPLIT-SET.pt.")
@click.option("--trained-by", metavar="NAME", help="import: who trained them; the board shows it.")
@click.option("--out", type=FOLDER, help="export: the folder to write.")
@gpu_option
@json_option
def command(
    action: str,
    track: str,
    secret: Path | None,
    originals: Path | None,
    retrained: Path | None,
    null: Path | None,
    shadows: Path | None,
    trained_by: str | None,
    out: Path | None,
    gpu: int | None,
    as_json: bool,
) -> None:
    """Import checkpoints as the reference models of TRACK, list what is stored, or export a track for work elsewhere.

    Files are safetensors, or PyTorch's, of which nothing but tensors is read; names are mapped from those that common
    wrappers give. Each must have the track's network and answer better than chance. A second retrained model (--null)
    and shadow models may be missing: then the columns that need them stay empty. Nothing is imported if one file is
    refused.
    """
    from unlearn_bench.harness.commands._progress import TerminalObserver
    from unlearn_bench.harness.report import references_text
    from unlearn_bench.harness.report.wording import counted
    from unlearn_bench.harness.workflows import references

    if action == "list":
        models = references.stored_models(track, secret)
        click.echo(json.dumps(dict(models), indent=1) if as_json else references_text.stored(models))
        return
    if action == "export":
        if out is None:
            raise click.UsageError("export writes a folder: add --out FOLDER")
        written = references.export_references(track, out, TerminalObserver(), secret=secret)
        said = f"wrote {counted(len(written), 'file')} to {out}"
        click.echo(json.dumps([str(path) for path in written]) if as_json else said)
        return
    folders = references.Folders(originals, retrained, null, shadows)
    result = references.import_references(
        track, folders, TerminalObserver(), trained_by=trained_by, secret=secret, gpu=gpu
    )
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(model) for model in result.models], indent=1))
    else:
        click.echo(references_text.imported(result.references, result.models))
