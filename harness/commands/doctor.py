"""``bench doctor``: check this machine; each failing line has its remedy."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from unlearn_bench.harness.commands._options import json_option
from unlearn_bench.harness.commands._verbs import verb

if TYPE_CHECKING:
    from unlearn_bench.harness.doctor.check import Check


@verb(
    "maintain",
    "Check this machine and say how to fix each problem",
    epilog="Examples: bench doctor; bench doctor --store; bench doctor --attacks; bench doctor --gpu 0",
)
@json_option
@click.option("--sandbox", metavar="NAME", help="Try the limits of this back end, or attack it (as in bench submit).")
@click.option(
    "--attacks",
    type=click.Choice(["text", "markdown"]),
    is_flag=False,
    flag_value="text",
    help="Run the attack suite on a trusted back end, or on --sandbox (minutes), and look at what is left afterwards.",
)
@click.option(
    "--gpu",
    type=click.IntRange(min=0),
    is_flag=False,
    flag_value=0,
    metavar="[INDEX]",
    help="Only check whether containers (or --sandbox) get this GPU, with units that use and misuse it.",
)
@click.option(
    "--store",
    "examine_store",
    is_flag=True,
    help="Only check every file of the store against its digest; set damaged ones aside, to be made again.",
)
def command(as_json: bool, sandbox: str | None, attacks: str | None, gpu: int | None, examine_store: bool) -> None:
    """Check this machine: libraries, disk and memory, sandboxes, whether cores disturb each other.

    Every limit that the chosen sandbox promises is tried in a real one. Each failing line ends with its remedy. The
    exit code is 20 when something that every run needs is missing. The attack suite also decides whether this machine
    trusts a back end that has to earn it, such as podman.
    """
    if attacks is not None:
        _attack(sandbox, "json" if as_json else attacks)
        return
    from unlearn_bench.harness.support.errors import EXIT_CODES

    results = []
    for check in _checks(sandbox, gpu, examine_store):
        results.append(check)
        if not as_json:
            mark = "ok  " if check.ok else "FAIL" if check.needed else "warn"
            click.echo(f"{mark}  {check.subject:<12} {check.text}" + (f" → {check.remedy}" if check.remedy else ""))
    if as_json:
        click.echo(json.dumps([vars(check) | {"ok": check.ok} for check in results], indent=1))
    if any(not check.ok and check.needed for check in results):
        sys.exit(EXIT_CODES["infra"])


def _checks(sandbox: str | None, gpu: int | None, examine_store: bool) -> Iterator[Check]:
    from unlearn_bench.harness.doctor import checks, engine_checks, store_checks
    from unlearn_bench.harness.store.store import Store

    if examine_store:
        return store_checks.examine(Store())
    return checks.examine(sandbox or "auto") if gpu is None else engine_checks.gpu(gpu, sandbox or "docker")


def _attack(sandbox: str | None, form: str) -> None:
    """Run the attack suite and print it as ``text``, ``json`` or ``markdown``."""
    from unlearn_bench.harness.doctor import attack_suite
    from unlearn_bench.harness.support.errors import EXIT_CODES

    results = []
    for result in attack_suite.run(sandbox):
        results.append(result)
        if form == "text" or not result.ok:
            click.echo(attack_suite.line(result), err=form != "text")
    if form == "json":
        click.echo(json.dumps([vars(result) | {"ok": result.ok} for result in results], indent=1))
    else:
        click.echo((attack_suite.markdown if form == "markdown" else attack_suite.summary)(sandbox, results))
    if conclusion := attack_suite.conclude(sandbox, results):
        click.echo(conclusion, err=form != "text")
    sys.exit(EXIT_CODES["ok" if all(result.ok for result in results) else "infra"])
