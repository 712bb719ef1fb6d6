"""``bench disqualify``: take a row out of the ranks; it stays on the board."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "organise",
    "Take an entry out of the ranks",
    epilog='Examples: bench disqualify my_method --reason "trains on the test set"; bench disqualify my_method --undo',
)
@click.argument("entry", shell_complete=_completion.entries)
@click.option("--reason", metavar="TEXT", help="Which rule was broken; the board shows it.")
@click.option("--undo", is_flag=True, help="Put it back into the ranks; earlier reasons are kept.")
@track_option
def command(entry: str, reason: str | None, undo: bool, track: str, secret: Path | None) -> None:
    """Take the source of ENTRY, by its name on a track's board, out of the ranks of every track.

    The row stays on the board with its numbers and the reason, without groups and ranks. Another source under the same
    name is another method and is ranked.
    """
    from unlearn_bench.harness.support.errors import USAGE, BenchError
    from unlearn_bench.harness.workflows.disqualify import disqualify

    if undo == bool(reason):
        raise BenchError("say --reason TEXT, or --undo", "your command", "see bench disqualify --help", USAGE)
    sha256, shown = disqualify(entry, track, secret, None if undo else reason)
    click.echo(f"{entry} ({sha256[:16]}) is {'back in the ranks' if undo else f'disqualified: {shown}'}")
