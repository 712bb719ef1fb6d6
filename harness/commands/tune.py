"""``bench tune``: a search for hyper-parameters with an equal budget for all."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import (
    Choice,
    executor_option,
    gpu_option,
    json_option,
    run_options,
    sandbox_option,
    track_option,
)
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.executors import RunOptions
    from unlearn_bench.harness.units.tuning import Objective, Setting


@verb(
    "run",
    "Search hyper-parameters, with an equal budget for all",
    epilog="Examples: bench tune my_method.py; bench tune ft msg --trials 30 --export baselines/tuned",
)
@click.argument("entries", nargs=-1, required=True, shell_complete=_completion.methods)
@track_option
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help="Configurations to try; default: by the track and the number of parameters.",
)
@click.option(
    "--objective",
    type=Choice(["paper", "oracle-free"]),
    default="paper",
    show_default=True,
    help="paper: near the retrained model (equations 5-6). oracle-free: without it, as a user would have to.",
)
@click.option(
    "--role",
    type=Choice(["seed", "shadow"]),
    default="seed",
    show_default=True,
    help="shadow: for U-LiRA's units, on a pair of splits that no score reads (paper, appendix D).",
)
@sandbox_option
@gpu_option
@executor_option
@click.option(
    "--export",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write the choice into this folder, as it ships.",
)
@json_option
@run_options
def command(
    entries: tuple[str, ...],
    track: str,
    trials: int | None,
    objective: Objective,
    role: Setting,
    export: Path | None,
    as_json: bool,
    options: RunOptions,
) -> None:
    """Search hyper-parameters for ENTRIES (files, or names of shipped methods) over their SEARCH_SPACE.

    The budget follows one rule for every method: the track's number of trials for up to five parameters, a fifth of it
    more for every further one. Trials run on originals and splits that no score reads. A file of yours runs in the
    sandbox, one unit per core; the shipped methods run in worker processes unless --sandbox names one. Every trial is
    kept, an interrupted search resumes, and submit and baselines use the choice.
    """
    from unlearn_bench.harness.report.cells import late_gain
    from unlearn_bench.harness.workflows.tune import tune

    choices = []
    for choice in tune(entries, track, options, trials=trials, objective=objective, setting=role, export=export):
        choices.append(asdict(choice))
        if not as_json:
            chosen, gain = choice.parameters.items(), late_gain(choice)
            parameters = ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in chosen)
            click.echo(
                f"{choice.entry}: loss {choice.loss:.4f} in trial {choice.trial} of {choice.trials} "
                f"({choice.failed_trials} failed, {choice.cpu_seconds:.0f} CPU s{gain and f', {gain}'}): {parameters}"
            )
    if as_json:
        click.echo(json.dumps(choices, indent=1))
