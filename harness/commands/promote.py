"""``bench promote``: another version of an entry becomes its row."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands._options import track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "run",
    "Let another version of an entry be its row",
    epilog="Examples: bench promote my_method@1a2b3c4d; bench promote my_method",
)
@click.argument("version", metavar="NAME[@VERSION]")
@track_option
def command(version: str, track: str, secret: Path | None) -> None:
    """Let a complete version of an entry stand on the board, until another one is promoted.

    bench show NAME --versions lists the versions. Without @VERSION it is the complete one that ran last.
    """
    from unlearn_bench.harness.workflows.versions import promote

    promoted = promote(version, track, secret)
    click.echo(f"the row of {promoted.name} is now {promoted.name}@{promoted.version}")
