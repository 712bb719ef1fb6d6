"""``bench doctor``: is this machine fit, each failing line with its remedy."""

from __future__ import annotations

import json
import sys

import click

from unlearn_bench.harness.commands._options import json_option
from unlearn_bench.harness.commands._verbs import verb


@verb(
    "maintain",
    "Check this machine and say how to fix each problem",
    epilog="Examples: bench doctor; bench doctor --attacks; bench doctor --gpu 0",
)
@json_option
@click.option(
    "--attacks",
    type=click.Choice(["text", "markdown"]),
    is_flag=False,
    flag_value="text",
    help="Run the attack suite instead (minutes): every attack in a container, and what is left afterwards.",
)
@click.option(
    "--gpu",
    type=click.IntRange(min=0),
    is_flag=False,
    flag_value=0,
    metavar="[INDEX]",
    help="Only whether containers get this GPU: driver, engine, image, and a unit that trains on it.",
)
def command(as_json: bool, attacks: str | None, gpu: int | None) -> None:
    """Check this machine: libraries, disk and memory, engine and image, whether cores disturb each other.

    Every limit of a container is tried in a real one. Ends each failing line with its remedy. Exit code 20 when
    something that every run needs is missing.
    """
    from unlearn_bench.harness.doctor import checks, engine_checks
    from unlearn_bench.harness.support.errors import EXIT_CODES

    if attacks is not None:
        from unlearn_bench.harness.doctor.attack_suite import show

        sys.exit(show("json" if as_json else attacks))
    findings = []
    for finding in checks.examine() if gpu is None else engine_checks.gpu(gpu):
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
