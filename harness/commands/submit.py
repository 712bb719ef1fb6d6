"""``bench submit``: a method runs in the sandbox and takes its place on the board."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from unlearn_bench.harness.commands._options import (
    executor_option,
    gpu_option,
    json_option,
    keep_weights_option,
    lira_option,
    narrow_option,
    parse_parameters,
    probes_option,
    run_options,
    sandbox_option,
    swap_option,
    track_option,
)
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.executors import RunOptions


@verb(
    "run",
    "Run a submission and show its place on the board",
    epilog="Examples: bench submit my_method.py; bench submit my_method.py --lira; "
    "bench submit my_method.py --seeds 2 --set lr=0.01 --sandbox process",
)
@click.argument("path", type=click.Path(path_type=Path))
@track_option
@click.option("--seeds", type=click.IntRange(min=1), help="Only the first N model seeds; a position needs all.")
@click.option(
    "--set", "parameters", multiple=True, metavar="NAME=VALUE", callback=parse_parameters, help="A hyper-parameter."
)
@sandbox_option
@gpu_option
@executor_option
@lira_option
@narrow_option
@swap_option
@probes_option
@keep_weights_option
@click.option(
    "--again",
    is_flag=True,
    help="Run again what failed, also of --lira, --swap and --probes, and disturbed units.",
)
@json_option
@run_options
def command(
    path: Path,
    track: str,
    seeds: int | None,
    parameters: dict[str, Any],
    lira: bool,
    swap: bool,
    probes: bool,
    as_json: bool,
    options: RunOptions,
) -> None:
    """Check a method, run it on every model seed in the sandbox, score it and show its place on the board.

    Parameters are those that bench tune chose for this file on this track, or its defaults; --set changes them. With
    --set, with --seeds, or where another source stands under this name, it is an experiment: it is kept (bench show
    NAME --versions) and changes no row until bench promote.
    Finished units are kept, and the same command resumes where it stopped. Exit code 0 if all units are ok, otherwise
    that of the first failure (see bench --help). Cheap attacks always run and tell whether U-LiRA is worth its cost;
    --lira also runs its shadow units.
    """
    from unlearn_bench.harness.commands._terminal import look
    from unlearn_bench.harness.report import attack_text, terminal_board, versions_text
    from unlearn_bench.harness.units import disclosure
    from unlearn_bench.harness.workflows.submit import submit

    result = submit(path, track, options, seeds=seeds, parameters=parameters, lira=lira, swap=swap, probes=probes)
    verdict = terminal_board.verdict(result.board, result.entry.name) if result.listed else ""
    if as_json:
        row = json.loads(result.board[result.board["entry"] == result.entry.name].to_json(orient="records"))
        by_seed = {seed: record.status for seed, record in result.records.items()}
        statuses = disclosure.tally(result.records.values()) if result.track.sealed else by_seed
        gate = [dataclasses.asdict(reading) | {"caught": reading.caught} for reading in result.gate or []]
        content = {"verdict": verdict, "units": statuses, "gate": gate, "row": row[0] if row and verdict else None}
        content |= {"version": result.version and result.version.version, "stands": not result.experiment}
        click.echo(json.dumps(content, indent=1))
    else:
        click.echo(terminal_board.table(result.board, result.track, result.null, look=look()))
        if result.gate:
            click.echo(attack_text.gate(result.gate, ran=result.shadow is not None))
        if verdict:
            click.echo(verdict)
    if note := versions_text.experiment(result.version, result.standing, result.track):
        click.echo(note, err=True)
    if result.failure is not None:
        raise result.failure
