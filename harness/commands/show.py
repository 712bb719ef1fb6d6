"""``bench show``: everything about one entry on one track."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import click

from unlearn_bench.harness.commands import _completion
from unlearn_bench.harness.commands._options import json_option, organiser_option, track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "look",
    "Show everything about one entry",
    epilog="Examples: bench show ft; bench show my_method --track digits-tinyvit --json; "
    "bench show my_method --export mlflow",
)
@click.argument("entry", shell_complete=_completion.entries)
@track_option
@organiser_option
@click.option(
    "--export",
    "tracker",
    metavar="TRACKER",
    help="Give the row to mlflow (MLFLOW_TRACKING_URI) or wandb (Weights & Biases) as a run; see docs/trackers.md for "
    "what a repetition does.",
)
@json_option
def command(entry: str, track: str, secret: Path | None, organiser: bool, tracker: str | None, as_json: bool) -> None:
    """Show one ENTRY by name: its place, its seeds, parameters and environment, and what every attack finds.

    On a sealed track it shows only statuses and numbers over all seeds, unless --organiser is given; --export gives
    no more than that away, either.
    """
    if tracker is not None:
        from unlearn_bench.harness.workflows.export import export

        exported = export(entry, tracker, track, secret, organiser=organiser)
        line = f"{exported.tracker}: run {exported.run} ({exported.change}), {exported.place}"
        click.echo(json.dumps(dataclasses.asdict(exported)) if as_json else line)
        return
    from unlearn_bench.harness.report import entry_text
    from unlearn_bench.harness.results.entry_details import PublicDetails
    from unlearn_bench.harness.workflows.show import show

    details = show(entry, track, secret, organiser=organiser)
    if isinstance(details, PublicDetails):
        public = json.dumps(entry_text.public_document(details)) if as_json else entry_text.public_text(details)
        click.echo(public)
    else:
        click.echo(json.dumps(entry_text.document(details)) if as_json else entry_text.text(details))
