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
    "bench show my_method --versions; bench show my_method@1a2b3c4d; bench show my_method --export mlflow",
)
@click.argument("entry", shell_complete=_completion.entries)
@track_option
@organiser_option
@click.option("--versions", is_flag=True, help="List the versions of the entry; `*` is the one that stands.")
@click.option(
    "--export",
    "tracker",
    metavar="TRACKER",
    help="Give the row to mlflow (MLFLOW_TRACKING_URI) or wandb (Weights & Biases) as a run; see docs/trackers.md for "
    "what a repetition does.",
)
@json_option
def command(
    entry: str, track: str, secret: Path | None, organiser: bool, versions: bool, tracker: str | None, as_json: bool
) -> None:
    """Show one ENTRY by name: its place, its seeds, parameters and environment, and what every attack finds.

    NAME@VERSION shows another version of it, as if it stood on the board.

    On a sealed track it shows only statuses and numbers over all seeds, unless --organiser is given; --export gives
    no more than that away, either.
    """
    if tracker is not None:
        from unlearn_bench.harness.workflows.export import export

        exported = export(entry, tracker, track, secret, organiser=organiser)
        line = f"{exported.tracker}: run {exported.run} ({exported.change}), {exported.place}"
        click.echo(json.dumps(dataclasses.asdict(exported)) if as_json else line)
        return
    if versions:
        _list(entry, track, secret, organiser, as_json)
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


def _list(entry: str, track: str, secret: Path | None, organiser: bool, as_json: bool) -> None:
    from unlearn_bench.harness.report import versions_text
    from unlearn_bench.harness.workflows.versions import list_versions

    found = list_versions(entry, track, secret, organiser=organiser)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(version) for version in found], indent=1))
        return
    rows = [
        {
            "": "*" if version.stands else "",
            "version": version.version,
            "last unit": version.date[:16].replace("T", " "),
            "units": ", ".join(f"{count} {status}" for status, count in version.units.items()) + f" of {version.seeds}",
            "sandbox": ", ".join(version.sandboxes),
            "source": version.sha256[:8],
            "parameters": ", ".join(f"{name}={value!r}" for name, value in version.parameters.items()) or "none",
        }
        for version in found
    ]
    click.echo(versions_text.table(rows))
