"""``bench findings``: what the stored boards say, in sentences."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands._options import secret_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "look",
    "Say in sentences what the stored boards show",
    epilog="Examples: bench findings; bench findings > docs/findings.md; "
    "bench findings --track digits-resnet18 --track digits-class",
)
@click.option(
    "--track",
    "names",
    multiple=True,
    metavar="NAME",
    help="A track's name, or a .toml file; may be repeated. Default: all shipped tracks that have records and give "
    "entries all of R, F and V.",
)
@secret_option
@click.option("--public", is_flag=True, help="Rank only rows whose units come from trusted back ends (docker).")
def command(names: tuple[str, ...], secret: Path | None, public: bool) -> None:
    """Print what the boards of several tracks say together, as Markdown; nothing is run.

    Which methods are in the first group and on how many tracks, what passes the cheap attacks and is found by U-LiRA or
    a probe, what a method costs, what changes between tracks, and where the paper's numbers differ. Each sentence has
    its numbers and the command that shows them.
    """
    from unlearn_bench.harness.workflows.findings import findings

    click.echo(findings(names, secret, public=public))
