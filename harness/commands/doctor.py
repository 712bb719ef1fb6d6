"""``bench doctor``: is this machine fit, each failing line with its remedy."""

from __future__ import annotations

import json
import sys

import click

from harness.commands._options import json_option


@click.command(epilog="Examples: bench doctor; bench doctor --attacks")
@json_option
@click.option(
    "--attacks",
    type=click.Choice(["text", "markdown"]),
    is_flag=False,
    flag_value="text",
    help="Run the attack suite instead (minutes): every attack in a container, and what is left afterwards.",
)
def command(as_json: bool, attacks: str | None) -> None:
    """Check this machine: libraries, engine and image, disk and memory, whether cores disturb each other.

    Ends each failing line with its remedy. Exit code 20 when something that every run needs is missing.
    """
    from harness import doctor
    from harness.errors import EXIT_CODES

    if attacks is not None:
        from harness.attacks import show

        sys.exit(show("json" if as_json else attacks))
    findings = []
    for finding in doctor.examine():
        findings.append(finding)
        if not as_json:
            mark = "ok  " if finding.ok else "FAIL" if finding.needed else "warn"
            click.echo(
                f"{mark}  {finding.subject:<12} {finding.text}" + (f" → {finding.remedy}" if finding.remedy else "")
            )
    if as_json:
        click.echo(json.dumps([vars(f) | {"ok": f.ok} for f in findings], indent=1))
    if any(not f.ok and f.needed for f in findings):
        sys.exit(EXIT_CODES["infra"])
