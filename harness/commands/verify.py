"""``bench verify``: run a published unit again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import (
    gpu_option,
    json_option,
    organiser_option,
    run_options,
    sandbox_option,
    track_option,
)
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.executors import RunOptions


@verb(
    "organise",
    "Run one published unit again and judge the difference",
    epilog="Examples: bench verify ft --seed 3; bench verify submissions/my_method.py --seed 0 --json",
)
@click.argument("entry", shell_complete=_completion.entries)
@click.option("--seed", type=click.IntRange(min=0), required=True, help="The model seed of the unit.")
@track_option
@sandbox_option
@gpu_option
@organiser_option
@json_option
@run_options
def command(entry: str, seed: int, track: str, organiser: bool, as_json: bool, options: RunOptions) -> None:
    """Run one unit of ENTRY (a name on the board, or its file) again and judge the difference to what was published.

    A number is consistent when it moves by no more than the entry's own seeds explain (the reproducibility limit of
    ISO 5725-6); seconds are only judged on the same machine and back end. The outcome marks the row as verified or not
    reproduced. Exit code 0: consistent, 14: inconsistent, 15: cannot tell. On a sealed track only the verdict is shown,
    unless --organiser is given.
    """
    from unlearn_bench.harness.report import comparison_text
    from unlearn_bench.harness.workflows.verify import verify

    result = verify(entry, seed, track, options)
    rerun, hidden = result.rerun, result.track.sealed and not organiser
    if as_json:
        content = {"entry": result.name, "seed": seed, "verdict": rerun.verdict}
        if not hidden:
            environment = dict(rerun.environment)
            content |= {"why": result.why, "differences": list(rerun.differences), "environment": environment}
        click.echo(json.dumps(content, indent=1))
    else:
        if not hidden:
            click.echo(comparison_text.verification(result.published, result.again, result.differences))
        click.echo(f"verdict: {rerun.verdict}" + ("" if hidden else f": {result.why}"))
    if result.exit_code:
        raise click.exceptions.Exit(result.exit_code)
