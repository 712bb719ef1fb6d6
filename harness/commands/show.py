"""``bench show``: everything about one entry on one track."""

from __future__ import annotations

import json
from pathlib import Path

import click

from unlearn_bench.harness.commands._options import json_option, organiser_option, track_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "look",
    "Show everything about one entry",
    epilog="Examples: bench show ft; bench show my_method --track digits-tinyvit --json",
)
@click.argument("entry")
@track_option
@organiser_option
@json_option
def command(entry: str, track: str, secret: Path | None, organiser: bool, as_json: bool) -> None:
    """Show one ENTRY by name: its place, its seeds, parameters and environment, and what every attack finds.

    On a sealed track it shows only statuses and numbers over all seeds, unless --organiser is given.
    """
    from unlearn_bench.harness.report import entry_text
    from unlearn_bench.harness.results.entry_details import PublicDetails
    from unlearn_bench.harness.workflows.show import show

    details = show(entry, track, secret, organiser=organiser)
    if isinstance(details, PublicDetails):
        public = json.dumps(entry_text.public_document(details)) if as_json else entry_text.public_text(details)
        click.echo(public)
    else:
        click.echo(json.dumps(entry_text.document(details)) if as_json else entry_text.text(details))
