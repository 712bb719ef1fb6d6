"""``bench memorisation``: which examples of a track are memorised most."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands._options import run_options, track_option
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.executors import RunOptions


@verb(
    "organise",
    "Estimate how much each example is memorised",
    epilog="Example: bench memorisation --track digits-resnet18 --out digits-memorisation.npy",
)
@track_option
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, help="The file of values to write (.npy)."
)
@run_options
def command(track: str, out: Path, options: RunOptions) -> None:
    """Estimate how much each example of R and F is memorised, from the track's shadow models.

    Half of those were trained on the example and half were not. It writes one number per example of the data set (NaN
    outside of R and F) and prints the lines with which a track of your own forgets the most memorised examples.
    """
    from unlearn_bench.harness.workflows.memorisation import write_memorisation

    sha256 = write_memorisation(track, out, options)
    click.echo('[splits]\nrule = "fixed"  # "paper" where the track has that rule\nforget_rule = "highest"')
    click.echo(f'values = "{out.name}"\nvalues_sha256 = "{sha256}"')
