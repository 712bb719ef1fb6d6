"""``bench export``: the weights of an entry's unlearned models, as files."""

from __future__ import annotations

import json
from pathlib import Path

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import json_option, track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "look",
    "Write an entry's unlearned models as files",
    epilog="Examples: bench export my_method --weights models; bench export ft --weights ft-models --json",
)
@click.argument("entry", shell_complete=_completion.entries)
@click.option(
    "--weights",
    "folder",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for seed-N.safetensors, one file per model seed.",
)
@track_option
@json_option
def command(entry: str, folder: Path, track: str, secret: Path | None, as_json: bool) -> None:
    """Write the unlearned models of one ENTRY, which --keep-weights has kept, as safetensors files.

    They have the precision in which they were kept. `bench score` reads the folder as checkpoints.
    """
    from unlearn_bench.harness.report.wording import counted
    from unlearn_bench.harness.workflows.unlearned_models import export_weights

    exported = export_weights(entry, folder, track, secret)
    if as_json:
        click.echo(json.dumps({"files": list(map(str, exported.files)), "without": exported.without}))
        return
    click.echo(f"{counted(len(exported.files), 'model')} of {entry} in {folder}")
    if exported.without:
        click.echo(f"without weights: seed {', '.join(map(str, exported.without))}")
