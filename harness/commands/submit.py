"""``bench submit``: a method runs in the sandbox and takes its place on the board."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import click

from unlearn_bench.harness.commands._options import (
    executor_option,
    gpu_option,
    json_option,
    lira_option,
    narrow_option,
    parse_parameters,
    sandbox_option,
    swap_option,
    track_option,
)
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "run",
    "Run a submission and show its place on the board",
    epilog="Examples: bench submit my_method.py; bench submit my_method.py --lira; "
    "bench submit my_method.py --seeds 2 --set lr=0.01 --sandbox process",
)
@click.argument("path", type=click.Path(path_type=Path))
@track_option
@click.option("--seeds", type=click.IntRange(min=1), help="Only the first N model seeds; a rank needs all.")
@click.option(
    "--set", "parameters", multiple=True, metavar="NAME=VALUE", callback=parse_parameters, help="A hyper-parameter."
)
@sandbox_option
@gpu_option
@executor_option
@lira_option
@narrow_option
@swap_option
@click.option("--again", is_flag=True, help="Run failed units once more.")
@json_option
def command(
    path: Path,
    track: str,
    secret: Path | None,
    seeds: int | None,
    parameters: dict[str, Any],
    sandbox: str,
    gpu: int | None,
    lira: bool,
    narrow: float | None,
    swap: bool,
    again: bool,
    as_json: bool,
) -> None:
    """Check a method, run it on every model seed in the sandbox, score it and show its place on the board.

    Parameters are those that bench tune chose for this file on this track, else its defaults, changed by --set.
    Finished units are kept: the same command goes on where it stopped. Exit code 0 when all units are ok, else
    that of the first failure (see bench --help). The cheap attacks of the gate run always, and say whether U-LiRA is
    worth its cost; --lira runs its shadow units, too.
    """
    from unlearn_bench.harness.entries.entry import baseline_names, read
    from unlearn_bench.harness.report import tables
    from unlearn_bench.harness.results import attack_panel, board
    from unlearn_bench.harness.results.board_entries import board_entries
    from unlearn_bench.harness.store.store import Store
    from unlearn_bench.harness.support.errors import USAGE, BenchError
    from unlearn_bench.harness.tracks.loading import load_track
    from unlearn_bench.harness.units import disclosure
    from unlearn_bench.harness.units.tuning import tuned
    from unlearn_bench.harness.workflows import session

    entry = read(path)
    if entry.name in baseline_names() and entry.kind == "entry":
        what = f"{entry.name} is the name of a shipped method, and this file is another one"
        raise BenchError(what, "your command", "rename the file", USAGE)
    loaded = load_track(track, secret)
    if lira:
        session.needs_shadows(loaded)
    if seeds is not None:
        disclosure.not_public(loaded, "a part of the seeds")
    disclosure.within_quota(Store(), entry, loaded)
    entry = tuned(entry, loaded, Store()).with_parameters(parameters)
    wanted = range(min(seeds or loaded.protocol.seeds, loaded.protocol.seeds))
    bench, line = session.open_bench(loaded, sandbox, gpu)
    click.echo(line, err=True)
    store = bench.references.store
    found = session.run_seeds(bench, entry, wanted, gpu, again)
    failed = [record for record in found.values() if record.status != "ok"]
    attacked = None
    if lira and not failed:
        shadow_entry = tuned(read(path), loaded, Store(), "shadow").with_parameters(parameters)
        (attacked,) = session.run_shadows(bench.references, [shadow_entry], sandbox, gpu, narrow, again)
    if swap and not failed:
        session.run_swaps(bench.references, [entry], sandbox, gpu)
    ranked = board.board(bench.references)
    board_entry = next((c for c in board_entries(bench.references) if c.name == entry.name), None)
    hidden = loaded.sealed and failed  # which seeds are left is the entry's own choice
    cheap = None if board_entry is None or hidden else attack_panel.gate(bench.references, board_entry)
    null = board.null(bench.references)
    listed = (ranked["entry"] == entry.name).any()
    if as_json:
        row = json.loads(ranked[ranked["entry"] == entry.name].to_json(orient="records"))
        by_seed = {seed: record.status for seed, record in found.items()}
        statuses = disclosure.tally(found.values()) if loaded.sealed else by_seed
        text = tables.verdict(ranked, entry.name) if listed else ""
        gate = [dataclasses.asdict(reading) | {"caught": reading.caught} for reading in cheap or []]
        content = {"verdict": text, "units": statuses, "gate": gate, "row": row[0] if row else None}
        click.echo(json.dumps(content, indent=1))
    else:
        click.echo(tables.table(ranked, loaded, null))
        if cheap:
            click.echo(tables.gate(cheap, ran=attacked is not None))
    if not as_json and listed:
        click.echo(tables.verdict(ranked, entry.name))
    if failed:
        raise session.failure(store, loaded, failed[0])
    if attacked is not None and attacked.status != "ok":
        raise session.failure(store, loaded, attacked)
