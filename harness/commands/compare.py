"""``bench compare``: two entries, paired seed by seed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from unlearn_bench.harness.commands._options import json_option, track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "look",
    "Compare two entries, paired by seed",
    epilog="Examples: bench compare my_method ft; bench compare salun srl --json",
)
@click.argument("a")
@click.argument("b")
@track_option
@json_option
def command(a: str, b: str, track: str, secret: Path | None, as_json: bool) -> None:
    """Differences between entries A and B with 95 % intervals, paired by seed (U-LiRA: by pair of shadow splits).

    Paired differences are sharper than the board's intervals: what all methods share on a seed cancels.
    """
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.report import tables
    from unlearn_bench.harness.results.board_entries import board_entries, find
    from unlearn_bench.harness.results.comparison import comparison
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.loading import load_track

    loaded = load_track(track, secret)
    references = References(loaded, Store())
    present = {board_entry.name: board_entry for board_entry in board_entries(references)}
    differences = comparison(references, *(find(present, name, loaded) for name in (a, b)))
    if as_json:
        content = [{**dataclasses.asdict(one), "clear": one.clear} for one in differences]
        click.echo(json.dumps({"a": a, "b": b, "track": loaded.name, "differences": content}, indent=1))
    else:
        click.echo(tables.comparison(a, b, differences))
