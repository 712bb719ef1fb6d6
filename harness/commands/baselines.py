"""``bench baselines``: the shipped methods on a track."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import (
    executor_option,
    gpu_option,
    keep_weights_option,
    lira_option,
    narrow_option,
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
    "Run the shipped methods",
    epilog="Examples: bench baselines --lira; bench baselines ft msg --track digits-tinyvit",
)
@click.argument("names", nargs=-1, shell_complete=_completion.methods)
@track_option
@sandbox_option
@gpu_option
@executor_option
@lira_option
@narrow_option
@swap_option
@probes_option
@keep_weights_option
@click.option(
    "--again", is_flag=True, help="Run all timed units again, and what failed of --lira, --swap and --probes."
)
@click.option("--export", type=click.Path(path_type=Path, file_okay=False), help="Write the records as they ship.")
@click.option("--without-logits", is_flag=True, help="With --export: leave out the logits of units.")
@run_options
def command(
    names: tuple[str, ...],
    track: str,
    lira: bool,
    swap: bool,
    probes: bool,
    export: Path | None,
    without_logits: bool,
    options: RunOptions,
) -> None:
    """Run the shipped methods (all, or NAMES) on every model seed and show the board.

    Their shadow units (--lira) run in worker processes unless --sandbox names a back end.
    """
    from unlearn_bench.harness.commands._terminal import look
    from unlearn_bench.harness.report import terminal_board
    from unlearn_bench.harness.workflows.baselines import run_baselines

    if without_logits and export is None:
        raise click.UsageError("--without-logits says how to export: add --export FOLDER")
    result = run_baselines(
        names, track, options, lira=lira, swap=swap, probes=probes, export=export, export_logits=not without_logits
    )
    click.echo(terminal_board.table(result.board, result.track, result.null, look=look()))
    if result.exported is not None:
        click.echo(f"exported {result.exported} records to {export}")
    if result.failure is not None:
        raise result.failure
