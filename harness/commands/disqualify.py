"""``bench disqualify``: a row leaves the ranks and stays in sight."""

from __future__ import annotations

from pathlib import Path

import click

from unlearn_bench.harness.commands._options import track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "organise",
    "Take an entry out of the ranks",
    epilog='Examples: bench disqualify my_method --reason "trains on the test set"; bench disqualify my_method --undo',
)
@click.argument("entry")
@click.option("--reason", metavar="TEXT", help="Which rule was broken; the board shows it.")
@click.option("--undo", is_flag=True, help="Back into the ranks; what was said before is kept.")
@track_option
def command(entry: str, reason: str | None, undo: bool, track: str, secret: Path | None) -> None:
    """Take the source of ENTRY, by its name on a track's board, out of the ranks of every track.

    The row stays on the board with its numbers and the reason, without groups and ranks. Another source under the same
    name is another method, and is judged anew.
    """
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.results import board_entries, review
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.support.errors import USAGE, BenchError
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.sandbox.text import one_line

    said = one_line(reason or "", 200)
    if undo == bool(said):
        raise BenchError("say --reason TEXT, or --undo", "your command", "see bench disqualify --help", USAGE)
    loaded, store = load_track(track, secret), Store()
    present = {one.name: one for one in board_entries.board_entries(References(loaded, store))}
    found = board_entries.find(present, entry, loaded)
    if found.kind != "entry":
        raise BenchError(
            f"{entry} ships with the benchmark and sets the cut points", "your command", "name a submission", USAGE
        )
    if undo and not review.disqualified(store, found.sha256):
        raise BenchError(f"{entry} is not disqualified", "your command", "there is nothing to undo", USAGE)
    review.disqualify(store, entry, found.sha256, said)
    click.echo(f"{entry} ({found.sha256[:16]}) is {'back in the ranks' if undo else f'disqualified: {said}'}")
