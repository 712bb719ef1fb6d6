"""``bench verify``: a published unit runs again."""

from __future__ import annotations

import json
from pathlib import Path

import click

from unlearn_bench.harness.commands._options import (
    gpu_option,
    json_option,
    organiser_option,
    sandbox_option,
    track_option,
)
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "organise",
    "Run one published unit again and judge the difference",
    epilog="Examples: bench verify ft --seed 3; bench verify submissions/my_method.py --seed 0 --json",
)
@click.argument("entry")
@click.option("--seed", type=click.IntRange(min=0), required=True, help="Which of its units.")
@track_option
@sandbox_option
@gpu_option
@organiser_option
@json_option
def command(
    entry: str,
    seed: int,
    track: str,
    secret: Path | None,
    sandbox: str,
    gpu: int | None,
    organiser: bool,
    as_json: bool,
) -> None:
    """Run one unit of ENTRY (a name on the board, or its file) again and judge the difference to what was published.

    A number is consistent when it moves by no more than the entry's own seeds explain (the reproducibility limit of
    ISO 5725-6); seconds are judged on one machine and back end alone. The outcome marks the row: verified, or not
    reproduced. Exit code 0 consistent, 14 inconsistent, 15 cannot tell. Of a sealed track only the verdict, unless
    --organiser asks for the numbers.
    """
    from unlearn_bench.harness.references.references import References
    from unlearn_bench.harness.report import tables
    from unlearn_bench.harness.results import board_entries, review, verification
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units.unit_kinds import SeedUnit
    from unlearn_bench.harness.workflows import session

    loaded = load_track(track, secret)
    references = References(loaded, Store())
    given = session.find_entry(entry) if entry.endswith(".py") else None
    present = {one.name: one for one in board_entries.board_entries(references)}
    board_entry = board_entries.find(present, given.name if given else entry, loaded)
    record = verification.published(board_entry, seed)
    method = verification.entry_of(references, board_entry, given)
    bench, line = session.open_bench(loaded, sandbox, gpu)
    click.echo(line, err=True)
    (again,) = session.execute(bench, [SeedUnit(method, loaded, seed)], gpu, keep=False)
    if again.status == "infra":
        raise session.failure(bench.references.store, loaded, again)
    rerun, table, why = verification.judge(bench.references, board_entry, record, again)
    review.keep(bench.references, record, rerun)
    hidden = loaded.sealed and not organiser
    if as_json:
        content = {"entry": board_entry.name, "seed": seed, "verdict": rerun.verdict}
        if not hidden:
            content |= {"why": why, "differences": list(rerun.differences), "environment": dict(rerun.environment)}
        click.echo(json.dumps(content, indent=1))
    else:
        if not hidden:
            click.echo(tables.verification(record, again, table))
        click.echo(f"verdict: {rerun.verdict}" + ("" if hidden else f": {why}"))
    if code := verification.EXIT_CODES[rerun.verdict]:
        raise click.exceptions.Exit(code)
