"""``bench audit``: run an entry again on fresh splits and models."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import (
    gpu_option,
    json_option,
    parse_parameters,
    run_options,
    sandbox_option,
    track_option,
)
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.executors import RunOptions


@verb(
    "organise",
    "Run an entry again on fresh splits and models",
    epilog="Examples: bench audit my_method.py; bench audit ft --seeds 10 --json",
)
@click.argument("entry", shell_complete=_completion.entries)
@track_option
@click.option(
    "--seeds", type=click.IntRange(min=2), default=5, show_default=True, help="How many fresh splits and models."
)
@click.option(
    "--set", "parameters", multiple=True, metavar="NAME=VALUE", callback=parse_parameters, help="A hyper-parameter."
)
@click.option("--redraw", is_flag=True, help="Other fresh seeds than those of earlier audits: trains new models.")
@sandbox_option
@gpu_option
@json_option
@run_options
def command(
    entry: str, track: str, seeds: int, parameters: dict[str, Any], redraw: bool, as_json: bool, options: RunOptions
) -> None:
    """Run ENTRY (a file, or the name of a shipped method) on fresh splits and models, and compare with the public ones.

    An entry that is fitted to the public originals, splits or test set does better there. It prints the cost
    first. Models and finished units are kept, and the same command resumes where it stopped. U-LiRA is not repeated.
    """
    from unlearn_bench.harness.report import comparison_text
    from unlearn_bench.harness.results.audit import level
    from unlearn_bench.harness.workflows.audit import audit

    result = audit(entry, track, options, seeds=seeds, parameters=parameters, redraw=redraw)
    if as_json:
        content = {
            "entry": result.name,
            "fitted": result.fitted,
            "level": level(),
            "changes": [{**dataclasses.asdict(change), "better": change.better} for change in result.changes],
            "zero": result.zero,
        }
        click.echo(json.dumps(content, indent=1))
    else:
        click.echo(comparison_text.audit(result.name, result.changes, result.fitted, result.zero))
